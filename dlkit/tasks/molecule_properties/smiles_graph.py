"""From tokens of SMILES to the atoms and bonds as they are written, in core TensorFlow operations.

No operation visits the tokens one by one. The atom before a token is the last one with the same branch, a branch the
last parenthesis at the same depth, and a ring closes with the next use of its number: each is found by a sort
(`segments.py`). A bond along the chain lies in a ring if some ring closure has one end in its subtree and the other
outside. The atoms of a subtree follow one another, so that differences of one running sum tell it.
"""

from __future__ import annotations

from typing import NamedTuple

from dlkit.lazy import tf
from dlkit.tasks.molecule_properties import elements
from dlkit.tasks.molecule_properties.segments import any_in_rows, gather_or, last_with_key, position_in_group
from dlkit.tasks.molecule_properties.smiles_tokens import ATOM, BOND, CLOSE, DOT, OPEN, RING, Tokens

UNWRITTEN, SINGLE, DOUBLE, TRIPLE, QUADRUPLE, AROMATIC = range(6)  # orders of bonds as written
_ORDERS = {"-": SINGLE, "/": SINGLE, "\\": SINGLE, "=": DOUBLE, "#": TRIPLE, "$": QUADRUPLE, ":": AROMATIC}
PRIME = 2**31 - 1  # of hashes: products of two numbers below it fit into int64


class Atoms(NamedTuple):
    """The atoms of a batch of molecules, one after another in the order of their SMILES; (atoms,) each.

    Attributes:
        row: int32, the molecule.
        element: int32, atomic number, 0 for any.
        aromatic: bool, written in lower case.
        charge: int32.
        hydrogens: int32, those without a bond of their own.
        isotope: int32, 0 for none.
        chirality: int32, 1 for `@`, -1 for `@@`, 0 for others, in the order of `Bonds.begin_position`.
        component: int32, the number of dots before it in its SMILES.
        position: int32, its place in the text.
    """

    row: tf.Tensor
    element: tf.Tensor
    aromatic: tf.Tensor
    charge: tf.Tensor
    hydrogens: tf.Tensor
    isotope: tf.Tensor
    chirality: tf.Tensor
    component: tf.Tensor
    position: tf.Tensor


class Bonds(NamedTuple):
    """The bonds of a batch of molecules, each once; (bonds,) each.

    Attributes:
        begin, end: int32, indices of atoms.
        order: int32, as written: `UNWRITTEN`, `SINGLE`, ..., `AROMATIC`.
        direction: int32, 1 where `end` lies above `begin` (`/`), -1 where below, 0 without a mark.
        ring: bool, whether the bond lies in a ring.
        begin_position, end_position: int32, its place in the order of the neighbors of either atom.
    """

    begin: tf.Tensor
    end: tf.Tensor
    order: tf.Tensor
    direction: tf.Tensor
    ring: tf.Tensor
    begin_position: tf.Tensor
    end_position: tf.Tensor


ERRORS = {
    "empty": "the SMILES is empty",
    "character": "a character is no part of a SMILES",
    "bracket": "an atom in brackets is not valid",
    "element": "a symbol in brackets is no element",
    "parenthesis": "the parentheses are not balanced, or one has no atom before or in it",
    "bond": "a bond or a dot does not join two atoms",
    "ring": "a ring number occurs once, has two different bonds, closes no ring of three atoms, or joins two parts",
    "aromatic": "an atom in lower case lies outside of rings",
    "valence": "an atom has more bonds than its valence allows",
}
"""What can be wrong with a SMILES, in the order in which it is told."""


