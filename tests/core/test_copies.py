"""Tasks as the tools of Python and scikit-learn take them: copied, pickled, cloned, shown; and misspelled names."""

import copy
import pickle

import pytest

import dlkit
from dlkit.errors import HparamError
from dlkit.tasks import find_task, task_names

HPARAMS = {"network": "mlp", "epochs": 2, "character_ngrams": False, "width": 8}
TEXTS = ["What a cast!", "The plot is thin."]


@pytest.fixture(scope="module")
def fitted():
    task = dlkit.SentimentClassifier(**HPARAMS)
    rows = task.samples()["train"]
    train, held_out = ({name: rows[name][part] for name in rows} for part in (slice(64), slice(64, 80)))
    task.fit(train, held_out, verbose=0, strategy="one")
    return task


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_copies_of_a_fitted_task_answer_as_it_does(fitted, copied):
    other = copied(fitted)
    assert other.predict(TEXTS) == fitted.predict(TEXTS)
    assert (other.hparams, other._given_hparams, repr(other)) == (fitted.hparams, fitted._given_hparams, repr(fitted))
    other.epochs = 9
    assert fitted.epochs == HPARAMS["epochs"]


@pytest.mark.parametrize("name", task_names())
def test_an_unfitted_task_of_each_kind_is_copied_and_cloned(name):
    sklearn = pytest.importorskip("sklearn.base")
    task = find_task(name)(seed=7, learning_rate=0.5)
    for other in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task)), sklearn.clone(task)):
        assert type(other) is type(task)
        assert other is not task
        assert other.hparams == task.hparams == other.get_params()
        assert other._given_hparams == {"seed", "learning_rate"}
        assert len(repr(other).splitlines()) == 5


def test_a_clone_of_a_fitted_task_has_learned_nothing(fitted):
    sklearn = pytest.importorskip("sklearn.base")
    other = sklearn.clone(fitted)
    assert other.hparams == fitted.hparams
    assert not hasattr(other, "stages_")
    assert "fitted: no" in repr(other)


def test_parameters_are_set_all_or_none():
    task = dlkit.ImageClassifier(seed=3)
    task.epochs = 5
    assert task.set_params(batch_size=16, multi_label=True) is task
    assert (task.seed, task.epochs, task.batch_size) == (3, 5, 16)
    assert task.primary_metric == dlkit.ImageClassifier(multi_label=True).primary_metric
    before = task.hparams
    with pytest.raises(HparamError, match="epocs"):
        task.set_params(batch_size=1, epocs=3)
    with pytest.raises(HparamError, match="at least"):
        task.set_params(batch_size=1, epochs=-1)
    assert task.hparams == before


def test_defaults_that_go_with_a_preset_follow_it():
    plain, tuned = dlkit.SentimentClassifier(), dlkit.SentimentClassifier(network="preset:x")
    assert tuned.learning_rate != plain.learning_rate
    assert dlkit.SentimentClassifier().set_params(network="preset:x").hparams == tuned.hparams
    assert tuned.set_params(network=plain.network).hparams == plain.hparams


def test_parameters_of_a_fitted_task_are_for_its_next_fit(fitted):
    other = copy.deepcopy(fitted).set_params(top_k=1, epochs=1)
    assert other.epochs == 1
    assert other.predict(TEXTS) == fitted.predict(TEXTS)


def test_five_lines_say_what_a_task_is(fitted):
    lines = repr(fitted).splitlines()
    assert lines[0].startswith("SentimentClassifier: ")
    options = lines[1].removeprefix("  options: ")
    assert set(options.split(", ")) == {"epochs=2", "width=8", "character_ngrams=False"}
    assert lines[2] == f"  fitted: yes, best epoch {fitted.best_epoch_['epoch']} of 2"
    assert lines[3] == "  rows: 64 of the dict of columns"
    kept = fitted.best_epoch_
    assert lines[4] == (
        f"  metric: accuracy {kept['accuracy']:.4f}, baseline {kept['baseline_accuracy']:.4f}, on 16 validation rows"
    )
    assert len(lines) == 5
    long = dlkit.SentimentClassifier(vocabulary_file="x" * 500)
    assert max(map(len, repr(long).splitlines())) <= 160


def test_a_misspelled_class_is_told_the_nearest():
    with pytest.raises(AttributeError, match=r"'SentimentClasifier'\. .*Did you mean 'SentimentClassifier'\?"):
        _ = dlkit.SentimentClasifier
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
        _ = dlkit.nothing
