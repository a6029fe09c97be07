"""Frequencies: the step between two timestamps of a series, in months, seconds, whole numbers or business days."""

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
# As pandas writes them, without their anchors.
ALIASES = {"s": "second", "min": "minute", "t": "minute", "h": "hour", "d": "day", "w": "week", "ms": "month",
           "me": "month", "m": "month", "qs": "quarter", "qe": "quarter", "q": "quarter", "ys": "year", "ye": "year",
           "y": "year"}  # fmt: skip
LAST, FIRST = 1, 2  # business days of a month
BUSINESS = {"bme": (1, LAST), "bm": (1, LAST), "bms": (1, FIRST), "bqe": (3, LAST), "bqs": (3, FIRST),
            "bye": (12, LAST), "bys": (12, FIRST)}  # fmt: skip
LONGEST_SEASON = 1500  # steps: a window holds a few
FRACTIONS = 1_000_000  # of a second, where timestamps have such
REGULAR = 0.8  # share of its gaps that are alike, from which on a series has a step of its own


@dataclass(frozen=True)
class Step:
    """The step between two timestamps: exactly one of `months`, `seconds`, `whole` and `business` is not 0, but that
    `business` may be beside `months`.

    Attributes:
        months: calendar months.
        seconds: seconds; where `per_second` is above 1, such parts of one.
        whole: what is added to timestamps that are whole numbers.
        business: business days, from Monday to Friday; beside months 1 for their last one, 2 for their first one.
        anchor: of months the day of the month that all series stand on, 31 for the last one, 0 where they do not agree;
            of others a point that a step begins at.
        per_second: 1, or a million where timestamps have fractions of a second.
    """

    months: int = 0
    seconds: int = 0
    whole: int = 0
    business: int = 0
    anchor: int = field(default=0, compare=False)
    per_second: int = 1

    def __str__(self) -> str:
        if self.whole:
            return f"{self.whole}, as whole numbers"
        if self.business and not self.months:
            return "business day" if self.business == 1 else f"{self.business} business days"
        if self.seconds % self.per_second:
            return f"{self.seconds / self.per_second:g} seconds"
        units, size = (MONTHS, self.months) if self.months else (SECONDS, self.seconds // self.per_second)
        name, unit = next((name, unit) for name, unit in reversed(units.items()) if size % unit == 0)
        shown = name if size == unit else f"{size // unit} {name}s"
        return (
            f"{shown}, on its {'last' if self.business == LAST else 'first'} business day" if self.business else shown
        )

    def as_list(self) -> list[int]:
        """As layers keep it."""
        return list(astuple(self))

    def seasons(self) -> list[int]:
        """The usual seasons in steps, the shortest first: a day and a week of hours, a year of months, ..."""
        if self.whole:
            return []
        if self.months:
            return [12 // self.months] if self.months < 12 and 12 % self.months == 0 else []
        if self.business:
            return [5 // self.business, round(261 / self.business)] if 5 % self.business == 0 else []
        found = [
            length * self.per_second // self.seconds
            for length in (DAY, 7 * DAY)
            if length * self.per_second % self.seconds == 0
        ]
        days = self.seconds / self.per_second / DAY
        year = 0 if days < 1 else 52 if days == 7 else round(365.25 / days)
        return [season for season in dict.fromkeys([*found, year]) if 1 < season <= LONGEST_SEASON]

    def position(self, stamps: np.ndarray) -> np.ndarray:
        """Timestamps as int64 that grow by `self.unit` from one step to the next.

        Days of a month are left aside, times of a business day, and fractions of a second unless steps have them.
        """
        if self.months:
            return stamps.astype("datetime64[M]").astype(np.int64)
        if self.business:
            week, day = np.divmod(stamps.astype("datetime64[D]").astype(np.int64) + 3, 7)
            return 5 * week + np.minimum(day, 4)
        return (stamps if self.whole else stamps.astype(f"datetime64[{self._resolution}]")).astype(np.int64)

    @property
    def unit(self) -> int:
        """By how much `position` grows."""
        return self.months or self.seconds or self.whole or self.business

    def places(self, stamps: np.ndarray, floor: bool) -> tuple[np.ndarray, np.ndarray]:
        """In which step each of sorted timestamps lies, counted from any one, and whether it lies between the steps.

        Args:
            stamps: of one series.
            floor: whether steps begin at the anchor; else at the last timestamp.
        """
        position = self.position(stamps)
        start = self.anchor if floor and (self.seconds or self.whole) else position[-1]
        places, left = np.divmod(position - start, self.unit)
        between = left != 0
        if self.business and not self.months:
            between |= (stamps.astype("datetime64[D]").astype(np.int64) + 3) % 7 > 4
        elif self.seconds:
            between |= stamps.astype(f"datetime64[{self._resolution}]") != stamps
        return places, between

    def grid(self, stamps: np.ndarray, count: int, floor: bool) -> np.ndarray:
        """The `count` timestamps of the steps from that of the first of sorted ones on; args as of `places`."""
        if self.months:
            return np.concatenate([stamps[:1], self._months_on(stamps, stamps[0], count - 1)])
        position, steps = self.position(stamps), np.arange(count) * self.unit
        if self.business:
            first = position[-1] + self.unit * ((position[0] - position[-1]) // self.unit)
            days = stamps[-1].astype("datetime64[D]")
            return _business_days(first + steps) + (stamps[-1] - days)
        start = self.anchor if floor else position[-1]
        first = start + self.unit * ((position[0] - start) // self.unit)
        return (first + steps).astype(stamps.dtype if self.whole else f"datetime64[{self._resolution}]")

    def after(self, stamps: np.ndarray, count: int) -> np.ndarray:
        """The `count` timestamps that follow a history, or one timestamp; of months, on the same day of the month."""
        stamps = np.atleast_1d(stamps)
        if self.months:
            return self._months_on(stamps, stamps[-1], count)
        steps = np.arange(1, count + 1) * self.unit
        if self.business:
            days = stamps[-1].astype("datetime64[D]")
            return _business_days(self.position(stamps[-1:]) + steps) + (stamps[-1] - days)
        return stamps[-1] + steps

    def anchored(self, series: Iterable[np.ndarray]) -> Step:
        """With the anchor that series have in common: the usual one, or, of months, that of all."""
        if self.business:
            return self
        if self.months:
            days = {self.day(stamps) for stamps in series if len(stamps)}
            return replace(self, anchor=days.pop() if len(days) == 1 else 0)
        starts = [self.position(stamps) % self.unit for stamps in series if len(stamps)]
        return replace(self, anchor=_mode(np.concatenate(starts)) if starts else 0)

    def day(self, stamps: np.ndarray) -> int:
        """The day of the month that the timestamps of a history of months stand for, 31 for the last one.

        28 February alone may be the last day or the 28th: the anchor tells, where it fits.
        """
        numbers, lengths = _days_of_months(stamps)
        if (numbers != lengths).any():
            return int(numbers.max())
        return self.anchor if self.anchor and (numbers == np.minimum(self.anchor, lengths)).all() else 31

    @property
    def _resolution(self) -> str:
        return "s" if self.per_second == 1 else "us"

    def _months_on(self, stamps: np.ndarray, stamp: np.ndarray, count: int) -> np.ndarray:
        months = stamp.astype("datetime64[M]") + np.arange(1, count + 1) * self.months
        if self.business:
            days = _business_ends(months) if self.business == LAST else _business_starts(months)
        else:
            lengths = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(int)
            days = months.astype("datetime64[D]") + np.minimum(self.day(stamps), lengths) - 1
        return days.astype(stamps.dtype) + (stamp - stamp.astype("datetime64[D]"))


def parse_frequency(text: str) -> Step:
    """`hour`, `15 minutes`, `2 weeks`, `quarter`, `business day`, or as pandas writes them: `h`, `15min`, `W`, `QS`,
    `B`, `BME`; `1` or `5` of whole numbers.

    Raises:
        HparamError: it is none.
    """
    match = re.fullmatch(r"\s*(\d*)\s*([A-Za-z]*?(?: day| days)?)(?:-[A-Za-z]+)?\s*", text)
    count = int(match[1] or 1) if match else 0
    name = match[2].lower() if match else ""
    if match and match[1] and not name and count:
        return Step(whole=count)
    if count and name in ("b", "business day", "business days"):
        return Step(business=count)
    if count and name in BUSINESS:
        return Step(months=count * BUSINESS[name][0], business=BUSINESS[name][1])
    unit = next((unit for unit in (*SECONDS, *MONTHS) if name in (unit, f"{unit}s")), ALIASES.get(name))
    if not count or unit is None:
        raise HparamError(
            f"{option('frequency')} must be such as hour, 15 minutes, week, quarter, business day, or 15min, W, QS, "
            f"B, BME. Received: {text!r}."
        )
    return Step(months=count * MONTHS[unit]) if unit in MONTHS else Step(seconds=count * SECONDS[unit])


def infer_frequency(series: Iterable[np.ndarray], source: str) -> Step:
    """The step that most neighbours of sorted series differ by: months where their days agree, business days where none
    is on a weekend.

    Args:
        series: the timestamps of each series, sorted: datetime64[s], datetime64[us], or int64 where they count steps.
        source: for the message.

    Raises:
        DataError: no series has two timestamps that differ, or some are whole numbers and others not.
    """
    known = [stamps for stamps in series if len(stamps)]
    kinds = {stamps.dtype.kind for stamps in known}
    if len(kinds) > 1:
        raise DataError(f"{source}: some timestamps are integers, others are dates. Use one type for all.")
    fine = any(stamps.dtype == "datetime64[us]" for stamps in known)
    if fine:
        known = [stamps.astype("datetime64[us]") for stamps in known]
    gaps = [np.diff(stamps.astype(np.int64)) for stamps in known]
    gaps = [gap[gap > 0] for gap in gaps]
    if not sum(map(len, gaps)):
        raise DataError(
            f"{source}: no series has two distinct timestamps: the frequency cannot be inferred. Set "
            f"{option('frequency')}."
        )
    usual = _mode(np.concatenate(gaps))
    if kinds == {"i"}:
        return Step(whole=usual)
    if fine and usual % FRACTIONS:
        return Step(seconds=usual, per_second=FRACTIONS)
    seconds = usual // (FRACTIONS if fine else 1)
    if seconds >= 26 * DAY:
        months = np.concatenate([np.diff(stamps.astype("datetime64[M]").astype(np.int64)) for stamps in known])
        count = _mode(months[months > 0]) if (months > 0).any() else 0
        if count and all(map(_same_days, known)):
            return Step(months=count)
        for kind, found in ((LAST, _business_ends), (FIRST, _business_starts)):
            if count and all((stamps.astype("datetime64[D]") == found(stamps)).all() for stamps in known):
                return Step(months=count, business=kind)
    if seconds == DAY and _business_only(known):
        return Step(business=1)
    return Step(seconds=seconds)


def own_step(stamps: np.ndarray, step: Step) -> Step | None:
    """The step of one series where it is regular in itself, and another than that of the others; else None.

    Few timestamps, and those with two neighbours that are a step apart, say nothing: steps may be missing.
    """
    stamps = np.unique(stamps)
    if len(stamps) < 4:
        return None
    apart = np.diff(step.position(stamps))
    own = infer_frequency([stamps], "")
    gaps = np.diff(own.position(stamps))
    if own == step or (gaps == own.unit).mean() < REGULAR or (apart == step.unit).mean() >= 1 - REGULAR:
        return None
    return own


def _mode(values: np.ndarray) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def _days_of_months(stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The day of the month of each timestamp, from 1, and how many days the month has."""
    days = stamps.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    starts = months.astype("datetime64[D]")
    return (days - starts).astype(int) + 1, ((months + 1).astype("datetime64[D]") - starts).astype(int)


def _same_days(stamps: np.ndarray) -> bool:
    """Whether all timestamps are of one day of the month, or of the last one where a month is shorter."""
    numbers, lengths = _days_of_months(stamps)
    return bool((numbers == np.minimum(numbers.max(), lengths)).all() or (numbers == lengths).all())


def _business_ends(stamps: np.ndarray) -> np.ndarray:
    """The last business days of months."""
    last = (stamps.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    return last - np.maximum((last.astype(np.int64) + 3) % 7 - 4, 0)


def _business_starts(stamps: np.ndarray) -> np.ndarray:
    """The first business days of months."""
    first = stamps.astype("datetime64[M]").astype("datetime64[D]")
    weekday = (first.astype(np.int64) + 3) % 7
    return first + np.where(weekday > 4, 7 - weekday, 0)


def _business_days(positions: np.ndarray) -> np.ndarray:
    """The days of positions of business days."""
    week, day = np.divmod(positions, 5)
    return (7 * week + day - 3).astype("datetime64[D]")


def _business_only(series: Iterable[np.ndarray]) -> bool:
    """Whether the days of all series are business days, though weekends lie between them."""
    weekends = 0
    for stamps in series:
        days = stamps.astype("datetime64[D]").astype(np.int64) + 3
        if (days % 7 > 4).any():
            return False
        weekends += int(days[-1] // 7 - days[0] // 7)
    return weekends >= 2  # a few days of one week say nothing
