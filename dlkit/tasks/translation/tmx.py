"""Reading of translation memories in TMX 1.4, the exchange format of translation tools."""

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
_CODE = "\uffff"  # a placeholder: no character, so it does not occur in texts
_CLOSING, _OPENING = ".,;:!?)]}»”…、。！？", "([{«“¿¡"
_MARKUP = ("bpt", "ept", "ph", "it", "ut")  # elements with formatting codes of the original document, which are no text


def read_tmx(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a row for each translation unit (`tu`) that has all languages of the columns; others are counted.

    The name of a column in the file is its language: `columns={"source": "en", "target": "es"}`. "en" matches all its
    variants, "en-US" and "en-GB"; the first one of a unit is used. Without names the first column is the `srclang` of
    the header, and the second one the other language if there are two.

    Args:
        path: of the file.
        source: its name in messages.
        columns: the columns to read.
        how: options of reading, with the names of columns in the file.

    Raises:
        DataError: the file is not TMX, or its languages cannot be assigned to the columns.
    """
    header, units = "", []
    with as_data_error(source, "a TMX file", "Export it again as TMX 1.4."), open_bytes(path, source) as file:
        for kind, value in _iterate_elements(file):
            if kind == "header":
                header = value
            else:
                units.append(value)
    found = list(dict.fromkeys(language for unit in units for language, _ in unit))
    if not found:
        raise DataError(f"{source} has no translation units (tu) with texts (tuv, seg).")
    variants = _match_languages(columns, found, header, how.rename, source)
    rows: list[int] = []
    values: dict[str, list[str]] = {name: [] for name in columns}
    num_with_several, reasons = 0, []
    for number, unit in enumerate(units):
        texts = {name: [text for language, text in unit if language in accepted] for name, accepted in variants.items()}
        missing = [name for name, matches in texts.items() if not matches]
        if missing:
            reasons.append(f"{source}, unit {number + 1}: no {' or '.join(variants[missing[0]])}.")
            continue
        rows.append(number)
        num_with_several += any(len(matches) > 1 for matches in texts.values())
        for name, matches in texts.items():
            values[name].append(matches[0])
    assignment = ", ".join(f"{name}: {' or '.join(accepted)}" for name, accepted in variants.items())
    if not rows:
        raise DataError(
            f"{source}: no unit has a text of each language ({assignment}). Languages found: {quote_names(found)}."
        )
    remarks = report_skipped(reasons, len(units), "units", how.strict)
    if num_with_several:
        remarks.append(
            f"{num_with_several} of {len(units)} units have several texts of a language: the first one is used "
            f"({assignment})"
        )
    return Table(source, values, lambda row: f"{source}, unit {rows[row] + 1}", remarks=remarks)


def _match_languages(
    columns: Mapping[str, Column], found: list[str], header: str, rename: Mapping[str, str], source: str
) -> dict[str, list[str]]:
    """Match the languages of the file to the columns: a list of languages by name of the column."""
    primary = list(dict.fromkeys(language.partition("-")[0] for language in found))
    default = dict[str, str]()
    if header.partition("-")[0] in primary:
        first = header.partition("-")[0]
        others = [language for language in primary if language != first]
        default = dict(zip(columns, (first, *others) if len(others) == 1 else (first,), strict=False))
        if len(primary) == 1:  # from one variant of a language to another
            default = dict(zip(columns, (header, *(other for other in found if other != header)), strict=False))
    requested = default | {name: _normalize_code(language) for name, language in rename.items() if name in columns}
    variants = {name: _find_variants(language, found) for name, language in requested.items()}
    matched = {name: languages for name, languages in variants.items() if languages}
    renamed = {name: languages[0] for name, languages in matched.items()}
    match_names(columns, found, {**rename, **renamed}, source)  # raises an error that names a missing language
    return {name: matched.get(name, [name]) for name in columns}


def _find_variants(requested: str, found: list[str]) -> list[str]:
    """Find a language and its variants; for a variant that does not occur, the language or its only other variant."""
    if requested in found and "-" in requested:
        return [requested]
    variants = [language for language in found if language == requested or language.startswith(f"{requested}-")]
    related = [language for language in found if language.partition("-")[0] == requested.partition("-")[0]]
    return sorted(variants, key=len) if variants else related if len(related) == 1 else []


def _normalize_code(language: str) -> str:
    return language.strip().lower().replace("_", "-")


def _iterate_elements(file: BinaryIO) -> Iterator[tuple]:
    for _, element in ElementTree.iterparse(file):
        name = element.tag.rpartition("}")[2]
        if name == "header":
            yield "header", _normalize_code(element.get("srclang", ""))
        elif name == "tu":
            yield "unit", _read_unit(element)
            element.clear()


def _read_unit(element: ElementTree.Element) -> list[tuple[str, str]]:
    """Read the languages of a unit with their texts, in its order."""
    texts = []
    for variant in element.iter():
        if variant.tag.rpartition("}")[2] != "tuv":
            continue
        language = _normalize_code(variant.get(_LANGUAGE) or variant.get("lang") or "")
        segment = next((part for part in variant if part.tag.rpartition("}")[2] == "seg"), None)
        if language and segment is not None:
            texts.append((language, _read_segment(segment)))
    return texts


def _read_segment(segment: ElementTree.Element) -> str:
    """Read the text of a segment.

    A formatting code becomes a space, as it may stand for a line break or an image, but not at either end of the text,
    before closing or after opening punctuation.
    """
    joined = "".join(_iterate_texts(segment))

    def replace_code(match: re.Match[str]) -> str:
        before, after = joined[: match.start()], joined[match.end() :]
        if not before or not after:
            return ""
        is_adjacent = " " not in match[0] and (after[0] in _CLOSING or before[-1] in _OPENING or after[0].isspace())
        return "" if is_adjacent or before[-1].isspace() else " "

    return re.sub(f" *{_CODE}(?: *{_CODE})* *", replace_code, joined)


def _iterate_texts(element: ElementTree.Element) -> Iterator[str]:
    yield element.text or ""
    for part in element:
        if part.tag.rpartition("}")[2] in _MARKUP:
            yield _CODE
        else:
            yield from _iterate_texts(part)
        yield part.tail or ""
