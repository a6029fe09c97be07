"""Facts and warnings about documents: scripts, characters that are no text, duplicates, overlap of two sets."""

from __future__ import annotations

import collections
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report, most_common
from dlkit.tasks.language_model.documents import DocumentText, cut_document, document_bytes, find_boundary
from dlkit.text.scripts import spaceless_share

OVERLAP_WORDS = 13  # of an n-gram that two sets share by copying, as GPT-3 counted (arXiv:2005.14165, appendix C)
OVERLAP_CHARACTERS = 50  # the same, of scripts without spaces between words
MAX_INSPECTED_BYTES = 1 << 22  # of a document
MIN_DUPLICATE_BYTES = 1  # of a document that may be a duplicate
MAX_OVERLAP = 0.01  # share of a set that may be in the other without a warning
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ORDINARY = "\t\n\v\f\r"  # control characters of texts


def inspect_documents(report: Report, table: Table, validation: Table | None, name: str) -> None:
    """Add facts and warnings about a column of documents to a report.

    Args:
        report: the report to add to.
        table, validation: training and validation documents.
        name: the column.
    """
    documents = list(_read(report, table, name, 0.3))
    if not documents:
        return
    sizes = [document_bytes(value) for value in table.columns[name]]
    report.statistics["bytes"] = {"total": sum(sizes), "median": int(np.median(sizes)), "maximum": max(sizes)}
    counts: collections.Counter[str] = collections.Counter()
    for _, text in documents:
        counts.update(text)
    report.statistics["scripts"] = describe_scripts(counts)
    empty = [table.where(row) for row, text in documents if not text.strip()]
    if empty:
        report.add_warning(f"{len(empty)} of {len(documents)} documents are blank", empty)
    _inspect_characters(report, table, documents)
    _inspect_duplicates(report, table, documents)
    if validation is not None:
        held_out = list(_read(report, validation, name, 0.3))
        _inspect_overlap(report, validation, documents, held_out)


def describe_scripts(counts: collections.Counter[str]) -> dict[str, str]:
    """Return the share of each script among the letters of counted characters, the largest first.

    The script of a letter is the first word of its Unicode name.

    Examples:
        >>> describe_scripts(collections.Counter("abcд 1."))
        {'latin': '75%', 'cyrillic': '25%'}
    """
    scripts: collections.Counter[str] = collections.Counter()
    for character, count in counts.items():
        if unicodedata.category(character).startswith("L"):
            scripts[unicodedata.name(character, "unknown").split()[0].split("-")[0].lower()] += count
    total = max(scripts.total(), 1)
    return {script: f"{count / total:.2g}" if count < 0.005 * total else f"{count / total:.0%}"
            for script, count in most_common(scripts).items()}  # fmt: skip


def is_no_text(character: str) -> bool:
    """Return whether a character does not belong into a text: a control character, or one for undecodable bytes."""
    if character in _ORDINARY:
        return False
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cn", "Cs")


def share_ngrams(train: Iterable[str], others: Sequence[str]) -> np.ndarray:
    """Return which share of each text consists of long n-grams of the training texts, (others,) in [0, 1].

    N-grams are of 13 words, case and white space aside or, of scripts without spaces between words, of 50 characters.

    Examples:
        >>> copied = " ".join(map(str, range(20)))
        >>> share_ngrams([f"first {copied}"], [f"{copied} {copied}", "another text"]).round(1).tolist()
        [1.0, 0.0]
    """
    train = list(train)
    by_character = spaceless_share([*train, *others]) > 0.5
    ids: dict[str, int] = {}
    length = OVERLAP_CHARACTERS if by_character else OVERLAP_WORDS
    known = [_hash_ngrams(_number(text, ids, by_character), length) for text in train]
    table = np.unique(np.concatenate(known)) if known else np.zeros(0, np.uint64)
    shares = []
    for text in others:
        hashes = _hash_ngrams(_number(text, ids, by_character), length)
        covered = np.zeros(len(hashes) + length, int)  # how many shared n-grams begin or end at each token
        starts = np.flatnonzero(np.isin(hashes, table))
        np.add.at(covered, starts, 1)
        np.add.at(covered, starts + length, -1)
        shares.append((covered.cumsum()[:-1] > 0).mean() if len(hashes) else 0.0)
    return np.array(shares)