def parse(tokens: Tokens, errors: dict[str, tf.Tensor]) -> tuple[Atoms, Bonds, dict[str, tf.Tensor]]:
    """Parse SMILES as they are written.

    Args:
        tokens: the tokens of all rows.
        errors: what is wrong with them, as `tokenize` returns it.

    Returns:
        Tuple of the atoms and bonds of all rows, and what is wrong with a row, (batch,) bool by name of `ERRORS`.
    """
    num_rows = tf.shape(errors["empty"])[0]
    chain, before, depth = _find_chains(tokens, num_rows)
    is_atom = tokens.kind == ATOM
    atom_of_token = tf.where(is_atom, tf.cumsum(tf.cast(is_atom, tf.int32)) - 1, -1)
    dots = tf.cumsum(tf.cast(tokens.kind == DOT, tf.int32))
    closures, wrong_ring = _close_rings(tokens, before, dots, num_rows)
    in_ring = _find_ring_bonds(tokens, chain, closures)
    bonds = _join(tokens, before, closures, in_ring, atom_of_token)
    position = tf.boolean_mask(tf.range(tf.shape(is_atom)[0]), is_atom)
    fields = ("row", "element", "aromatic", "charge", "hydrogens", "isotope", "chirality")
    own = {name: tf.gather(getattr(tokens, name), position) for name in fields}
    atoms = Atoms(**own, component=tf.gather(dots, position), position=position)
    atoms, wrong = _add_hydrogens(atoms, bonds, num_rows)
    wrong["ring"] = wrong_ring | _find_duplicate_bonds(atoms, bonds, num_rows)
    return atoms, bonds, {**errors, **_check_syntax(tokens, before, depth, num_rows), **wrong}


