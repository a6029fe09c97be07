"""One look at the data: facts, warnings and refusals, before training and on request."""

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
    """What was found in the data of a run.

    Attributes:
        source: what was read, as the user named it.
        facts: name to a number, a text, or a dict of them.
        remarks: what was left out, merged or put right while it was read, with how many.
        warnings: what looks wrong, with where and the cure.
        refusals: what cannot be meant. Training does not begin where there is one.
    """

    source: str
    facts: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begun = time.perf_counter()

    def warn(self, what: str, places: Iterable[str] = (), cure: str = "") -> None:
        """Adds a warning: what, the first of the places where, and what to do about it."""
        self.warnings.append(_sentence(what, places, cure))

    def refuse(self, what: str, places: Iterable[str] = (), cure: str = "") -> None:
        """Adds a refusal, as `warn` does a warning."""
        self.refusals.append(_sentence(what, places, cure))

    def sample(self, count: int, share: float = 0.5) -> Iterator[int]:
        """Row numbers below `count`, all of them while there is time, else some of them, spread evenly.

        Args:
            count: how many rows there are.
            share: of the time that is left, which this walk may take.
        """
        end = time.perf_counter() + share * max(TIME_LIMIT - (time.perf_counter() - self._begun), 0.2)
        # Rows in the order of a sequence of low discrepancy: wherever it ends, those seen lie all over the table.
        step = max(round(count * 0.6180339887), 1)
        while count > 1 and math.gcd(step, count) > 1:
            step += 1
        for number in range(count):
            if number >= 50 and time.perf_counter() > end:
                known = self.facts.setdefault("looked at", {"rows": number, "of": count})
                known["rows"] = min(number, known["rows"])
                return
            yield number * step % count

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {name: getattr(self, name) for name in ("source", "facts", "remarks", "warnings", "refusals")}

    def show(self) -> None:
        """Logs the facts, and as warnings what a person should look at."""
        logger.info(facts_text(self.source, self.facts))
        for text in self.remarks:
            logger.warning(f"{self.source}: {text}")
        for text in self.warnings:
            logger.warning(f"warning: {self.source}: {text}")

    def raise_errors(self) -> None:
        """Raises DataError where something cannot be meant."""
        if self.refusals:
            raise DataError(" ".join(f"{self.source}: {text}" for text in self.refusals))


def _sentence(what: str, places: Iterable[str], cure: str) -> str:
    named = list(itertools.islice(places, MAX_PLACES))
    where = f" ({', '.join(named)})" if named else ""
    return f"{what}{where}.{f' {cure}' if cure else ''}"


def facts_text(source: str, facts: Mapping[str, Any]) -> str:
    """Give facts as a person reads them, a line each."""
    return "\n".join([f"data: {source}", *(f"  {name}: {_shown(value)}" for name, value in facts.items())])


def _shown(value: Any) -> str:
    """A fact as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def most_common(counts: Mapping[str, int], shown: int = 12) -> dict[str, Any]:
    """Counts by name, the largest first, cut where there are very many."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    rest = ordered[shown:]
    return dict(ordered[:shown]) | ({f"and {len(rest)} more": sum(count for _, count in rest)} if rest else {})


def similar_names(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ in case, in Unicode form, or in blanks around or inside them alone."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if key in first:
            pairs.append((first[key], name))
        first.setdefault(key, name)
    return pairs
