"""Interactions of invented users with invented films, drawn from a seeded latent model."""

from __future__ import annotations

from typing import Any

import numpy as np

USERS, ITEMS, TASTES = 400, 150, 5
KINDS = ("Comedy", "Drama", "Mystery", "Romance", "Western")


def interactions(seed: int = 0) -> dict[str, list]:
    """A table of interactions: `user_id`, `item_id`, `rating` (1 to 5) and `timestamp` (seconds).

    Each user has shares of five tastes and each film is of one; films of a taste are more or less popular, and a user
    goes through 12 to 40 of them, rarely changing from one taste to another. Ratings are higher for the tastes that a
    user has more of. Users are `u000` to `u399`, films `comedy-00` and so on.
    """
    random = np.random.RandomState(seed)  # its stream is frozen across NumPy's releases
    kind = np.arange(ITEMS) % TASTES
    liked = random.gamma(1.0, 1.0, ITEMS) + 0.2
    table: dict[str, list] = {"user_id": [], "item_id": [], "rating": [], "timestamp": []}
    for user in range(USERS):
        shares = random.dirichlet(np.full(TASTES, 0.25))
        left, time = np.ones(ITEMS), 1_600_000_000 + int(random.randint(10_000_000))
        taste = random.choice(TASTES, p=shares)
        for _ in range(random.randint(12, 41)):
            if random.uniform() < 0.3:
                taste = random.choice(TASTES, p=shares)
            weights = left * liked * (np.where(kind == taste, 1.0, 0.02))
            item = int(random.choice(ITEMS, p=weights / weights.sum()))
            left[item] = 0.0
            time += int(random.randint(60, 100_000))
            fits = 1.5 + 3.0 * shares[kind[item]] + 0.4 * liked[item] + 0.5 * random.standard_normal()
            table["user_id"].append(f"u{user:03d}")
            table["item_id"].append(f"{KINDS[kind[item]].lower()}-{item // TASTES:02d}")
            table["rating"].append(float(np.clip(round(fits), 1, 5)))
            table["timestamp"].append(time)
    return table


def tastes() -> dict[str, Any]:
    """The built-in sample, as rows of users: of each the films so far, and those that followed.

    A user's last quarter, rounded, is tested on, and the quarter of the rest before it is for validation.
    """
    table = interactions()
    users: dict[str, list[str]] = {}
    for user, item in zip(table["user_id"], table["item_id"], strict=True):
        users.setdefault(user, []).append(item)
    made: dict[str, dict[str, list]] = {
        part: {"user_id": [], "recent": [], "next": []} for part in ("train", "validation", "test")
    }
    for user, items in users.items():
        tested = len(items) - round(len(items) / 4)
        validated = tested - round(tested / 4)
        # What is validated on is not trained on, and is no longer new when it comes to the test.
        for part, start, stop in (
            ("train", 0, validated),
            ("validation", validated, tested),
            ("test", tested, len(items)),
        ):
            made[part]["user_id"].append(user)
            made[part]["recent"].append(items[:start])
            made[part]["next"].append(items[start:stop])
    return made
