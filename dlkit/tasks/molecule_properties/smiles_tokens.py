"""SMILES as flat tokens: atoms, bonds, ring numbers, parentheses and dots, in core TensorFlow operations.

Characters are numbers, so that everything outside brackets is a look-up in a table of 256; only atoms in brackets are
matched with a regular expression, each part once for all brackets of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlkit.lazy import tf
from dlkit.tasks.molecule_properties import elements
from dlkit.tasks.molecule_properties.segments import any_in_rows

ATOM, BOND, RING, OPEN, CLOSE, DOT = range(1, 7)  # kinds of tokens
BONDS = "-=#$:/\\"
_SYMBOL = r"[A-Z][a-z]?|as|se|te|si|[bcnops]|\*"
_CHIRALITY = r"@@?|@(?:TH|AL|SP|TB|OH)[0-9]{1,2}"
_CHARGE = r"\++|-+|[+-][0-9]{1,2}"
# Groups: isotope, symbol, chirality, hydrogens, charge; then the atom class, which means nothing for a molecule.
_BRACKET = rf"([0-9]{{0,3}})({_SYMBOL})((?:{_CHIRALITY})?)((?:H[0-9]?)?)((?:{_CHARGE})?)(?::[0-9]+)?"


class Tokens(NamedTuple):
    """The tokens of a batch of SMILES, one after another.

    Attributes:
        row: (tokens,) int32, the row of each.
        kind: (tokens,) int32, one of `ATOM`, `BOND`, `RING`, `OPEN`, `CLOSE` and `DOT`.
        symbol: (tokens,) int32, the character of a bond.
        ring: (tokens,) int32, the number of a ring closure.
        element: (tokens,) int32, atomic number.
        aromatic: (tokens,) bool, whether an atom is written in lower case.
        charge: (tokens,) int32.
        hydrogens: (tokens,) int32, those in brackets; -1 for an atom without brackets, whose valence tells.
        isotope: (tokens,) int32, 0 for none.
        chirality: (tokens,) int32, 1 for `@`, counterclockwise, -1 for `@@`, else 0.
    """

    row: tf.Tensor
    kind: tf.Tensor
    symbol: tf.Tensor
    ring: tf.Tensor
    element: tf.Tensor
    aromatic: tf.Tensor
    charge: tf.Tensor
    hydrogens: tf.Tensor
    isotope: tf.Tensor
    chirality: tf.Tensor


def tokenize(text: tf.Tensor) -> tuple[Tokens, dict[str, tf.Tensor]]:
    """Split SMILES into tokens.

    Args:
        text: (batch,) string, without spaces around it.

    Returns:
        Tuple of the tokens, and what is wrong with a row: `empty`, `character`, `bracket` and `element`, (batch,) bool.
        Rows with an unknown character or unpaired brackets have no tokens.
    """
    num_rows = tf.shape(text)[0]
    lengths = tf.strings.length(text)
    width = tf.maximum(tf.reduce_max(tf.concat([lengths, [0]], 0)), 4)  # of 4, so that shifts by 2 fit
    codes = tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=width), tf.int32)
    present = tf.sequence_mask(lengths, width)
    opening, closing = codes == ord("["), codes == ord("]")
    depth = tf.cumsum(tf.cast(opening, tf.int32) - tf.cast(closing, tf.int32), axis=1)
    unclosed = tf.reduce_any((depth < 0) | (depth > 1), 1) | (depth[:, -1] != 0)
    within = (depth > 0) | closing
    kind, consumed, ring = _outside_brackets(codes, within)
    unknown = present & ~within & ~consumed & (kind == 0)
    bad = tf.reduce_any(unknown, 1)
    usable = ~(bad | unclosed)[:, tf.newaxis]
    kind = tf.where(opening, ATOM, kind)
    places = tf.where((kind > 0) & present & usable)
    opened, closed = tf.where(opening & usable), tf.where(closing & usable)
    atoms, wrong, no_element = _read_brackets(text, opened, closed)
    rows = tf.cast(opened[:, 0], tf.int32)
    errors = {
        "empty": text == "",
        "character": bad,
        "bracket": unclosed | any_in_rows(wrong, rows, num_rows),
        "element": any_in_rows(no_element, rows, num_rows),
    }
    kind, code, following, ring, bracketed = (
        tf.gather_nd(each, places) for each in (kind, codes, _shift(codes, -1), ring, opening)
    )
    return _combine(tf.cast(places[:, 0], tf.int32), kind, code, following, ring, bracketed, atoms), errors


def _kinds() -> np.ndarray:
    """Return the kind of a token by its first character, (256,) int32."""
    table = np.zeros(256, np.int32)
    for characters, kind in (
        ("".join(elements.ORGANIC), ATOM),
        (BONDS, BOND),
        ("0123456789%", RING),
        ("(", OPEN),
        (")", CLOSE),
        (".", DOT),
    ):
        table[[*characters.encode()]] = kind
    return table


def _shift(values: tf.Tensor, by: int) -> tf.Tensor:
    """Shift (batch, width) along the width: to the right if positive; zeros come in."""
    return tf.pad(values[:, :-by], [[0, 0], [by, 0]]) if by > 0 else tf.pad(values[:, -by:], [[0, 0], [0, -by]])


def _outside_brackets(codes: tf.Tensor, within: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return of each character outside brackets the kind of the token that begins there, 0 for none; whether it
    belongs to the token before; and the number of a ring closure."""
    following = _shift(codes, -1)
    halogen = ~within & (
        ((codes == ord("C")) & (following == ord("l"))) | ((codes == ord("B")) & (following == ord("r")))
    )
    percent = ~within & (codes == ord("%"))
    second = _shift(tf.cast(halogen, tf.int32), 1) > 0
    digits = (_shift(tf.cast(percent, tf.int32), 1) + _shift(tf.cast(percent, tf.int32), 2)) > 0
    consumed = second | digits
    kind = tf.where(within | consumed, 0, tf.gather(tf.constant(_kinds()), codes))
    digit = codes - ord("0")
    is_digit = (digit >= 0) & (digit <= 9)
    # A percent sign needs two digits after it; the kind of one without them is unknown.
    complete = (_shift(tf.cast(is_digit, tf.int32), -1) > 0) & (_shift(tf.cast(is_digit, tf.int32), -2) > 0)
    kind = tf.where(percent & ~complete, 0, kind)
    ring = tf.where(percent, 10 * _shift(digit, -1) + _shift(digit, -2), digit)
    return kind, consumed, ring


