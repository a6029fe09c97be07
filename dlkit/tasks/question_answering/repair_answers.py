"""Answers put where they stand in their passage, whatever their offsets count."""

from __future__ import annotations

import collections
import functools
import unicodedata
from collections.abc import Callable, Sequence

Answer = tuple[str, int]  # its text, and the offset at which it starts; -1 if it is not known
Row = tuple[Sequence[Answer], str]  # answers with their passage
FAR = 20  # characters: answers that stand farther from their offset say nothing of what offsets count
UNITS: dict[str, Callable[[str, int], int]] = {  # from an offset to the character that it means
    "characters": lambda context, offset: offset,
    "UTF-16 units": lambda context, offset: _characters(context, offset * 2, "utf-16-le"),
    "bytes": lambda context, offset: _characters(context, offset, "utf-8"),
}


def repair_answers(rows: Sequence[Row]) -> tuple[list[list[Answer]], list[str]]:
    """Places all answers of a source, without the blanks around them.

    An answer that does not stand at its offset goes to the place of its text that is nearest to it. What offsets count
    is told from all of them together: characters, unless answers stand nearer to where bytes or UTF-16 units say. An
    answer without an offset has a place if its text stands in the passage once. What has no place gets -1.

    Args:
        rows: answers with their passage.

    Returns:
        The answers of each row, and remarks on what was done.
    """
    counts: collections.Counter[str] = collections.Counter()
    bare = _bare(rows, counts)
    unit = _unit(bare)
    placed = [[_placed(text, start, context, unit, counts) for text, start in answers] for answers, context in bare]
    return placed, _remarks(counts)


def _bare(rows: Sequence[Row], counts: collections.Counter[str]) -> list[Row]:
    """The rows with answers without blanks around them, and without answers that are blanks."""
    made: list[Row] = []
    for answers, context in rows:
        kept = [(text.strip(), _after_blanks(text, start)) for text, start in answers if text.strip()]
        counts["answers"] += len(kept)
        counts["blank"] += len(answers) - len(kept)
        counts["stripped"] += sum(text.strip() != text for text, _ in answers) - len(answers) + len(kept)
        made.append((kept, context))
    return made


def _after_blanks(text: str, start: int) -> int:
    return start + len(text) - len(text.lstrip()) if start >= 0 else start


def _unit(rows: Sequence[Row]) -> str:
    """What the offsets of a source count: the unit by which answers stand nearest to them."""
    apart: collections.Counter[str] = collections.Counter()
    for answers, context in rows:
        for text, start in [] if context.isascii() else answers:  # else all units are the same
            places = _all(text, context) if start >= 0 else []
            for unit, place in UNITS.items() if places else ():
                meant = place(context, start)
                apart[unit] += min(FAR, *(abs(meant - known) for known in places))
    return min(UNITS, key=lambda unit: apart[unit])  # of equal ones the first, characters


def _placed(text: str, start: int, context: str, unit: str, counts: collections.Counter[str]) -> Answer:
    places = _places(text, context)
    if not places or (start < 0 and len(places) > 1):
        counts["lost"] += 1
        return text, -1
    meant = UNITS[unit](context, start) if start >= 0 else -1
    place = min(places, key=lambda known: abs(known - meant))
    if start in places and place != meant:
        place = start  # some count characters all the same
    elif place != meant:
        counts["moved"] += 1
    elif place != start:
        counts[unit] += 1
    spelled = context[place : places[place]]
    counts["spelled"] += spelled != text
    return spelled, place


def _places(text: str, context: str) -> dict[int, int]:
    """Where a text begins and ends in another one, as it is or else in another Unicode form."""
    found = _all(text, context)
    if found or (text.isascii() and context.isascii()):
        return {place: place + len(text) for place in found}
    composed, whole = (unicodedata.normalize("NFC", each) for each in (text, context))
    ends = [(place, place + len(composed)) for place in _all(composed, whole)]
    begins = _begins(context, whole) if ends else {}
    return {begins[first]: begins[after] for first, after in ends if first in begins and after in begins}


@functools.lru_cache(16)  # of the answers of one passage
def _begins(context: str, composed: str) -> dict[int, int]:
    """Places in the composed text at which a character of the text itself begins, each with that one's place."""
    begins, made, last = {}, "", 0
    for place in range(1, len(context) + 1):
        part = unicodedata.normalize("NFC", context[last:place])
        following = context[place : place + 1]
        joined = unicodedata.normalize("NFC", part + following) != part + unicodedata.normalize("NFC", following)
        if joined or (following and unicodedata.combining(following)):
            continue
        begins[len(made)] = last
        made, last = made + part, place
    return {**begins, len(made): len(context)} if made == composed else {}


def _all(text: str, context: str) -> list[int]:
    places, place = [], context.find(text)
    while place >= 0:
        places.append(place)
        place = context.find(text, place + 1)
    return places


def _characters(context: str, size: int, encoding: str) -> int:
    """How many characters the first bytes of a text in an encoding are."""
    return len(context[:size].encode(encoding)[:size].decode(encoding, "ignore"))


def _remarks(counts: collections.Counter[str]) -> list[str]:
    told = {
        "blank": "{} answers are blank: they count as no answer",
        "stripped": "{} of {all} answers had surrounding whitespace, which was removed",
        "spelled": "{} of {all} answers occur in the text in another Unicode form, which is used",
        "UTF-16 units": "offsets of {} of {all} answers count UTF-16 units, and were converted to characters",
        "bytes": "offsets of {} of {all} answers count bytes, and were converted to characters",
        "moved": "{} of {all} answers were not at their offset, or had none; the nearest or only other "
        "occurrence in the text is used",
        "lost": "{} of {all} answers do not occur in the text, or have no offset and occur more than once: they are "
        "excluded from training",
    }
    return [text.format(counts[name], all=counts["answers"]) for name, text in told.items() if counts[name]]
