"""Built-in series: monthly airline passengers of 1949 to 1960, in thousands, and yearly sunspot numbers."""

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
HORIZON, VALIDATION_MONTHS, TEST_MONTHS = 12, 24, 24


def load_airline_passengers() -> dict[str, list]:
    """Return the monthly airline passengers as a long table of `unique_id`, `ds` and `y`: one series of 144 months."""
    months = np.arange("1949-01", "1961-01", dtype="datetime64[M]")
    values = [float(value) for year in PASSENGERS for value in year]
    return {"unique_id": ["airline"] * len(values), "ds": np.datetime_as_string(months, "D").tolist(), "y": values}


def load_airline_sample() -> dict[str, Any]:
    """Return training, validation and test rows of the airline passengers, each a history and the 12 months after it.

    There is one row for each cutoff: 13 cutoffs in the last two years are for the test, and as many in the two years
    before for validation. The future values of a part are not in the history of an earlier one.
    """
    table = load_airline_passengers()
    length = len(table["y"])
    validation, test = length - TEST_MONTHS - VALIDATION_MONTHS, length - TEST_MONTHS
    bounds = {
        "train": (1, validation - HORIZON),
        "validation": (validation, test - HORIZON),
        "test": (test, length - HORIZON),
    }
    return {part: _make_rows(table, first, last) for part, (first, last) in bounds.items()}


def _make_rows(table: dict[str, list], first: int, last: int) -> dict[str, list]:
    cutoffs = range(first, last + 1)
    return {
        "unique_id": ["airline"] * len(cutoffs),
        "ds": [table["ds"][:cutoff] for cutoff in cutoffs],
        "y": [table["y"][:cutoff] for cutoff in cutoffs],
        "future_y": [table["y"][cutoff : cutoff + HORIZON] for cutoff in cutoffs],
    }


# Mean relative sunspot numbers of each year, as published before their revision of 2015: SILSO, Royal Observatory of
# Belgium.
SUNSPOT_NUMBERS = (
    5,
    11,
    16,
    23,
    36,
    58,
    29,
    20,
    10,
    8,  # 1700
    3,
    0,
    0,
    2,
    11,
    27,
    47,
    63,
    60,
    39,  # 1710
    28,
    26,
    22,
    11,
    21,
    40,
    78,
    122,
    103,
    73,  # 1720
    47,
    35,
    11,
    5,
    16,
    34,
    70,
    81,
    111,
    101,  # 1730
    73,
    40,
    20,
    16,
    5,
    11,
    22,
    40,
    60,
    80.9,  # 1740
    83.4,
    47.7,
    47.8,
    30.7,
    12.2,
    9.6,
    10.2,
    32.4,
    47.6,
    54,  # 1750
    62.9,
    85.9,
    61.2,
    45.1,
    36.4,
    20.9,
    11.4,
    37.8,
    69.8,
    106.1,  # 1760
    100.8,
    81.6,
    66.5,
    34.8,
    30.6,
    7,
    19.8,
    92.5,
    154.4,
    125.9,  # 1770
    84.8,
    68.1,
    38.5,
    22.8,
    10.2,
    24.1,
    82.9,
    132,
    130.9,
    118.1,  # 1780
    89.9,
    66.6,
    60,
    46.9,
    41,
    21.3,
    16,
    6.4,
    4.1,
    6.8,  # 1790
    14.5,
    34,
    45,
    43.1,
    47.5,
    42.2,
    28.1,
    10.1,
    8.1,
    2.5,  # 1800
    0,
    1.4,
    5,
    12.2,
    13.9,
    35.4,
    45.8,
    41.1,
    30.1,
    23.9,  # 1810
    15.6,
    6.6,
    4,
    1.8,
    8.5,
    16.6,
    36.3,
    49.6,
    64.2,
    67,  # 1820
    70.9,
    47.8,
    27.5,
    8.5,
    13.2,
    56.9,
    121.5,
    138.3,
    103.2,
    85.7,  # 1830
    64.6,
    36.7,
    24.2,
    10.7,
    15,
    40.1,
    61.5,
    98.5,
    124.7,
    96.3,  # 1840
    66.6,
    64.5,
    54.1,
    39,
    20.6,
    6.7,
    4.3,
    22.7,
    54.8,
    93.8,  # 1850
    95.8,
    77.2,
    59.1,
    44,
    47,
    30.5,
    16.3,
    7.3,
    37.6,
    74,  # 1860
    139,
    111.2,
    101.6,
    66.2,
    44.7,
    17,
    11.3,
    12.4,
    3.4,
    6,  # 1870
    32.3,
    54.3,
    59.7,
    63.7,
    63.5,
    52.2,
    25.4,
    13.1,
    6.8,
    6.3,  # 1880
    7.1,
    35.6,
    73,
    85.1,
    78,
    64,
    41.8,
    26.2,
    26.7,
    12.1,  # 1890
    9.5,
    2.7,
    5,
    24.4,
    42,
    63.5,
    53.8,
    62,
    48.5,
    43.9,  # 1900
    18.6,
    5.7,
    3.6,
    1.4,
    9.6,
    47.4,
    57.1,
    103.9,
    80.6,
    63.6,  # 1910
    37.6,
    26.1,
    14.2,
    5.8,
    16.7,
    44.3,
    63.9,
    69,
    77.8,
    64.9,  # 1920
    35.7,
    21.2,
    11.1,
    5.7,
    8.7,
    36.1,
    79.7,
    114.4,
    109.6,
    88.8,  # 1930
    67.8,
    47.5,
    30.6,
    16.3,
    9.6,
    33.2,
    92.6,
    151.6,
    136.3,
    134.7,  # 1940
    83.9,
    69.4,
    31.5,
    13.9,
    4.4,
    38,
    141.7,
    190.2,
    184.8,
    159,  # 1950
    112.3,
    53.9,
    37.6,
    27.9,
    10.2,
    15.1,
    47,
    93.8,
    105.9,
    105.5,  # 1960
    104.5,
    66.6,
    68.9,
    38,
    34.5,
    15.5,
    12.6,
    27.5,
    92.5,
    155.4,  # 1970
    154.6,
    140.4,
    115.9,
    66.6,
    45.9,
    17.9,
    13.4,
    29.4,
    100.2,
    157.6,  # 1980
    142.6,
    145.7,
    94.3,
    54.6,
    29.9,
    17.5,
    8.6,
    21.5,
    64.3,
    93.3,  # 1990
    119.6,
    111,
    104,
    63.7,
    40.4,
    29.8,
    15.2,
    7.5,
    2.9,  # 2000
)


def load_sunspots() -> dict[str, list]:
    """Return yearly sunspot numbers as a long table of `unique_id`, `ds` and `y`: one series of 309 years."""
    return {
        "unique_id": ["sunspots"] * len(SUNSPOT_NUMBERS),
        "ds": [f"{1700 + index}-01-01" for index in range(len(SUNSPOT_NUMBERS))],
        "y": [float(number) for number in SUNSPOT_NUMBERS],
    }