def describe_errors(errors: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return the first error of each row in words, (batch,) string; "" for a valid SMILES."""
    text = tf.fill(tf.shape(errors["empty"]), "")
    for name in reversed(ERRORS):
        text = tf.where(errors[name], ERRORS[name], text)
    return text


class _Closures(NamedTuple):
    """Ring closures; (closures,) each: the tokens of the two numbers, and the tokens of the atoms before them."""

    opening: tf.Tensor
    closing: tf.Tensor
    begin: tf.Tensor
    end: tf.Tensor


def _neighbor(kind: tf.Tensor, row: tf.Tensor, by: int) -> tf.Tensor:
    """Return the kind of the token before (1) or after (-1) each token of the same row; 0 at its ends."""
    count = tf.shape(kind)[0]
    index = tf.range(count) - by
    inside = (index >= 0) & (index < count)
    index = tf.where(inside, index, 0)
    same = inside & (gather_or(row, index, -1) == row)
    return tf.where(same, gather_or(kind, index, 0), 0)


def _find_chains(tokens: Tokens, num_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Find the chain of each token: a branch, or the main chain of its row.

    Returns:
        Tuple of the chain, the index of the first token of a branch or the number of tokens plus the row; the token of
        the atom or dot before it in its chain, or before its branch, -1 for none; and the depth of nesting.
    """
    opens, closes = tokens.kind == OPEN, tokens.kind == CLOSE
    step = tf.cast(opens, tf.int32) - tf.cast(closes, tf.int32)
    total = tf.cumsum(step)
    in_row = tf.math.unsorted_segment_sum(step, tokens.row, num_rows)
    depth = total - tf.gather(tf.cumsum(in_row, exclusive=True), tokens.row)
    # An opening parenthesis belongs to the chain around it, a closing one to the chain that it ends.
    level = tf.maximum(depth - step * tf.cast(opens, tf.int32) - step * tf.cast(closes, tf.int32), 0)
    starts = _neighbor(tokens.kind, tokens.row, 1) == OPEN
    highest = tf.reduce_max(tf.concat([level, [0]], 0)) + 1
    started = last_with_key(tokens.row * highest + level, starts, inclusive=True)
    count = tf.shape(tokens.kind)[0]
    chain = tf.where(started >= 0, started, count + tokens.row)
    before = last_with_key(chain, (tokens.kind == ATOM) | (tokens.kind == DOT))
    attached = gather_or(before, tf.where(started >= 0, started - 1, -1), -1)
    return chain, tf.where(before >= 0, before, attached), depth


def _close_rings(
    tokens: Tokens, before: tf.Tensor, dots: tf.Tensor, num_rows: tf.Tensor
) -> tuple[_Closures, tf.Tensor]:
    """Pair the uses of each ring number, the first with the second, the third with the fourth, and so on."""
    places = tf.cast(tf.where(tokens.kind == RING)[:, 0], tf.int32)
    row = tf.gather(tokens.row, places)
    order, position = position_in_group(row * 100 + tf.gather(tokens.ring, places))
    places, closes = tf.gather(places, order), position % 2 == 1
    last = tf.concat([position[1:] == 0, tf.ones_like(position[:1], tf.bool)], 0)
    odd = any_in_rows(last & ~closes, tf.gather(tokens.row, places), num_rows)
    second = tf.boolean_mask(tf.range(tf.shape(places)[0]), closes)
    opening, closing = tf.gather(places, second - 1), tf.gather(places, second)
    begin, end = gather_or(before, opening, -1), gather_or(before, closing, -1)
    own = tf.gather(tokens.row, opening)
    orders = _written_order(tokens, opening), _written_order(tokens, closing)
    differ = (orders[0] != orders[1]) & (orders[0] != UNWRITTEN) & (orders[1] != UNWRITTEN)
    wrong = (begin == end) | (gather_or(dots, opening, 0) != gather_or(dots, closing, 0)) | differ
    found = tf.boolean_mask(tf.range(tf.shape(begin)[0]), (begin >= 0) & (end >= 0))
    closures = _Closures(*(tf.gather(each, found) for each in (opening, closing, begin, end)))
    return closures, odd | any_in_rows(wrong, own, num_rows)


def _written_symbol(tokens: Tokens, index: tf.Tensor) -> tf.Tensor:
    """Return the character of the bond that is written before each of these tokens, 0 for none."""
    is_bond = gather_or(tokens.kind, index - 1, 0) == BOND
    same = gather_or(tokens.row, index - 1, -1) == gather_or(tokens.row, index, -1)
    return tf.where(is_bond & same, gather_or(tokens.symbol, index - 1, 0), 0)


def _written_order(tokens: Tokens, index: tf.Tensor) -> tf.Tensor:
    table = [_ORDERS.get(chr(code), UNWRITTEN) for code in range(128)]
    return tf.gather(tf.constant(table), _written_symbol(tokens, index))


def _written_direction(tokens: Tokens, index: tf.Tensor) -> tf.Tensor:
    symbol = _written_symbol(tokens, index)
    return tf.cast(symbol == ord("/"), tf.int32) - tf.cast(symbol == ord("\\"), tf.int32)


def _find_ring_bonds(tokens: Tokens, chain: tf.Tensor, closures: _Closures) -> tf.Tensor:
    """Return for each atom's token whether the bond to the atom before it lies in a ring, (tokens,) bool.

    Each closure counts as a number of its own at one end, and as its negative at the other: the sum over a subtree is
    0 unless a closure leads out of it. Numbers below 2^31 that are no simple multiples of one another do not cancel.
    """
    count = tf.shape(tokens.kind)[0]
    number = scramble(tf.cast(tf.range(tf.shape(closures.begin)[0]), tf.int64) + 1)
    signed = tf.math.unsorted_segment_sum(number, closures.begin, count)
    signed -= tf.math.unsorted_segment_sum(number, closures.end, count)
    total = tf.cumsum(signed)
    closes = tf.cast(tokens.kind == CLOSE, tf.int64)
    at_end = tf.math.unsorted_segment_sum(total * closes, tf.where(chain < count, chain, -1), count)
    end = tf.gather(tf.concat([at_end, [0]], 0), tf.minimum(chain, count))  # of a main chain all sums are 0
    return end - (total - signed) != 0


def _check_syntax(tokens: Tokens, before: tf.Tensor, depth: tf.Tensor, num_rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Check which tokens follow one another."""
    kind, row = tokens.kind, tokens.row
    previous, following = _neighbor(kind, row, 1), _neighbor(kind, row, -1)
    without_atom = gather_or(kind, before, 0) != ATOM
    after_atom = (previous == ATOM) | (previous == RING) | (previous == CLOSE)
    ends = following == 0
    wrong_parenthesis = (
        (depth < 0)
        | (ends & (depth != 0))
        | ((kind == OPEN) & (without_atom | ((following != ATOM) & (following != BOND))))
        | ((kind == CLOSE) & ~after_atom)
    )
    wrong_bond = (
        (kind == BOND) & (~(after_atom | (previous == OPEN)) | ((following != ATOM) & (following != RING)))
    ) | ((kind == DOT) & (~after_atom | (following != ATOM) | (depth != 0)))
    wrong_ring = (kind == RING) & without_atom
    return {
        "parenthesis": any_in_rows(wrong_parenthesis, row, num_rows),
        "bond": any_in_rows(wrong_bond | wrong_ring, row, num_rows),
    }


def _join(
    tokens: Tokens,
    before: tf.Tensor,
    closures: _Closures,
    in_ring: tf.Tensor,
    atom_of_token: tf.Tensor,
) -> Bonds:
    """Join the bonds along the chains and those of ring closures."""
    linked = (tokens.kind == ATOM) & (gather_or(tokens.kind, before, 0) == ATOM)
    child = tf.cast(tf.where(linked)[:, 0], tf.int32)
    parent = tf.gather(before, child)
    opening, closing = closures.opening, closures.closing
    marks = _written_direction(tokens, opening), -_written_direction(tokens, closing)
    orders = _written_order(tokens, opening), _written_order(tokens, closing)
    begin, end = tf.concat([parent, closures.begin], 0), tf.concat([child, closures.end], 0)
    return Bonds(
        begin=gather_or(atom_of_token, begin, 0),
        end=gather_or(atom_of_token, end, 0),
        order=tf.concat([_written_order(tokens, child), tf.maximum(*orders)], 0),
        direction=tf.concat([_written_direction(tokens, child), tf.where(marks[0] != 0, marks[0], marks[1])], 0),
        ring=tf.concat([tf.gather(in_ring, child), tf.ones_like(opening, tf.bool)], 0),
        begin_position=tf.concat([child, opening], 0),
        end_position=tf.concat([parent, closing], 0),
    )


def _find_duplicate_bonds(atoms: Atoms, bonds: Bonds, num_rows: tf.Tensor) -> tf.Tensor:
    """Return the rows with two bonds between the same atoms, (batch,) bool."""
    low = tf.cast(tf.minimum(bonds.begin, bonds.end), tf.int64)
    high = tf.cast(tf.maximum(bonds.begin, bonds.end), tf.int64)
    order, position = position_in_group(low * tf.cast(tf.shape(atoms.row)[0], tf.int64) + high)
    return any_in_rows(position > 0, tf.gather(atoms.row, tf.gather(bonds.begin, order)), num_rows)


def sum_over_bonds(values: tf.Tensor, atoms: Atoms, bonds: Bonds) -> tf.Tensor:
    """Sum values of bonds over those of each atom, (atoms,) of the values' dtype."""
    count = tf.shape(atoms.row)[0]
    return tf.math.unsorted_segment_sum(values, bonds.begin, count) + tf.math.unsorted_segment_sum(
        values, bonds.end, count
    )


def _add_hydrogens(atoms: Atoms, bonds: Bonds, num_rows: tf.Tensor) -> tuple[Atoms, dict[str, tf.Tensor]]:
    """Count the hydrogens of atoms without brackets, and check valences."""
    degree = sum_over_bonds(tf.ones_like(bonds.begin), atoms, bonds)
    twice = tf.gather(tf.constant([2, 2, 4, 6, 8, 3]), bonds.order)  # an aromatic bond counts 1.5
    total = sum_over_bonds(twice, atoms, bonds) // 2
    filled = tf.gather_nd(tf.constant(elements.valence_table()), tf.stack([atoms.element, tf.minimum(total, 8)], 1))
    carbon = atoms.element == elements.NUMBERS["C"]
    implied = tf.where(atoms.aromatic, tf.where(carbon, tf.maximum(3 - degree, 0), 0), tf.maximum(filled - total, 0))
    organic = atoms.hydrogens < 0
    hydrogens = tf.where(organic, implied, atoms.hydrogens)
    electrons = tf.clip_by_value(atoms.element - atoms.charge, 0, len(elements.SYMBOLS))
    highest = tf.gather(tf.constant(elements.highest_valence_table()), electrons)
    checked = tf.gather(tf.constant(elements.members_table(elements.CHECKED)), atoms.element)
    multiple = sum_over_bonds(tf.cast(bonds.order >= DOUBLE, tf.int32), atoms, bonds) > 0
    # Nitro groups and the like are often written without charges.
    highest = tf.where((atoms.element == elements.NUMBERS["N"]) & (atoms.charge == 0) & multiple, 5, highest)
    used = tf.where(atoms.aromatic, degree, total) + hydrogens
    too_many = (checked & (used > highest)) | (organic & ~atoms.aromatic & (filled < 0))
    in_ring = sum_over_bonds(tf.cast(bonds.ring, tf.int32), atoms, bonds) > 0
    return atoms._replace(hydrogens=hydrogens), {
        "valence": any_in_rows(too_many, atoms.row, num_rows),
        "aromatic": any_in_rows(atoms.aromatic & ~in_ring, atoms.row, num_rows),
    }


def scramble(values: tf.Tensor) -> tf.Tensor:
    """Map int64 numbers below 2^31 to others that look random, the same ones on every machine."""
    values = (values * 48271 + 11) % PRIME
    values = (values * values + 3 * values + 7) % PRIME
    return (values * 69621 + 1013904223) % PRIME
