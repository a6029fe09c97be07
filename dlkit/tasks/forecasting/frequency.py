"""Frequencies: the time step between the timestamps of a series, in months, seconds, integers or business days."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, replace

import numpy as np

from dlkit.errors import DataError, HparamError
from dlkit.options import option

DAY = 86_400
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": DAY, "week": 7 * DAY}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
# pandas frequency aliases, without their anchors.
ALIASES = {"s": "second", "min": "minute", "t": "minute", "h": "hour", "d": "day", "w": "week", "ms": "month",
           "me": "month", "m": "month", "qs": "quarter", "qe": "quarter", "q": "quarter", "ys": "year", "ye": "year",
           "y": "year"}  # fmt: skip
LAST, FIRST = 1, 2  # `Frequency.business` of the last and the first business day of a month
BUSINESS_MONTHS = {"bme": (1, LAST), "bm": (1, LAST), "bms": (1, FIRST), "bqe": (3, LAST), "bqs": (3, FIRST),
                   "bye": (12, LAST), "bys": (12, FIRST)}  # fmt: skip
MAX_SEASON_LENGTH = 1500  # time steps: a context window holds a few seasons
MICROSECONDS = 1_000_000  # ticks per second, where timestamps have fractions of a second
MIN_REGULAR_FRACTION = 0.8  # of equal gaps, from which on a series has a frequency of its own


@dataclass(frozen=True)
class Frequency:
    """The time step between two timestamps of a regular series.

    Exactly one of `months`, `seconds`, `integer` and `business` is not 0, except that `business` may stand beside
    `months`.

    Attributes:
        months: Calendar months.
        seconds: Seconds, or microseconds where `ticks_per_second` is a million.
        integer: Difference of two timestamps that are integers (an integer index, without a calendar).
        business: Business days, Monday to Friday; beside `months`, 1 for the last business day of the month and 2 for
            the first one.
        anchor: For months the day of the month of all series, 31 for the last one, 0 where they differ; for other
            frequencies an ordinal at which a time step begins.
        ticks_per_second: 1, or a million where timestamps have fractions of a second.

    Examples:
        >>> str(parse_frequency("15min")), parse_frequency("MS").season_lengths()
        ('15 minutes', [12])
    """

    months: int = 0
    seconds: int = 0
    integer: int = 0
    business: int = 0
    anchor: int = field(default=0, compare=False)
    ticks_per_second: int = 1

    def __str__(self) -> str:
        if self.integer:
            return f"{self.integer} (integer index)"
        if self.business and not self.months:
            return "business day" if self.business == 1 else f"{self.business} business days"
        if self.seconds % self.ticks_per_second:
            return f"{self.seconds / self.ticks_per_second:g} seconds"
        units, size = (MONTHS, self.months) if self.months else (SECONDS, self.seconds // self.ticks_per_second)
        name, unit = next((name, unit) for name, unit in reversed(units.items()) if size % unit == 0)
        shown = name if size == unit else f"{size // unit} {name}s"
        return (
            f"{shown}, on its {'last' if self.business == LAST else 'first'} business day" if self.business else shown
        )

    def as_list(self) -> list[int]:
        """Return the attributes as a list, which layers store."""
        return list(astuple(self))

    def season_lengths(self) -> list[int]:
        """Return the usual season lengths in time steps, shortest first, such as a day and a week of hours."""
        if self.integer:
            return []
        if self.months:
            return [12 // self.months] if self.months < 12 and 12 % self.months == 0 else []
        if self.business:
            return [5 // self.business, round(261 / self.business)] if 5 % self.business == 0 else []
        found = [
            length * self.ticks_per_second // self.seconds
            for length in (DAY, 7 * DAY)
            if length * self.ticks_per_second % self.seconds == 0
        ]
        days = self.seconds / self.ticks_per_second / DAY
        year = 0 if days < 1 else 52 if days == 7 else round(365.25 / days)
        return [length for length in dict.fromkeys([*found, year]) if 1 < length <= MAX_SEASON_LENGTH]

    def to_ordinals(self, timestamps: np.ndarray) -> np.ndarray:
        """Convert timestamps to int64 numbers that grow by `ordinal_step` with each time step.

        The day of the month is ignored for months, the time of the day for business days, and fractions of a second
        where the frequency has none.
        """
        if self.months:
            return timestamps.astype("datetime64[M]").astype(np.int64)
        if self.business:
            week, day = np.divmod(timestamps.astype("datetime64[D]").astype(np.int64) + 3, 7)
            return 5 * week + np.minimum(day, 4)
        return (timestamps if self.integer else timestamps.astype(f"datetime64[{self._resolution}]")).astype(np.int64)

    @property
    def ordinal_step(self) -> int:
        """Difference of the ordinals of consecutive time steps."""
        return self.months or self.seconds or self.integer or self.business

    def to_step_indices(self, timestamps: np.ndarray, floor: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the index of the time step of each timestamp, and whether the timestamp is irregular.

        Args:
            timestamps: Timestamps of one series, sorted.
            floor: Whether time steps begin at the anchor; else at the last timestamp.

        Returns:
            Tuple of int64 indices, counted from any time step, and bools.
        """
        ordinals = self.to_ordinals(timestamps)
        start = self.anchor if floor and (self.seconds or self.integer) else ordinals[-1]
        indices, remainders = np.divmod(ordinals - start, self.ordinal_step)
        irregular = remainders != 0
        if self.business and not self.months:
            irregular |= (timestamps.astype("datetime64[D]").astype(np.int64) + 3) % 7 > 4
        elif self.seconds:
            irregular |= timestamps.astype(f"datetime64[{self._resolution}]") != timestamps
        return indices, irregular

    def make_grid(self, timestamps: np.ndarray, count: int, floor: bool) -> np.ndarray:
        """Return `count` regular timestamps, from the time step of the first of sorted timestamps on.

        Args:
            timestamps, floor: See `to_step_indices`.
            count: Number of time steps.
        """
        if self.months:
            return np.concatenate([timestamps[:1], self._add_months(timestamps, timestamps[0], count - 1)])
        ordinals, steps = self.to_ordinals(timestamps), np.arange(count) * self.ordinal_step
        if self.business:
            first = ordinals[-1] + self.ordinal_step * ((ordinals[0] - ordinals[-1]) // self.ordinal_step)
            days = timestamps[-1].astype("datetime64[D]")
            return _from_business_ordinals(first + steps) + (timestamps[-1] - days)
        start = self.anchor if floor else ordinals[-1]
        first = start + self.ordinal_step * ((ordinals[0] - start) // self.ordinal_step)
        return (first + steps).astype(timestamps.dtype if self.integer else f"datetime64[{self._resolution}]")

    def make_future(self, timestamps: np.ndarray, count: int) -> np.ndarray:
        """Return the `count` timestamps that follow a history, or one timestamp.

        Examples:
            >>> parse_frequency("MS").make_future(np.array(["2024-01-01"], "datetime64[s]"), 2).astype(str).tolist()
            ['2024-02-01T00:00:00', '2024-03-01T00:00:00']
        """
        timestamps = np.atleast_1d(timestamps)
        if self.months:
            return self._add_months(timestamps, timestamps[-1], count)
        steps = np.arange(1, count + 1) * self.ordinal_step
        if self.business:
            days = timestamps[-1].astype("datetime64[D]")
            return _from_business_ordinals(self.to_ordinals(timestamps[-1:]) + steps) + (timestamps[-1] - days)
        return timestamps[-1] + steps

    def with_anchor(self, series: Iterable[np.ndarray]) -> Frequency:
        """Return the frequency with the anchor of all series.

        For months it is the day of the month that they share, else the most frequent ordinal.
        """
        if self.business:
            return self
        if self.months:
            days = {self.get_anchor_day(timestamps) for timestamps in series if len(timestamps)}
            return replace(self, anchor=days.pop() if len(days) == 1 else 0)
        starts = [self.to_ordinals(timestamps) % self.ordinal_step for timestamps in series if len(timestamps)]
        return replace(self, anchor=_get_mode(np.concatenate(starts)) if starts else 0)

    def get_anchor_day(self, timestamps: np.ndarray) -> int:
        """Return the day of the month of a history, 31 for the last one.

        28 February alone may be the last day or the 28th: the anchor decides, where it fits.
        """
        days, lengths = _get_days_of_month(timestamps)
        if (days != lengths).any():
            return int(days.max())
        return self.anchor if self.anchor and (days == np.minimum(self.anchor, lengths)).all() else 31

    @property
    def _resolution(self) -> str:
        return "s" if self.ticks_per_second == 1 else "us"

    def _add_months(self, timestamps: np.ndarray, timestamp: np.ndarray, count: int) -> np.ndarray:
        months = timestamp.astype("datetime64[M]") + np.arange(1, count + 1) * self.months
        if self.business:
            days = _get_last_business_days(months) if self.business == LAST else _get_first_business_days(months)
        else:
            lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int)
            days = months.astype("datetime64[D]") + np.minimum(self.get_anchor_day(timestamps), lengths) - 1
        return days.astype(timestamps.dtype) + (timestamp - timestamp.astype("datetime64[D]"))


def parse_frequency(text: str) -> Frequency:
    """Parse a frequency.

    Args:
        text: In words, `hour`, `15 minutes`, `2 weeks`, `quarter` or `business day`; a pandas alias, `h`, `15min`, `W`,
            `QS`, `B` or `BME`; or the difference of integer timestamps, `1` or `5`.

    Raises:
        HparamError: The text is not a frequency.

    Examples:
        >>> str(parse_frequency("2W"))
        '2 weeks'
    """
    match = re.fullmatch(r"\s*(\d*)\s*([A-Za-z]*?(?: day| days)?)(?:-[A-Za-z]+)?\s*", text)
    count = int(match[1] or 1) if match else 0
    name = match[2].lower() if match else ""
    if match and match[1] and not name and count:
        return Frequency(integer=count)
    if count and name in ("b", "business day", "business days"):
        return Frequency(business=count)
    if count and name in BUSINESS_MONTHS:
        return Frequency(months=count * BUSINESS_MONTHS[name][0], business=BUSINESS_MONTHS[name][1])
    unit = next((unit for unit in (*SECONDS, *MONTHS) if name in (unit, f"{unit}s")), ALIASES.get(name))
    if not count or unit is None:
        raise HparamError(
            f"{option('frequency')} must be such as hour, 15 minutes, week, quarter, business day, or 15min, W, QS, "
            f"B, BME. Received: {text!r}."
        )
    return Frequency(months=count * MONTHS[unit]) if unit in MONTHS else Frequency(seconds=count * SECONDS[unit])


def infer_frequency(series: Iterable[np.ndarray], source: str) -> Frequency:
    """Infer the frequency of series, the most frequent difference of consecutive timestamps.

    It is a number of months where the days of the month agree, and business days where no timestamp is on a weekend.

    Args:
        series: Timestamps of each series, sorted: datetime64[s], datetime64[us], or int64 for an integer index.
        source: Name of the data, for messages.

    Raises:
        DataError: No series has two distinct timestamps, or some timestamps are integers and others dates.
    """
    series = [timestamps for timestamps in series if len(timestamps)]
    kinds = {timestamps.dtype.kind for timestamps in series}
    if len(kinds) > 1:
        raise DataError(f"{source}: some timestamps are integers, others are dates. Use one type for all.")
    has_fractions = any(timestamps.dtype == "datetime64[us]" for timestamps in series)
    if has_fractions:
        series = [timestamps.astype("datetime64[us]") for timestamps in series]
    gaps = [np.diff(timestamps.astype(np.int64)) for timestamps in series]
    gaps = [gap[gap > 0] for gap in gaps]
    if not sum(map(len, gaps)):
        raise DataError(
            f"{source}: no series has two distinct timestamps: the frequency cannot be inferred. Set "
            f"{option('frequency')}."
        )
    gap = _get_mode(np.concatenate(gaps))
    if kinds == {"i"}:
        return Frequency(integer=gap)
    if has_fractions and gap % MICROSECONDS:
        return Frequency(seconds=gap, ticks_per_second=MICROSECONDS)
    seconds = gap // (MICROSECONDS if has_fractions else 1)
    if seconds >= 26 * DAY:
        months = np.concatenate([np.diff(of.astype("datetime64[M]").astype(np.int64)) for of in series])
        count = _get_mode(months[months > 0]) if (months > 0).any() else 0
        if count and all(map(_have_same_day, series)):
            return Frequency(months=count)
        for business, find_days in ((LAST, _get_last_business_days), (FIRST, _get_first_business_days)):
            if count and all((of.astype("datetime64[D]") == find_days(of)).all() for of in series):
                return Frequency(months=count, business=business)
    if seconds == DAY and _have_business_days_only(series):
        return Frequency(business=1)
    return Frequency(seconds=seconds)


def infer_other_frequency(timestamps: np.ndarray, frequency: Frequency) -> Frequency | None:
    """Infer the frequency of one series if it is regular, but not of the frequency of the others; else return None.

    A few timestamps do not suffice, nor do neighbors that are one time step of `frequency` apart: time steps may be
    missing.
    """
    timestamps = np.unique(timestamps)
    if len(timestamps) < 4:
        return None
    gaps = np.diff(frequency.to_ordinals(timestamps))
    own = infer_frequency([timestamps], "")
    own_gaps = np.diff(own.to_ordinals(timestamps))
    if own == frequency or (own_gaps == own.ordinal_step).mean() < MIN_REGULAR_FRACTION:
        return None
    return None if (gaps == frequency.ordinal_step).mean() >= 1 - MIN_REGULAR_FRACTION else own


def _get_mode(values: np.ndarray) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def _get_days_of_month(timestamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the day of the month of each timestamp, from 1, and the number of days of its month."""
    days = timestamps.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    starts = months.astype("datetime64[D]")
    return (days - starts).astype(int) + 1, ((months + 1).astype("datetime64[D]") - starts).astype(int)


def _have_same_day(timestamps: np.ndarray) -> bool:
    """Return whether all timestamps have one day of the month, or the last one where a month is shorter."""
    days, lengths = _get_days_of_month(timestamps)
    return bool((days == np.minimum(days.max(), lengths)).all() or (days == lengths).all())


def _get_last_business_days(timestamps: np.ndarray) -> np.ndarray:
    """Return the last business day of the month of each timestamp."""
    last = (timestamps.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    return last - np.maximum((last.astype(np.int64) + 3) % 7 - 4, 0)


def _get_first_business_days(timestamps: np.ndarray) -> np.ndarray:
    """Return the first business day of the month of each timestamp."""
    first = timestamps.astype("datetime64[M]").astype("datetime64[D]")
    weekday = (first.astype(np.int64) + 3) % 7
    return first + np.where(weekday > 4, 7 - weekday, 0)


def _from_business_ordinals(ordinals: np.ndarray) -> np.ndarray:
    """Convert numbers of business days to dates."""
    week, day = np.divmod(ordinals, 5)
    return (7 * week + day - 3).astype("datetime64[D]")


def _have_business_days_only(series: Iterable[np.ndarray]) -> bool:
    """Return whether all timestamps are business days, although weekends lie between them."""
    weekends = 0
    for timestamps in series:
        days = timestamps.astype("datetime64[D]").astype(np.int64) + 3
        if (days % 7 > 4).any():
            return False
        weekends += int(days[-1] // 7 - days[0] // 7)
    return weekends >= 2  # a few days of one week do not suffice
