"""Report on the data: statistics, warnings and errors, before training and on request."""

from __future__ import annotations

import itertools
import math
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlkit.errors import DataError
from dlkit.log import logger

TIME_LIMIT = 5.0  # that a look takes at most; what is not seen by then is said
MAX_PLACES = 3  # places that a finding names


@dataclass
class Report:
    """Findings on the data of a run.

    Attributes:
        source: what was read, as the user named it.
        statistics: name to a number, a text, or a dict of them.
        remarks: what was left out, merged or put right while it was read, with how many.
        warnings: what looks wrong, with where and the cure.
        errors: what makes the data unusable. Training does not start if there is one.
    """

    source: str
    statistics: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begun = time.perf_counter()

    def add_warning(self, what: str, places: Iterable[str] = (), cure: str = "") -> None:
        """Add a warning with the first places where it applies and a remedy."""
        self.warnings.append(_sentence(what, places, cure))

    def add_error(self, what: str, places: Iterable[str] = (), cure: str = "") -> None:
        """Add an error, in the form of a warning."""
        self.errors.append(_sentence(what, places, cure))

    def sample(self, count: int, time_fraction: float = 0.5) -> Iterator[int]:
        """Yield row numbers below `count`: all of them if time allows, otherwise some of them, spread evenly.

        Args:
            count: how many rows there are.
            time_fraction: of the time that is left, which this walk may take.
        """
        end = time.perf_counter() + time_fraction * max(TIME_LIMIT - (time.perf_counter() - self._begun), 0.2)
        # A low-discrepancy order: wherever it ends, the inspected rows are spread over the table.
        step = max(round(count * 0.6180339887), 1)
        while count > 1 and math.gcd(step, count) > 1:
            step += 1
        for number in range(count):
            if number >= 50 and time.perf_counter() > end:
                inspected = self.statistics.setdefault("inspected", {"rows": number, "of": count})
                inspected["rows"] = min(number, inspected["rows"])
                return
            yield number * step % count

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-serializable data."""
        return {name: getattr(self, name) for name in ("source", "statistics", "remarks", "warnings", "errors")}

    def show(self) -> None:
        """Log the statistics, remarks and warnings."""
        logger.info(statistics_text(self.source, self.statistics))
        for text in self.remarks:
            logger.warning(f"{self.source}: {text}")
        for text in self.warnings:
            logger.warning(f"warning: {self.source}: {text}")

    def raise_errors(self) -> None:
        """Raise DataError if the report has errors."""
        if self.errors:
            raise DataError(" ".join(f"{self.source}: {text}" for text in self.errors))


def _sentence(what: str, places: Iterable[str], cure: str) -> str:
    shown_places = list(itertools.islice(places, MAX_PLACES))
    where = f" ({', '.join(shown_places)})" if shown_places else ""
    return f"{what}{where}.{f' {cure}' if cure else ''}"


def statistics_text(source: str, statistics: Mapping[str, Any]) -> str:
    """Format statistics for people, one per line."""
    return "\n".join([f"data: {source}", *(f"  {name}: {_format_value(value)}" for name, value in statistics.items())])


def _format_value(value: Any) -> str:
    """Format the value of a statistic."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_format_value(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_format_value, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def most_common(counts: Mapping[str, int], shown: int = 12) -> dict[str, Any]:
    """Return the largest counts by name, with the rest summed up."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    rest = ordered[shown:]
    return dict(ordered[:shown]) | ({f"and {len(rest)} more": sum(count for _, count in rest)} if rest else {})


def similar_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of names that differ only in case, Unicode form or whitespace."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if key in first:
            pairs.append((first[key], name))
        first.setdefault(key, name)
    return pairs
