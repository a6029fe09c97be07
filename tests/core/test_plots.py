"""Figures: what they show, and that they show themselves."""

import pytest

pytest.importorskip("matplotlib")
from dlkit.errors import DlkitError
from dlkit.plots import new_figure, plot_history, save_figure


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def test_the_history_has_a_plot_for_each_metric_and_marks_the_kept_epoch():
    history = {"loss": [3.0, 2.0, 1.0], "val_loss": [4.0, 1.5, 2.0], "accuracy": [0.1, 0.5, 0.9], "val_AP": [0.2, 0.3]}
    figure = plot_history(history, best_epoch=2)
    plots = {axes.get_title(loc="left"): lines(axes) for axes in figure.axes}
    assert list(plots) == ["loss", "accuracy", "AP"]
    assert plots["loss"]["training"] == [[1, 3.0], [2, 2.0], [3, 1.0]]
    assert plots["loss"]["validation"] == [[1, 4.0], [2, 1.5], [3, 2.0]]
    assert plots["AP"]["validation"] == [[2, 0.2], [3, 0.3]]  # which began later
    assert set(plots["AP"]) == {"validation", "best: epoch 2"}
    assert set(plots["accuracy"]) == {"training", "best: epoch 2"}
    assert {x for x, _ in plots["loss"]["best: epoch 2"]} == {2}


def test_a_figure_shows_itself_in_a_notebook_and_is_saved_by_suffix(tmp_path):
    figure = new_figure(2, 1)
    assert figure._repr_png_().startswith(b"\x89PNG")
    save_figure(figure, str(tmp_path / "below" / "a.svg"))
    assert (tmp_path / "below" / "a.svg").read_text().lstrip().startswith("<?xml")
    with pytest.raises(DlkitError, match=r"must end in one of .*\.png.*Received: .*a.txt"):
        save_figure(figure, tmp_path / "a.txt")
