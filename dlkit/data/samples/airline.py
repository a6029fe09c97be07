"""Monthly airline passengers of 1949 to 1960, in thousands."""

from __future__ import annotations

from typing import Any

import numpy as np

# Box, Jenkins and Reinsel, "Time Series Analysis", series G: international airline passengers, thousands a month.
PASSENGERS = (
    (112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118),
    (115, 126, 141, 135, 125, 149, 170, 170, 158, 133, 114, 140),
    (145, 150, 178, 163, 172, 178, 199, 199, 184, 162, 146, 166),
    (171, 180, 193, 181, 183, 218, 230, 242, 209, 191, 172, 194),
    (196, 196, 236, 235, 229, 243, 264, 272, 237, 211, 180, 201),
    (204, 188, 235, 227, 234, 264, 302, 293, 259, 229, 203, 229),
    (242, 233, 267, 269, 270, 315, 364, 347, 312, 274, 237, 278),
    (284, 277, 317, 313, 318, 374, 413, 405, 355, 306, 271, 306),
    (315, 301, 356, 348, 355, 422, 465, 467, 404, 347, 305, 336),
    (340, 318, 362, 348, 363, 435, 491, 505, 404, 359, 310, 337),
    (360, 342, 406, 396, 420, 472, 548, 559, 463, 407, 362, 405),
    (417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432),
)
HORIZON, VALIDATED, TESTED = 12, 24, 24  # months


def airline_passengers() -> dict[str, list]:
    """A long table, `unique_id`, `ds` and `y`: 144 months of one series."""
    months = np.arange("1949-01", "1961-01", dtype="datetime64[M]")
    values = [float(value) for year in PASSENGERS for value in year]
    return {"unique_id": ["airline"] * len(values), "ds": np.datetime_as_string(months, "D").tolist(), "y": values}


def airline_sample() -> dict[str, Any]:
    """Rows of a history and the twelve months that followed, one for each origin; nothing of a part is in another's
    future.

    Thirteen origins of the last two years are tested on, and as many of the two years before them are for validation.
    """
    table = airline_passengers()
    length = len(table["y"])
    validated, tested = length - TESTED - VALIDATED, length - TESTED
    bounds = {
        "train": (1, validated - HORIZON),
        "validation": (validated, tested - HORIZON),
        "test": (tested, length - HORIZON),
    }
    return {part: _rows(table, first, last) for part, (first, last) in bounds.items()}


def _rows(table: dict[str, list], first: int, last: int) -> dict[str, list]:
    origins = range(first, last + 1)
    return {
        "unique_id": ["airline"] * len(origins),
        "ds": [table["ds"][:origin] for origin in origins],
        "y": [table["y"][:origin] for origin in origins],
        "following": [table["y"][origin : origin + HORIZON] for origin in origins],
    }