class _Bracketed(NamedTuple):
    """The atoms in brackets of a batch, with a last one that stands for atoms without; (brackets + 1,) each."""

    element: tf.Tensor
    aromatic: tf.Tensor
    charge: tf.Tensor
    hydrogens: tf.Tensor
    isotope: tf.Tensor
    chirality: tf.Tensor


def _read_brackets(text: tf.Tensor, opened: tf.Tensor, closed: tf.Tensor) -> tuple[_Bracketed, tf.Tensor, tf.Tensor]:
    """Read the atoms in brackets.

    Args:
        text: (batch,) string.
        opened, closed: (brackets, 2) int64, row and position of each pair of brackets.

    Returns:
        Tuple of the atoms; whether the content is no atom; and whether its symbol is no element, (brackets,) bool.
    """
    start, end = tf.cast(opened[:, 1], tf.int32) + 1, tf.cast(closed[:, 1], tf.int32)
    content = tf.strings.substr(tf.gather(text, opened[:, 0]), start, end - start)
    matched = tf.strings.regex_full_match(content, _BRACKET)
    isotope, symbol, chirality, hydrogens, charge = (
        tf.where(matched, tf.strings.regex_replace(content, f"^{_BRACKET}$", rf"\{group}"), "") for group in range(1, 6)
    )
    letters = tf.cast(tf.io.decode_raw(symbol, tf.uint8, fixed_length=2), tf.int32)
    element = tf.gather(tf.constant(elements.element_table()), letters[:, 0] * 128 + letters[:, 1])
    count = tf.strings.regex_replace(hydrogens, "H", "")
    digits = tf.strings.regex_replace(charge, "[+-]", "")
    size = tf.where(digits == "", tf.strings.length(charge), _to_number(digits))
    atoms = _Bracketed(
        element=tf.maximum(element, 0),
        aromatic=letters[:, 0] >= ord("a"),
        charge=tf.where(tf.strings.regex_full_match(charge, "-.*"), -size, size),
        hydrogens=tf.where((count == "") & (hydrogens != ""), 1, _to_number(count)),
        isotope=_to_number(isotope),
        chirality=tf.where(chirality == "@", 1, tf.where(chirality == "@@", -1, 0)),
    )
    without = _Bracketed(0, False, 0, -1, 0, 0)
    padded = _Bracketed(*(tf.concat([each, [last]], 0) for each, last in zip(atoms, without, strict=True)))
    return padded, ~matched, matched & (element < 0)


def _to_number(digits: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_number(tf.where(digits == "", "0", digits), tf.int32)


def _combine(
    row: tf.Tensor,
    kind: tf.Tensor,
    code: tf.Tensor,
    following: tf.Tensor,
    ring: tf.Tensor,
    bracketed: tf.Tensor,
    atoms: _Bracketed,
) -> Tokens:
    """Join atoms without brackets, those in brackets and the other tokens."""
    number = tf.where(bracketed, tf.cumsum(tf.cast(bracketed, tf.int32)) - 1, tf.shape(atoms.element)[0] - 1)
    bracket = _Bracketed(*(tf.gather(each, number) for each in atoms))
    table = elements.element_table()[np.arange(128) * 128]
    element = tf.gather(tf.constant(table), tf.minimum(code, 127))
    is_chlorine = (code == ord("C")) & (following == ord("l"))
    is_bromine = (code == ord("B")) & (following == ord("r"))
    element = tf.where(is_chlorine, elements.NUMBERS["Cl"], tf.where(is_bromine, elements.NUMBERS["Br"], element))
    is_atom = kind == ATOM
    return Tokens(
        row=row,
        kind=kind,
        symbol=code,
        ring=ring,
        element=tf.where(bracketed, bracket.element, tf.maximum(element, 0)),
        aromatic=is_atom & tf.where(bracketed, bracket.aromatic, code >= ord("a")),
        charge=bracket.charge,
        hydrogens=bracket.hydrogens,
        isotope=bracket.isotope,
        chirality=bracket.chirality,
    )
