"""Synthetic sample: interactions of users with movies, drawn from a seeded latent factor model."""

from __future__ import annotations

from typing import Any

import numpy as np

NUM_USERS, NUM_ITEMS = 400, 150
GENRES = ("Comedy", "Drama", "Mystery", "Romance", "Western")


def generate_interactions(seed: int = 0) -> dict[str, list]:
    """Generate a table of interactions: `user_id`, `item_id`, `rating` (1 to 5) and `timestamp` (seconds).

    Each user has a distribution over five genres, each movie has one genre and a popularity. A user watches 12 to 40
    movies and rarely changes the genre from one movie to the next. Ratings are higher for the genres that the user
    prefers. Users are named `u000` to `u399`, and movies `comedy-00` and so on.

    Args:
        seed: random seed.
    """
    random = np.random.RandomState(seed)  # its stream does not change between NumPy releases
    genre_of_item = np.arange(NUM_ITEMS) % len(GENRES)
    popularity = random.gamma(1.0, 1.0, NUM_ITEMS) + 0.2
    table: dict[str, list] = {"user_id": [], "item_id": [], "rating": [], "timestamp": []}
    for user in range(NUM_USERS):
        preferences = random.dirichlet(np.full(len(GENRES), 0.25))
        unseen, time = np.ones(NUM_ITEMS), 1_600_000_000 + int(random.randint(10_000_000))
        genre = random.choice(len(GENRES), p=preferences)
        for _ in range(random.randint(12, 41)):
            if random.uniform() < 0.3:
                genre = random.choice(len(GENRES), p=preferences)
            weights = unseen * popularity * (np.where(genre_of_item == genre, 1.0, 0.02))
            item = int(random.choice(NUM_ITEMS, p=weights / weights.sum()))
            unseen[item] = 0.0
            time += int(random.randint(60, 100_000))
            noise = 0.5 * random.standard_normal()
            rating = 1.5 + 3.0 * preferences[genre_of_item[item]] + 0.4 * popularity[item] + noise
            table["user_id"].append(f"u{user:03d}")
            table["item_id"].append(f"{GENRES[genre_of_item[item]].lower()}-{item // len(GENRES):02d}")
            table["rating"].append(float(np.clip(round(rating), 1, 5)))
            table["timestamp"].append(time)
    return table


def load_sample() -> dict[str, Any]:
    """Load the built-in sample as rows of users: the history of each user and the target items that follow it.

    The last quarter of each user's items is the test part, and the last quarter of the rest the validation part.
    """
    table = generate_interactions()
    users: dict[str, list[str]] = {}
    for user, item in zip(table["user_id"], table["item_id"], strict=True):
        users.setdefault(user, []).append(item)
    parts: dict[str, dict[str, list]] = {
        part: {"user_id": [], "history": [], "target_items": []} for part in ("train", "validation", "test")
    }
    for user, items in users.items():
        test_start = len(items) - round(len(items) / 4)
        validation_start = test_start - round(test_start / 4)
        # Validation items are not trained on, but belong to the history when the test items are predicted.
        for part, start, stop in (
            ("train", 0, validation_start),
            ("validation", validation_start, test_start),
            ("test", test_start, len(items)),
        ):
            parts[part]["user_id"].append(user)
            parts[part]["history"].append(items[:start])
            parts[part]["target_items"].append(items[start:stop])
    return parts