def _number(text: str, ids: dict[str, int], by_character: bool) -> np.ndarray:
    """Return a number for each word, or character, of a text."""
    if by_character:
        return np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    return np.array([ids.setdefault(word, len(ids)) for word in text.casefold().split()], np.uint64)


def _hash_ngrams(numbers: np.ndarray, length: int) -> np.ndarray:
    """Hash all n-grams of a sequence: (tokens,) to (tokens - length + 1,) uint64; none of a shorter one."""
    count = len(numbers) - length + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        hashes = (hashes ^ (numbers[offset : offset + count] + np.uint64(1))) * _MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _read(report: Report, table: Table, name: str, share: float) -> Iterator[tuple[int, str]]:
    """Yield documents with their rows, as far as the time of the report allows; of long ones the first part."""
    column, cut = DocumentText(), 0
    for row in report.sample(len(table), share):
        value: Any = table.columns[name][row]
        try:
            if document_bytes(value) > MAX_INSPECTED_BYTES:
                value = cut_document(value, [MAX_INSPECTED_BYTES])[0]
                data = column.raw(value)
                data = data[: find_boundary(data)]
                cut += 1
            else:
                data = column.raw(value)
        except DataError:
            continue  # encoding refuses or counts it
        yield row, data.decode("utf-8", "replace")
    if cut:
        report.statistics.setdefault("inspected", {})["documents in part"] = cut


def _inspect_characters(report: Report, table: Table, documents: Sequence[tuple[int, str]]) -> None:
    found: dict[str, int] = {}
    counts: collections.Counter[str] = collections.Counter()
    for row, text in documents:
        bad = {character: text.count(character) for character in set(text) if is_no_text(character)}
        if bad:
            found[table.where(row)] = sum(bad.values())
            counts.update(bad)
    if found:
        names = ", ".join(f"U+{ord(character):04X} {count} times" for character, count in counts.most_common(3))
        report.add_warning(
            f"{len(found)} of {len(documents)} documents have characters that are no text ({names})",
            found,
            "Look for binary files, or for files in another encoding that were converted with errors.",
        )


def _inspect_duplicates(report: Report, table: Table, documents: Sequence[tuple[int, str]]) -> None:
    first: dict[bytes, int] = {}
    duplicates = []
    for row, text in documents:
        if not text.strip():
            continue
        key = hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).digest()
        if key in first:
            duplicates.append(f"{table.where(row)} is {table.where(first[key])}")
        first.setdefault(key, row)
    if duplicates:
        report.add_warning(
            f"{len(duplicates)} of {len(documents)} documents are duplicates, white space aside",
            duplicates,
            "Remove them: a model learns repeated texts by heart.",
        )


def _inspect_overlap(
    report: Report, validation: Table, train: Sequence[tuple[int, str]], held_out: Sequence[tuple[int, str]]
) -> None:
    shares = share_ngrams((text for _, text in train), [text for _, text in held_out])
    sizes = np.array([max(len(text), 1) for _, text in held_out])
    overlap = float((shares * sizes).sum() / max(sizes.sum(), 1))
    report.statistics["overlap"] = f"{overlap:.2%} of the validation text occurs in the inspected training text"
    if overlap > MAX_OVERLAP:
        places = [validation.where(held_out[index][0]) for index in np.argsort(-shares) if shares[index]]
        report.add_warning(
            f"{overlap:.0%} of the validation text consists of passages of {OVERLAP_WORDS} or more words that also "
            "occur in the training data",
            places,
            "Metrics on them measure memory, not generalization: remove them from one of the two sets.",
        )
