"""Translation memories: TMX 1.4, the exchange format of translators' programs."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path

from dlkit.columns import Column
from dlkit.data.match import match_names
from dlkit.data.table import Table
from dlkit.errors import DataError

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_MARKUP = ("bpt", "ept", "ph", "it", "ut")  # codes of a document's own format, which are no text


def read_tmx(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    """A row for each unit (`tu`) that has all wanted languages.

    A column's name in the file is its language: `columns={"source": "en", "target": "es"}`; "en" also finds "en-US".
    Without that the first column is the header's `srclang`, and the second the other language where there are two.

    Raises:
        DataError: the file is no TMX, or the languages cannot be told.
    """
    header, units = "", []
    try:
        for kind, value in _parts(path):
            if kind == "header":
                header = value
            else:
                units.append(value)
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f"{source}: not a TMX file ({error}). Export it again as TMX 1.4.") from error
    found = list(dict.fromkeys(language for unit in units for language in unit))
    if not found:
        raise DataError(f"{source} has no units (tu) with texts (tuv, seg).")
    wanted = {name: _language(language, found) for name, language in rename.items()}
    matched = match_names(columns, found, wanted, source, also=_usual(list(columns), _language(header, found), found))
    rows = [row for row, unit in enumerate(units) if all(language in unit for language in matched.values())]
    values = {name: [units[row][language] for row in rows] for name, language in matched.items()}
    return Table(source, values, lambda row: f"{source}, unit {rows[row] + 1}")


def _parts(path: Path) -> Iterator[tuple]:
    for _, element in ElementTree.iterparse(path):
        name = element.tag.rpartition("}")[2]
        if name == "header":
            yield "header", element.get("srclang", "").lower()
        elif name == "tu":
            yield "unit", _unit(element)
            element.clear()


def _unit(element: ElementTree.Element) -> dict[str, str]:
    texts = {}
    for variant in element.iter():
        if variant.tag.rpartition("}")[2] != "tuv":
            continue
        language = (variant.get(_LANGUAGE) or variant.get("lang") or "").lower()
        segment = next((part for part in variant if part.tag.rpartition("}")[2] == "seg"), None)
        if language and segment is not None:
            texts[language] = "".join(_texts(segment))
    return texts


def _texts(element: ElementTree.Element) -> Iterator[str]:
    yield element.text or ""
    for part in element:
        if part.tag.rpartition("}")[2] not in _MARKUP:
            yield from _texts(part)
        yield part.tail or ""


def _language(wanted: str, found: list[str]) -> str:
    """The file's own name for a language: itself, or the only one that begins with it."""
    wanted = wanted.lower()
    close = [language for language in found if language.split("-")[0] == wanted.split("-")[0]]
    return close[0] if wanted not in found and len(close) == 1 else wanted


def _usual(names: list[str], first: str, found: list[str]) -> dict[str, list[str]]:
    if len(found) != 2 or first not in found:
        return {names[0]: [first]}
    return dict(zip(names, ([first], [language for language in found if language != first]), strict=False))
