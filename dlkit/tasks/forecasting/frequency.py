"""Frequencies: the step between two stamps of a series, in months, in seconds, or in whole numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dlkit.errors import DataError, KnobError

DAY = 86_400
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": DAY, "week": 7 * DAY}
MONTHS = {"month": 1, "quarter": 3, "year": 12}
# As pandas writes them, without their anchors.
ALIASES = {"s": "second", "min": "minute", "t": "minute", "h": "hour", "d": "day", "w": "week", "ms": "month",
           "me": "month", "m": "month", "qs": "quarter", "qe": "quarter", "q": "quarter", "ys": "year", "ye": "year",
           "y": "year"}  # fmt: skip
LONGEST_SEASON = 1500  # steps: a window holds a few


@dataclass(frozen=True)
class Step:
    """The step between two stamps: exactly one of these is not 0.

    Attributes:
        months: calendar months.
        seconds: seconds.
        whole: what is added to stamps that are whole numbers.
    """

    months: int = 0
    seconds: int = 0
    whole: int = 0

    def __str__(self) -> str:
        if self.whole:
            return f"{self.whole}, as whole numbers"
        units, size = (MONTHS, self.months) if self.months else (SECONDS, self.seconds)
        name, unit = next((name, unit) for name, unit in reversed(units.items()) if size % unit == 0)
        return name if size == unit else f"{size // unit} {name}s"

    def seasons(self) -> list[int]:
        """The usual seasons in steps, the shortest first: a day and a week of hours, a year of months, ..."""
        if self.whole:
            return []
        if self.months:
            return [12 // self.months] if self.months < 12 and 12 % self.months == 0 else []
        found = [length // self.seconds for length in (DAY, 7 * DAY) if length % self.seconds == 0]
        year = round(365.25 * DAY / self.seconds) if self.seconds >= DAY else 0
        if self.seconds == 7 * DAY:
            year = 52
        return [season for season in dict.fromkeys([*found, year]) if 1 < season <= LONGEST_SEASON]

    def position(self, stamps: np.ndarray) -> np.ndarray:
        """Stamps as int64 that grow by `self.unit` from one step to the next, days of a month left aside."""
        if self.months:
            return stamps.astype("datetime64[M]").astype(np.int64)
        return stamps.astype(np.int64)

    @property
    def unit(self) -> int:
        """By how much `position` grows."""
        return self.months or self.seconds or self.whole

    def after(self, stamp: np.ndarray, count: int) -> np.ndarray:
        """The `count` stamps that follow one; of months, on the same day, or on the last one."""
        steps = np.arange(1, count + 1)
        if not self.months:
            return stamp + steps * self.unit
        month, day = stamp.astype("datetime64[M]"), stamp.astype("datetime64[D]")
        ahead = month + steps * self.months
        last = (ahead + 1).astype("datetime64[D]") - 1
        ends = day == (month + 1).astype("datetime64[D]") - 1
        same = np.minimum(ahead.astype("datetime64[D]") + (day - month.astype("datetime64[D]")), last)
        return (last if ends else same).astype("datetime64[s]") + (stamp - day)


def parse_frequency(text: str) -> Step:
    """`hour`, `15 minutes`, `2 weeks`, `quarter`, or as pandas writes them: `h`, `15min`, `W`, `QS`; `1` or `5` of
    whole numbers.

    Raises:
        KnobError: it is none.
    """
    match = re.fullmatch(r"\s*(\d*)\s*([A-Za-z]*?)(?:-[A-Za-z]+)?\s*", text)
    count = int(match[1] or 1) if match else 0
    name = match[2] if match else ""
    name = next((unit for unit in (*SECONDS, *MONTHS) if name.lower() in (unit, f"{unit}s")), ALIASES.get(name.lower()))
    if match and match[1] and not match[2] and count:
        return Step(whole=count)
    if not count or name is None:
        raise KnobError(
            f"`frequency` must be as hour, 15 minutes, week, quarter, or as 15min, W, QS. Received: {text!r}."
        )
    return Step(months=count * MONTHS[name]) if name in MONTHS else Step(seconds=count * SECONDS[name])


def infer_frequency(series: Iterable[np.ndarray], source: str) -> Step:
    """The step that most neighbours of sorted series differ by: months where their days agree.

    Args:
        series: the stamps of each series, sorted: datetime64[s], or int64 where they count steps.
        source: for the message.

    Raises:
        DataError: no series has two stamps that differ, or some are whole numbers and others not.
    """
    known = [stamps for stamps in series if len(stamps)]
    kinds = {stamps.dtype.kind for stamps in known}
    if len(kinds) > 1:
        raise DataError(f"{source}: some stamps are whole numbers, others are dates. Give all in one form.")
    gaps = [np.diff(stamps.astype(np.int64)) for stamps in known]
    gaps = [gap[gap > 0] for gap in gaps]
    if not sum(map(len, gaps)):
        raise DataError(
            f"{source}: no series has two stamps that differ: the frequency cannot be inferred. Give `frequency`."
        )
    usual = _mode(np.concatenate(gaps))
    if kinds == {"i"}:
        return Step(whole=usual)
    if usual >= 28 * DAY and all(map(_same_days, known)):
        months = np.concatenate([np.diff(stamps.astype("datetime64[M]").astype(np.int64)) for stamps in known])
        return Step(months=_mode(months[months > 0]))
    return Step(seconds=usual)


def _mode(values: np.ndarray) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)])


def _same_days(stamps: np.ndarray) -> bool:
    """Whether all stamps are of one day of the month, or of the last one."""
    days = stamps.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    numbers = (days - months.astype("datetime64[D]")).astype(int)
    left = ((months + 1).astype("datetime64[D]") - days).astype(int)
    return bool((numbers == numbers[0]).all() or (left == 1).all())
