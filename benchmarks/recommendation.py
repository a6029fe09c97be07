"""Recommendation on ml100k over the whole catalogue, beside its peers; and served answers of large catalogues.

python benchmarks/recommendation.py ranking [HPARAM=VALUE ...] [--protocol random_75_25|leave_last_out|by_time]
                                            [--seeds 42 1] [--held-out] [--networks NAME ...] [--peers NAME ...]
python benchmarks/recommendation.py ratings [HPARAM=VALUE ...] [--seeds 0 1] [--held-out] [--networks NAME ...]
                                            [--peers NAME ...]
python benchmarks/recommendation.py latency [HPARAM=VALUE ...] [--items 1682 1000000]

All that is compared is trained on the same interactions and asked for the same held-out ones: `ranking` prints nDCG,
hit rate and recall at 10 and the share of the catalogue that is recommended, `ratings` RMSE and MAE, each with seconds
of training. With `--held-out` the training part is parted once more, and the test part left alone: hparams are chosen
there, where items of the test part count as missed. Peers need pip install "dlkit-keras[recommenders]", but popularity,
item-kNN and EASE, which are written out here. `latency` exports a two_tower that has learnt nothing, times requests,
and ranks the same logits by NumPy.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import DATA, print_machine
from timing import hparams_of, median_ms

from dlkit.version import install_hint

K = 10
NETWORKS: dict[str, dict[str, Any]] = {
    "two_tower": {"epochs": 60, "known_users": False},
    "mf": {"epochs": 60, "width": 256, "learning_rate": 2e-3, "known_users": False, "dropout": 0.0, "hide": 0.7},
    "neumf": {"epochs": 60},
    "dcn": {"epochs": 60},
    "sasrec": {"width": 64, "epochs": 40, "learning_rate": 2e-3, "dropout": 0.4},
    "gru4rec": {"epochs": 60},
    "ease": {"epochs": 3},
}
RATED = {
    "objective": "ratings",
    "width": 64,
    "batch_size": 1024,
    "learning_rate": 4e-3,
    "weight_decay": 3.0,
    "dropout": 0.0,
    "epochs": 10,
}
RATINGS: dict[str, dict[str, Any]] = {
    "mf": RATED,
    "two_tower": RATED,
    "neumf": RATED,
    "dcn": {**RATED, "width": 32},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ranking", "ratings", "latency"))
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--protocol", default="random_75_25")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--networks", nargs="*")
    parser.add_argument("--peers", nargs="*")
    parser.add_argument("--items", type=int, nargs="+", default=[1682, 1_000_000])
    given = parser.parse_intermixed_args()
    hparams = hparams_of(given.hparams)
    print_machine()
    if given.what == "latency":
        for items in given.items:
            latency(items, hparams)
        return
    ranking = given.what == "ranking"
    peers, networks = (RANKERS, NETWORKS) if ranking else (RATERS, RATINGS)
    for seed in given.seeds or ([42, 1] if ranking else [0, 1]):
        protocol = given.protocol if ranking else "random_80_20"
        train, test = split(protocol, seed, given.held_out)
        counts = [len(source["item_id"]) for source in (train, test)]
        print("\nml100k, {}, seed {}: {} to train on, {} to test on".format(protocol, seed, *counts))
        for name in peers if given.peers is None else given.peers:
            run_peer(name, peers[name], train, test, ranking)
        every = {"min_rating": 0.0} if ranking else {}  # all interactions count, as for the peers
        for name in networks if given.networks is None else given.networks:
            run_task(name, {**networks[name], **every, "seed": seed, **hparams}, train, test)


def split(protocol: str, seed: int, held_out: bool) -> tuple[dict[str, list], dict[str, list]]:
    from dlkit.tasks.recommendation.protocols import part

    train, test = part(DATA / "ml100k" / "ratings.csv", protocol, seed=seed)
    return part(train, protocol, seed=seed + 1000) if held_out else (train, test)


def run_task(network: str, hparams: dict[str, Any], train: dict, test: dict) -> None:
    import dlkit

    task = dlkit.Recommender(**{"network": network, "top_k": K, **hparams})
    begun = time.perf_counter()
    task.fit(train, strategy="one", verbose=0)
    show(f"dlkit {network}", task.evaluate(test), time.perf_counter() - begun)


def show(name: str, metrics: dict[str, Any], seconds: float) -> None:
    wanted = ("ndcg", "hit_rate", "recall", "coverage", "rmse", "mae")
    told = "  ".join(f"{key} {metrics[key]:.4f}" for key in wanted if key in metrics)
    print(f"{name:<20} {told}  {seconds:.0f} s", flush=True)


def run_peer(name: str, peer: Callable, train: dict, test: dict, ranking: bool) -> None:
    from dlkit.tasks.recommendation.metrics import score_items, score_ratings

    begun = time.perf_counter()
    try:
        if not ranking:
            predicted = peer(train, test)
            seconds = time.perf_counter() - begun
            show(name, score_ratings(test["rating"], predicted, float(np.mean(train["rating"]))), seconds)
            return
        users, items, had = matrix(train)
        scores = peer(had)
    except ImportError as error:
        print(f"{name}: {error}. {install_hint('recommenders')}", flush=True)
        return
    seconds = time.perf_counter() - begun
    best = np.argsort(-np.where(had > 0, -np.inf, scores), axis=1, kind="stable")[:, :K]
    wanted: dict[str, list] = {}
    for user, item in zip(test["user_id"], test["item_id"], strict=True):
        wanted.setdefault(user, []).append(item)
    names, popular = list(items), np.argsort(-had.sum(0), kind="stable")[:K]
    lists = [[names[item] for item in (best[users[user]] if user in users else popular)] for user in wanted]
    show(name, score_items(list(wanted.values()), {"": lists}, K, len(items)), seconds)


def matrix(train: dict) -> tuple[dict[str, int], dict[str, int], np.ndarray]:
    """Numbers of users and of items, and who has had what: (users, items) of zeros and ones."""
    users = {user: number for number, user in enumerate(dict.fromkeys(train["user_id"]))}
    items = {item: number for number, item in enumerate(dict.fromkeys(train["item_id"]))}
    had = np.zeros((len(users), len(items)))
    had[[users[user] for user in train["user_id"]], [items[item] for item in train["item_id"]]] = 1.0
    return users, items, had


def popularity(had: np.ndarray) -> np.ndarray:
    return np.tile(had.sum(0), (len(had), 1))


def item_knn(had: np.ndarray, neighbours: int = 50, shrink: float = 10.0) -> np.ndarray:
    """Cosines of items, shrunk, of each the nearest 50."""
    products = had.T @ had
    norms = np.sqrt(np.diag(products))
    near = products / (norms[:, None] * norms + shrink)
    np.fill_diagonal(near, 0.0)
    least = np.sort(near, axis=0)[-neighbours]
    return had @ np.where(near >= least, near, 0.0)


def ease(had: np.ndarray, regularization: float = 400.0) -> np.ndarray:
    """Steck, 2019, as the paper's own listing has it."""
    inverse = np.linalg.inv(had.T @ had + regularization * np.eye(had.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return had @ weights


def als(had: np.ndarray) -> np.ndarray:
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = AlternatingLeastSquares(factors=32, regularization=10.0, alpha=5.0, iterations=20, random_state=0)
    model.fit(csr_matrix(had), show_progress=False)
    return np.asarray(model.user_factors) @ np.asarray(model.item_factors).T


def surprise_svd(train: dict, test: dict) -> list[float]:
    from surprise import SVD

    return _surprise(SVD(n_factors=100, n_epochs=60, lr_all=0.005, reg_all=0.1, random_state=0), train, test)


def surprise_knn(train: dict, test: dict) -> list[float]:
    from surprise import KNNBaseline

    similar = {"name": "pearson_baseline", "user_based": False}
    return _surprise(KNNBaseline(k=40, sim_options=similar, verbose=False), train, test)


def biases(train: dict, test: dict) -> list[float]:
    from surprise import BaselineOnly

    return _surprise(BaselineOnly(verbose=False), train, test)


def _surprise(model: Any, train: dict, test: dict) -> list[float]:
    import pandas
    from surprise import Dataset, Reader

    frame = pandas.DataFrame({name: train[name] for name in ("user_id", "item_id", "rating")})
    model.fit(Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset())
    return [model.predict(*pair).est for pair in zip(test["user_id"], test["item_id"], strict=True)]


RANKERS = {"popularity": popularity, "item-kNN": item_knn, "ALS": als, "EASE": ease}
RATERS = {"biases": biases, "KNN baseline": surprise_knn, "SVD": surprise_svd}


def latency(items: int, hparams: dict[str, Any]) -> None:
    """Milliseconds of one served request, and whether it ranks as NumPy does from the same logits."""
    import dlkit
    from dlkit.lazy import load_tensorflow, tf

    load_tensorflow()
    from dlkit.training.prepare import build_task

    random = np.random.default_rng(0)
    users, length = 64, 40
    taken = random.integers(0, items, (users, length)).tolist()
    every = [
        [f"i{item}" for item in range(build_task, min(build_task + 100_000, items))]
        for build_task in range(0, items, 100_000)
    ]
    rows = {
        "user_id": [f"u{user}" for user in range(users)] + [""] * len(every),  # nobody's rows name all items
        "recent": [[] for _ in range(users + len(every))],
        "next": [[f"i{item}" for item in row] for row in taken] + every,
    }
    task = dlkit.Recommender(**{"max_items": length, "negatives": 100, **hparams})
    build_task(task, task.read(rows))  # without training: the weights are random
    with tempfile.TemporaryDirectory() as folder:
        version = task.export(Path(folder) / "m")
        serve = tf.saved_model.load(str(version)).signatures["serving_default"]
        known = {"user_id": tf.constant(["u3"]), "recent": tf.constant([[""]])}
        listed = {"user_id": tf.constant([""]), "recent": tf.constant([[f"i{item}" for item in taken[3]]])}
        told = [
            f"{name} {median_ms(functools.partial(serve, **asked)):.1f} ms"
            for name, asked in (("a user", known), ("a list of 40", listed))
        ]
        same = sum(exact(task, serve, f"u{user}", taken[user]) for user in range(users))
    print(f"{items} items: {', '.join(told)}; {same} of {users} answers are the exact ones", flush=True)


def exact(task: Any, serve: Any, user: str, taken: list[int]) -> bool:
    """Whether the served items are those that NumPy ranks first, of the same logits."""
    from dlkit.lazy import tf

    preprocess, network, _ = task.stages_.serving_models()
    read = preprocess({"user_id": tf.constant([user]), "recent": tf.constant([[""]])})
    logits = network({name: read[name] for name in network.input})["logits"].numpy()[0]
    reader = preprocess.get_layer("reader")
    had = {f"i{item}" for item in taken}
    order = (reader.items[number - 1] for number in np.argsort(-logits[1:], kind="stable") + 1)
    best = []
    for item in order:
        if item not in had:
            best.append(item)
        if len(best) == task.top_k:
            break
    served = serve(user_id=tf.constant([user]), recent=tf.constant([[""]]))["items"].numpy()[0]
    return [item.decode() for item in served] == best


if __name__ == "__main__":
    main()
