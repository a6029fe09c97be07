"""Benchmark recommenders on ml100k against other libraries, and the latency of exports with many items.

python benchmarks/recommendation.py ranking [OPTION=VALUE ...] [--seeds 42 1] [--held-out]
                                            [--split per_user_random_75_25|leave_last_out|temporal_80_20]
                                            [--networks NAME ...] [--peers NAME ...]
python benchmarks/recommendation.py ratings [OPTION=VALUE ...] [--seeds 0 1] [--held-out] [--networks NAME ...]
                                            [--peers NAME ...]
python benchmarks/recommendation.py latency [OPTION=VALUE ...] [--items 1682 1000000]

All models are trained on the same interactions and evaluated on the same held-out ones. `ranking` prints NDCG, hit rate
and recall at 10 over the whole catalog and the catalog coverage, `ratings` prints RMSE and MAE, each with the seconds
of training. `--held-out` splits the training part again and does not use the test part, to select hyperparameters;
items of the test part then count as misses. The peers need pip install ".[recommenders]", except popularity,
item-kNN and EASE, which are implemented here. `latency` exports an untrained two_tower, measures the latency of
requests, and compares their rankings with NumPy's of the same logits.
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
RANKING_NETWORKS: dict[str, dict[str, Any]] = {
    "two_tower": {"epochs": 60, "user_embeddings": False},
    "svdpp": {
        "epochs": 60,
        "width": 256,
        "learning_rate": 2e-3,
        "user_embeddings": False,
        "dropout": 0.0,
        "input_mask_rate": 0.7,
    },
    "neumf": {"epochs": 60},
    "dcn": {"epochs": 60},
    "sasrec": {"width": 64, "epochs": 40, "learning_rate": 2e-3, "dropout": 0.4},
    "gru4rec": {"epochs": 60},
    "ease": {"epochs": 3},
}
RATING_OPTIONS = {
    "objective": "ratings",
    "width": 64,
    "batch_size": 1024,
    "learning_rate": 4e-3,
    "weight_decay": 3.0,
    "dropout": 0.0,
    "epochs": 10,
}
RATING_NETWORKS: dict[str, dict[str, Any]] = {
    "svdpp": RATING_OPTIONS,
    "two_tower": RATING_OPTIONS,
    "neumf": RATING_OPTIONS,
    "dcn": {**RATING_OPTIONS, "width": 32},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=("ranking", "ratings", "latency"))
    parser.add_argument("hparams", nargs="*", metavar="OPTION=VALUE")
    parser.add_argument("--split", default="per_user_random_75_25")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--networks", nargs="*")
    parser.add_argument("--peers", nargs="*")
    parser.add_argument("--items", type=int, nargs="+", default=[1682, 1_000_000])
    args = parser.parse_intermixed_args()
    hparams = hparams_of(args.hparams)
    print_machine()
    if args.benchmark == "latency":
        for items in args.items:
            measure_latency(items, hparams)
        return
    ranking = args.benchmark == "ranking"
    peers, networks = (RANKING_PEERS, RANKING_NETWORKS) if ranking else (RATING_PEERS, RATING_NETWORKS)
    for seed in args.seeds or ([42, 1] if ranking else [0, 1]):
        split = args.split if ranking else "random_80_20"
        train, test = load_split(split, seed, args.held_out)
        counts = [len(source["item_id"]) for source in (train, test)]
        print("\nml100k, {}, seed {}: {} training and {} test interactions".format(split, seed, *counts))
        for name in peers if args.peers is None else args.peers:
            run_peer(name, peers[name], train, test, ranking)
        options = {"min_rating": 0.0} if ranking else {}  # all interactions are positive, as for the peers
        for name in networks if args.networks is None else args.networks:
            run_recommender(name, {**networks[name], **options, "seed": seed, **hparams}, train, test)


def load_split(split: str, seed: int, held_out: bool) -> tuple[dict[str, list], dict[str, list]]:
    from dlkit.tasks.recommendation.splits import split_interactions

    train, test = split_interactions(DATA / "ml100k" / "ratings.csv", split, seed=seed)
    return split_interactions(train, split, seed=seed + 1000) if held_out else (train, test)


def run_recommender(network: str, hparams: dict[str, Any], train: dict, test: dict) -> None:
    import dlkit

    task = dlkit.Recommender(**{"network": network, "top_k": K, **hparams})
    build_task = time.perf_counter()
    task.fit(train, strategy="one", verbose=0)
    print_metrics(f"dlkit {network}", task.evaluate(test), time.perf_counter() - build_task)


def print_metrics(name: str, metrics: dict[str, Any], seconds: float) -> None:
    shown = ("ndcg", "hit_rate", "recall", "coverage", "rmse", "mae")
    values = "  ".join(f"{key} {metrics[key]:.4f}" for key in shown if key in metrics)
    print(f"{name:<20} {values}  {seconds:.0f} s", flush=True)


def run_peer(name: str, peer: Callable, train: dict, test: dict, ranking: bool) -> None:
    from dlkit.tasks.recommendation.metrics import compute_ranking_metrics, compute_rating_metrics

    build_task = time.perf_counter()
    try:
        if not ranking:
            predicted = peer(train, test)
            seconds = time.perf_counter() - build_task
            print_metrics(
                name, compute_rating_metrics(test["rating"], predicted, float(np.mean(train["rating"]))), seconds
            )
            return
        users, items, interactions = build_matrix(train)
        scores = peer(interactions)
    except ImportError as error:
        print(f"{name}: {error}. {install_hint('recommenders')}", flush=True)
        return
    seconds = time.perf_counter() - build_task
    best = np.argsort(-np.where(interactions > 0, -np.inf, scores), axis=1, kind="stable")[:, :K]
    relevant: dict[str, list] = {}
    for user, item in zip(test["user_id"], test["item_id"], strict=True):
        relevant.setdefault(user, []).append(item)
    names, popular = list(items), np.argsort(-interactions.sum(0), kind="stable")[:K]
    lists = [[names[item] for item in (best[users[user]] if user in users else popular)] for user in relevant]
    print_metrics(name, compute_ranking_metrics(list(relevant.values()), {"": lists}, K, len(items)), seconds)


def build_matrix(train: dict) -> tuple[dict[str, int], dict[str, int], np.ndarray]:
    """Build the indices of users and items, and the interaction matrix, (users, items) of zeros and ones."""
    users = {user: number for number, user in enumerate(dict.fromkeys(train["user_id"]))}
    items = {item: number for number, item in enumerate(dict.fromkeys(train["item_id"]))}
    interactions = np.zeros((len(users), len(items)))
    interactions[[users[user] for user in train["user_id"]], [items[item] for item in train["item_id"]]] = 1.0
    return users, items, interactions


def rank_by_popularity(interactions: np.ndarray) -> np.ndarray:
    return np.tile(interactions.sum(0), (len(interactions), 1))


def fit_item_knn(interactions: np.ndarray, neighbors: int = 50, shrink: float = 10.0) -> np.ndarray:
    """Score items by the shrunk cosine similarities of their nearest neighbors."""
    products = interactions.T @ interactions
    norms = np.sqrt(np.diag(products))
    similarities = products / (norms[:, None] * norms + shrink)
    np.fill_diagonal(similarities, 0.0)
    lowest = np.sort(similarities, axis=0)[-neighbors]
    return interactions @ np.where(similarities >= lowest, similarities, 0.0)


def fit_ease(interactions: np.ndarray, l2: float = 400.0) -> np.ndarray:
    """Fit EASE as in the listing of Steck, 2019."""
    inverse = np.linalg.inv(interactions.T @ interactions + l2 * np.eye(interactions.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return interactions @ weights


def fit_als(interactions: np.ndarray) -> np.ndarray:
    from implicit.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = AlternatingLeastSquares(factors=32, regularization=10.0, alpha=5.0, iterations=20, random_state=0)
    model.fit(csr_matrix(interactions), show_progress=False)
    return np.asarray(model.user_factors) @ np.asarray(model.item_factors).T


def fit_svd(train: dict, test: dict) -> list[float]:
    from surprise import SVD

    return _fit_surprise(SVD(n_factors=100, n_epochs=60, lr_all=0.005, reg_all=0.1, random_state=0), train, test)


def fit_knn_baseline(train: dict, test: dict) -> list[float]:
    from surprise import KNNBaseline

    similarity = {"name": "pearson_baseline", "user_based": False}
    return _fit_surprise(KNNBaseline(k=40, sim_options=similarity, verbose=False), train, test)


def fit_biases(train: dict, test: dict) -> list[float]:
    from surprise import BaselineOnly

    return _fit_surprise(BaselineOnly(verbose=False), train, test)


def _fit_surprise(model: Any, train: dict, test: dict) -> list[float]:
    import pandas
    from surprise import Dataset, Reader

    frame = pandas.DataFrame({name: train[name] for name in ("user_id", "item_id", "rating")})
    model.fit(Dataset.load_from_df(frame, Reader(rating_scale=(1, 5))).build_full_trainset())
    return [model.predict(*pair).est for pair in zip(test["user_id"], test["item_id"], strict=True)]


RANKING_PEERS = {"popularity": rank_by_popularity, "item-kNN": fit_item_knn, "ALS": fit_als, "EASE": fit_ease}
RATING_PEERS = {"biases": fit_biases, "KNN baseline": fit_knn_baseline, "SVD": fit_svd}


def measure_latency(num_items: int, hparams: dict[str, Any]) -> None:
    """Measure the latency of one request to an export, and compare its ranking with NumPy's of the same logits."""
    import dlkit
    from dlkit.lazy import load_tensorflow, tf

    load_tensorflow()
    from dlkit.training.prepare import build_task

    random = np.random.default_rng(0)
    num_users, history_length = 64, 40
    histories = random.integers(0, num_items, (num_users, history_length)).tolist()
    chunks = [range(first, min(first + 100_000, num_items)) for first in range(0, num_items, 100_000)]
    catalog = [[f"i{item}" for item in chunk] for chunk in chunks]
    rows = {
        "user_id": [f"u{user}" for user in range(num_users)] + [""] * len(catalog),  # anonymous rows contain all items
        "history": [[] for _ in range(num_users + len(catalog))],
        "target_items": [[f"i{item}" for item in history] for history in histories] + catalog,
    }
    task = dlkit.Recommender(**{"max_history": history_length, "negatives": 100, **hparams})
    build_task(task, task.read(rows))  # builds the network without training
    with tempfile.TemporaryDirectory() as folder:
        version = task.export(Path(folder) / "m")
        serve = tf.saved_model.load(str(version)).signatures["serving_default"]
        by_user = {"user_id": tf.constant(["u3"]), "history": tf.constant([[""]])}
        by_history = {"user_id": tf.constant([""]), "history": tf.constant([[f"i{item}" for item in histories[3]]])}
        latencies = [
            f"{name} {median_ms(functools.partial(serve, **request)):.1f} ms"
            for name, request in (("a user", by_user), ("a history of 40", by_history))
        ]
        equal = sum(is_exact(task, serve, f"u{user}", histories[user]) for user in range(num_users))
    print(f"{num_items} items: {', '.join(latencies)}; {equal} of {num_users} rankings are equal", flush=True)


def is_exact(task: Any, serve: Any, user: str, history: list[int]) -> bool:
    """Return whether the served items are the best ones by NumPy's ranking of the same logits."""
    from dlkit.lazy import tf

    preprocess, network, _ = task.stages_.serving_models()
    tensors = preprocess({"user_id": tf.constant([user]), "history": tf.constant([[""]])})
    logits = network({name: tensors[name] for name in network.input})["logits"].numpy()[0]
    lookup = preprocess.get_layer("history_lookup")
    seen = {f"i{item}" for item in history}
    ranking = (lookup.item_ids[number - 1] for number in np.argsort(-logits[1:], kind="stable") + 1)
    best = []
    for item in ranking:
        if item not in seen:
            best.append(item)
        if len(best) == task.top_k:
            break
    served = serve(user_id=tf.constant([user]), history=tf.constant([[""]]))["items"].numpy()[0]
    return [item.decode() for item in served] == best


if __name__ == "__main__":
    main()
