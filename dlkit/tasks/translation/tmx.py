"""Translation memories: TMX 1.4, the exchange format of translators' programs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from dlkit.columns import Column
from dlkit.data.bytes import open_bytes
from dlkit.data.match import match_names, quote_names
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_CODE = "\uffff"  # no character, so that it stands in no text
_CLOSING, _OPENING = ".,;:!?)]}»”…、。！？", "([{«“¿¡"
_MARKUP = ("bpt", "ept", "ph", "it", "ut")  # codes of a document's own format, which are no text


def read_tmx(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """A row for each unit (`tu`) that has all wanted languages; the others are counted.

    A column's name in the file is its language: `columns={"source": "en", "target": "es"}`. "en" finds all its
    variants, "en-US" and "en-GB"; of several in a unit the first counts. Without names the first column is the header's
    `srclang`, and the second the other language where there are two.

    Raises:
        DataError: the file is no TMX, or the languages cannot be told.
    """
    header, units = "", []
    with as_data_error(source, "a TMX file", "Export it again as TMX 1.4."), open_bytes(path, source) as file:
        for kind, value in _parts(file):
            if kind == "header":
                header = value
            else:
                units.append(value)
    found = list(dict.fromkeys(language for unit in units for language, _ in unit))
    if not found:
        raise DataError(f"{source} has no translation units (tu) with texts (tuv, seg).")
    variants = _wanted(columns, found, header, how.rename, source)
    rows: list[int] = []
    values: dict[str, list[str]] = {name: [] for name in columns}
    several, reasons = 0, []
    for number, unit in enumerate(units):
        texts = {name: [text for language, text in unit if language in accepted] for name, accepted in variants.items()}
        lacking = [name for name, given in texts.items() if not given]
        if lacking:
            reasons.append(f"{source}, unit {number + 1}: no {' or '.join(variants[lacking[0]])}.")
            continue
        rows.append(number)
        several += any(len(given) > 1 for given in texts.values())
        for name, given in texts.items():
            values[name].append(given[0])
    told = ", ".join(f"{name}: {' or '.join(accepted)}" for name, accepted in variants.items())
    if not rows:
        raise DataError(
            f"{source}: no unit has a text of each language ({told}). Languages found: {quote_names(found)}."
        )
    remarks = report_skipped(reasons, len(units), "units", how.strict)
    if several:
        remarks.append(
            f"{several} of {len(units)} units have several texts of a language: the first one is used ({told})"
        )
    return Table(source, values, lambda row: f"{source}, unit {rows[row] + 1}", remarks=remarks)


def _wanted(
    columns: Mapping[str, Column], found: list[str], header: str, rename: Mapping[str, str], source: str
) -> dict[str, list[str]]:
    """The languages, as the file has them, that may fill each column."""
    alone = list(dict.fromkeys(language.partition("-")[0] for language in found))
    usual = dict[str, str]()
    if header.partition("-")[0] in alone:
        first = header.partition("-")[0]
        others = [language for language in alone if language != first]
        usual = dict(zip(columns, (first, *others) if len(others) == 1 else (first,), strict=False))
        if len(alone) == 1:  # from one variant to another
            usual = dict(zip(columns, (header, *(other for other in found if other != header)), strict=False))
    asked = usual | {name: _plain(language) for name, language in rename.items() if name in columns}
    accepted = {name: _variants(language, found) for name, language in asked.items()}
    known = {name: languages for name, languages in accepted.items() if languages}
    named = {name: languages[0] for name, languages in known.items()}
    match_names(columns, found, {**rename, **named}, source)  # says which language is missing
    return {name: known.get(name, [name]) for name in columns}


def _variants(wanted: str, found: list[str]) -> list[str]:
    """A language itself and its variants; of a variant that is not there, the language or its only other one."""
    if wanted in found and "-" in wanted:
        return [wanted]
    within = [language for language in found if language == wanted or language.startswith(f"{wanted}-")]
    close = [language for language in found if language.partition("-")[0] == wanted.partition("-")[0]]
    return sorted(within, key=len) if within else close if len(close) == 1 else []


def _plain(language: str) -> str:
    return language.strip().lower().replace("_", "-")


def _parts(file: BinaryIO) -> Iterator[tuple]:
    for _, element in ElementTree.iterparse(file):
        name = element.tag.rpartition("}")[2]
        if name == "header":
            yield "header", _plain(element.get("srclang", ""))
        elif name == "tu":
            yield "unit", _unit(element)
            element.clear()


def _unit(element: ElementTree.Element) -> list[tuple[str, str]]:
    """The languages of a unit with their texts, in its order."""
    texts = []
    for variant in element.iter():
        if variant.tag.rpartition("}")[2] != "tuv":
            continue
        language = _plain(variant.get(_LANGUAGE) or variant.get("lang") or "")
        segment = next((part for part in variant if part.tag.rpartition("}")[2] == "seg"), None)
        if language and segment is not None:
            texts.append((language, _text(segment)))
    return texts


def _text(segment: ElementTree.Element) -> str:
    """A segment's text. A code of the document's format is a blank, as it may stand for a line's end or a picture, but
    not at an end, before what closes or after what opens."""
    joined = "".join(_pieces(segment))

    def blank(match: re.Match[str]) -> str:
        before, after = joined[: match.start()], joined[match.end() :]
        if not before or not after:
            return ""
        touching = " " not in match[0] and (after[0] in _CLOSING or before[-1] in _OPENING or after[0].isspace())
        return "" if touching or before[-1].isspace() else " "

    return re.sub(f" *{_CODE}(?: *{_CODE})* *", blank, joined)


def _pieces(element: ElementTree.Element) -> Iterator[str]:
    yield element.text or ""
    for part in element:
        if part.tag.rpartition("}")[2] in _MARKUP:
            yield _CODE
        else:
            yield from _pieces(part)
        yield part.tail or ""
