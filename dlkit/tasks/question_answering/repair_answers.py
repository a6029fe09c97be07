"""Repair of the offsets of answers, whatever unit they are in."""

from __future__ import annotations

import collections
import functools
import unicodedata
from collections.abc import Callable, Sequence

Answer = tuple[str, int]  # its text, and the offset at which it starts; -1 if it is unknown
Row = tuple[Sequence[Answer], str]  # answers with their context
MAX_OFFSET_DISTANCE = 20  # characters: answers farther from their offset say nothing about the unit
OFFSET_UNITS: dict[str, Callable[[str, int], int]] = {  # convert an offset to one in characters
    "characters": lambda context, offset: offset,
    "UTF-16 units": lambda context, offset: _count_characters(context, offset * 2, "utf-16-le"),
    "bytes": lambda context, offset: _count_characters(context, offset, "utf-8"),
}


def repair_answers(rows: Sequence[Row]) -> tuple[list[list[Answer]], list[str]]:
    """Locate all answers of a data source in their contexts, and strip the whitespace around them.

    An answer that does not occur at its offset is moved to the nearest occurrence of its text. The unit of offsets is
    determined from all answers together: characters, unless answers are nearer to where bytes or UTF-16 units point.
    An answer without an offset is located if its text occurs once in the context. Others get the offset -1.

    Args:
        rows: answers with their context.

    Returns:
        Tuple of the answers of each row, and remarks on what was changed.

    Examples:
        >>> repair_answers([([("Rome", 3)], "Ann lives in Rome.")])[0]
        [[('Rome', 13)]]
    """
    counts: collections.Counter[str] = collections.Counter()
    stripped = _strip_answers(rows, counts)
    unit = _detect_unit(stripped)
    located = [
        [_locate(text, start, context, unit, counts) for text, start in answers] for answers, context in stripped
    ]
    return located, _make_remarks(counts)


def _strip_answers(rows: Sequence[Row], counts: collections.Counter[str]) -> list[Row]:
    """Strip the whitespace around answers, and drop blank answers."""
    stripped: list[Row] = []
    for answers, context in rows:
        kept = [(text.strip(), _skip_blanks(text, start)) for text, start in answers if text.strip()]
        counts["answers"] += len(kept)
        counts["blank"] += len(answers) - len(kept)
        counts["stripped"] += sum(text.strip() != text for text, _ in answers) - len(answers) + len(kept)
        stripped.append((kept, context))
    return stripped


def _skip_blanks(text: str, start: int) -> int:
    return start + len(text) - len(text.lstrip()) if start >= 0 else start


def _detect_unit(rows: Sequence[Row]) -> str:
    """Detect the unit of the offsets of a data source: the one by which answers are nearest to them."""
    distances: collections.Counter[str] = collections.Counter()
    for answers, context in rows:
        for text, start in [] if context.isascii() else answers:  # in ASCII all units are the same
            occurrences = _find_all(text, context) if start >= 0 else []
            for unit, convert in OFFSET_UNITS.items() if occurrences else ():
                offset = convert(context, start)
                distances[unit] += min(MAX_OFFSET_DISTANCE, *(abs(offset - found) for found in occurrences))
    return min(OFFSET_UNITS, key=lambda unit: distances[unit])  # characters, the first one, if several are equal


def _locate(text: str, start: int, context: str, unit: str, counts: collections.Counter[str]) -> Answer:
    """Locate an answer in its context, and count in `counts` what was changed."""
    ends = _find_occurrences(text, context)
    if not ends or (start < 0 and len(ends) > 1):
        counts["not found"] += 1
        return text, -1
    expected = OFFSET_UNITS[unit](context, start) if start >= 0 else -1
    offset = min(ends, key=lambda found: abs(found - expected))
    if start in ends and offset != expected:
        offset = start  # some offsets count characters even if most do not
    elif offset != expected:
        counts["moved"] += 1
    elif offset != start:
        counts[unit] += 1
    spelling = context[offset : ends[offset]]
    counts["respelled"] += spelling != text
    return spelling, offset


def _find_occurrences(text: str, context: str) -> dict[int, int]:
    """Find a text in a context, as it is or else in another Unicode form: end by start."""
    starts = _find_all(text, context)
    if starts or (text.isascii() and context.isascii()):
        return {start: start + len(text) for start in starts}
    composed_text, composed = (unicodedata.normalize("NFC", each) for each in (text, context))
    spans = [(start, start + len(composed_text)) for start in _find_all(composed_text, composed)]
    offsets = _map_offsets(context, composed) if spans else {}
    return {offsets[start]: offsets[end] for start, end in spans if start in offsets and end in offsets}


@functools.lru_cache(16)  # for all answers of a context
def _map_offsets(context: str, composed: str) -> dict[int, int]:
    """Map offsets in the composed context to those in the context, where a character starts in both."""
    offsets, prefix, last = {}, "", 0
    for position in range(1, len(context) + 1):
        part = unicodedata.normalize("NFC", context[last:position])
        following = context[position : position + 1]
        joined = unicodedata.normalize("NFC", part + following) != part + unicodedata.normalize("NFC", following)
        if joined or (following and unicodedata.combining(following)):
            continue
        offsets[len(prefix)] = last
        prefix, last = prefix + part, position
    return {**offsets, len(prefix): len(context)} if prefix == composed else {}


def _find_all(text: str, context: str) -> list[int]:
    starts, start = [], context.find(text)
    while start >= 0:
        starts.append(start)
        start = context.find(text, start + 1)
    return starts


def _count_characters(context: str, size: int, encoding: str) -> int:
    """Count the characters in the first `size` bytes of a text in an encoding."""
    return len(context[:size].encode(encoding)[:size].decode(encoding, "ignore"))


def _make_remarks(counts: collections.Counter[str]) -> list[str]:
    templates = {
        "blank": "{} answers are blank: they count as no answer",
        "stripped": "{} of {all} answers had surrounding whitespace, which was removed",
        "respelled": "{} of {all} answers occur in the text in another Unicode form, which is used",
        "UTF-16 units": "offsets of {} of {all} answers count UTF-16 units, and were converted to characters",
        "bytes": "offsets of {} of {all} answers count bytes, and were converted to characters",
        "moved": "{} of {all} answers were not at their offset, or had none; the nearest or only other "
        "occurrence in the text is used",
        "not found": "{} of {all} answers do not occur in the text, or have no offset and occur more than once: they "
        "are excluded from training",
    }
    return [text.format(counts[name], all=counts["answers"]) for name, text in templates.items() if counts[name]]
