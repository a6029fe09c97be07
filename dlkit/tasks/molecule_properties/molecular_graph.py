"""From atoms and bonds as written to the graph of the molecule, the same for all of its SMILES.

A molecule can be written with alternating double bonds or in lower case, with hydrogens as atoms or as counts, and with
or without separated charges. Here, all of these become one graph: bonds that could be written either way have the order
`DELOCALIZED`, hydrogens are counts, and adjacent opposite charges are bonds. Chirality and the stereo of double bonds
are told relative to an order of the neighbors that depends on the graph alone.
"""

from __future__ import annotations

from typing import NamedTuple

from dlkit.lazy import tf
from dlkit.tasks.molecule_properties import elements
from dlkit.tasks.molecule_properties.segments import position_in_group
from dlkit.tasks.molecule_properties.smiles_graph import (
    AROMATIC,
    DOUBLE,
    PRIME,
    SINGLE,
    TRIPLE,
    UNWRITTEN,
    Atoms,
    Bonds,
    scramble,
    sum_over_bonds,
)

DELOCALIZED = AROMATIC  # order of a bond between unsaturated or lone-pair atoms in rings
PEELING_ROUNDS = 8  # ends of chains of such bonds that are removed, of each chain; longer ones are rare
HASH_ROUNDS = 8  # bonds around an atom that tell it from others
FINGERPRINT_RADIUS = 3


class Graph(NamedTuple):
    """The graphs of a batch of molecules. Hydrogens without isotope and charge are counts of their neighbors.

    Attributes:
        atoms: the atoms; `chirality` is relative to the graph: 1 or -1, or 0 where it is unknown or there is none.
        bonds: the bonds; `order` is `SINGLE`, ..., or `DELOCALIZED`.
        stereo: (bonds,) int32, 1 for a double bond whose first neighbors lie on the same side, -1 on opposite sides.
        degree: (atoms,) int32, number of bonds.
        in_ring: (atoms,) bool.
        hashes: list of (atoms,) int64, of the neighborhood of each atom by radius.
    """

    atoms: Atoms
    bonds: Bonds
    stereo: tf.Tensor
    degree: tf.Tensor
    in_ring: tf.Tensor
    hashes: list[tf.Tensor]


def build_graph(atoms: Atoms, bonds: Bonds, *, largest_fragment: bool = False) -> Graph:
    """Build the graph of each molecule from its atoms and bonds as written.

    Args:
        atoms: the atoms.
        bonds: the bonds.
        largest_fragment: whether only the part with most atoms is kept, without the counterions of a salt.
    """
    atoms, bonds = _join_charges(atoms, bonds)
    atoms, explicit = _count_hydrogens(atoms, bonds)
    kept_bond = ~(tf.gather(explicit, bonds.begin) | tf.gather(explicit, bonds.end))
    degree = sum_over_bonds(tf.cast(kept_bond, tf.int32), atoms, bonds)
    bonds = bonds._replace(order=_delocalize(atoms, bonds, degree))
    in_ring = sum_over_bonds(tf.cast(bonds.ring, tf.int32), atoms, bonds) > 0
    hashes = _hash_neighborhoods(atoms, bonds, degree, in_ring, kept_bond)
    rank = _rank_atoms(atoms, bonds, hashes[-1], explicit)
    stereo = _find_double_bond_stereo(atoms, bonds, degree, rank)
    atoms = atoms._replace(chirality=_orient(atoms, bonds, rank))
    graph = Graph(atoms, bonds, stereo, degree, in_ring, hashes)
    kept = ~explicit
    if largest_fragment:
        kept &= _find_largest_fragment(atoms, kept, hashes[-1])
    return select_atoms(graph, kept)


def select_atoms(graph: Graph, kept: tf.Tensor) -> Graph:
    """Return the graph of some atoms, (atoms,) bool, and the bonds between them; degrees and hashes stay."""
    index = tf.cumsum(tf.cast(kept, tf.int32)) - 1
    atoms = Atoms(*(tf.boolean_mask(each, kept) for each in graph.atoms))
    both = tf.gather(kept, graph.bonds.begin) & tf.gather(kept, graph.bonds.end)
    bonds = Bonds(*(tf.boolean_mask(each, both) for each in graph.bonds))
    return Graph(
        atoms=atoms,
        bonds=bonds._replace(begin=tf.gather(index, bonds.begin), end=tf.gather(index, bonds.end)),
        stereo=tf.boolean_mask(graph.stereo, both),
        degree=tf.boolean_mask(graph.degree, kept),
        in_ring=tf.boolean_mask(graph.in_ring, kept),
        hashes=[tf.boolean_mask(each, kept) for each in graph.hashes],
    )


def hash_molecules(graph: Graph, num_rows: tf.Tensor) -> tf.Tensor:
    """Return a number for each molecule, (batch,) int64, that depends on its graph with its stereo alone.

    Two sums of 31 bits over atoms and bonds make 62 bits. Regular graphs, which the neighborhoods of their atoms do
    not tell apart, may share one.
    """
    last = graph.hashes[-1]
    ends = tf.gather(last, graph.bonds.begin) + tf.gather(last, graph.bonds.end)
    bond = scramble((ends * 8 + tf.cast(graph.stereo + 1, tf.int64)) % PRIME)
    atom = scramble((last * 4 + tf.cast(graph.atoms.chirality + 1, tf.int64)) % PRIME)
    of_bond = tf.gather(graph.atoms.row, graph.bonds.begin)

    def add(bonds: tf.Tensor, atoms: tf.Tensor) -> tf.Tensor:
        total = tf.math.unsorted_segment_sum(atoms, graph.atoms.row, num_rows)
        return (total + tf.math.unsorted_segment_sum(bonds, of_bond, num_rows)) % PRIME

    return add(bond, atom) * PRIME + add(scramble((bond + 1) % PRIME), scramble((atom + 2) % PRIME))


def hash_scaffolds(graph: Graph, num_rows: tf.Tensor) -> tf.Tensor:
    """Return a number for the scaffold of each molecule, (batch,) int64; 0 for a molecule without rings.

    The scaffold is what remains after ends are removed again and again: the rings, what links them, and atoms with a
    double bond to either. Source: Bemis and Murcko, 1996, doi:10.1021/jm9602928.
    """
    atoms, bonds = graph.atoms, graph.bonds

    def degrees(kept: tf.Tensor) -> tf.Tensor:
        both = tf.gather(kept, bonds.begin) & tf.gather(kept, bonds.end)
        return sum_over_bonds(tf.cast(both, tf.int32), atoms, bonds)

    (core,) = tf.while_loop(
        lambda kept: tf.reduce_any(kept & (degrees(kept) < 2)),
        lambda kept: (kept & (degrees(kept) >= 2),),
        (tf.ones_like(graph.in_ring),),
        maximum_iterations=tf.shape(atoms.row)[0],
    )
    double = bonds.order == DOUBLE
    begins, ends = tf.gather(core, bonds.begin), tf.gather(core, bonds.end)
    count = tf.shape(core)[0]
    exocyclic = tf.math.unsorted_segment_sum(tf.cast(double & begins, tf.int32), bonds.end, count)
    exocyclic += tf.math.unsorted_segment_sum(tf.cast(double & ends, tf.int32), bonds.begin, count)
    scaffold = select_atoms(graph, core | (exocyclic > 0))
    atoms, bonds = scaffold.atoms, scaffold.bonds
    plain = atoms._replace(hydrogens=tf.zeros_like(atoms.hydrogens), chirality=tf.zeros_like(atoms.chirality))
    degree = sum_over_bonds(tf.ones_like(bonds.begin), plain, bonds)
    everything = tf.ones_like(bonds.ring)
    last = _hash_neighborhoods(plain, bonds, degree, scaffold.in_ring, everything)[-1]
    bare = scaffold._replace(atoms=plain, stereo=tf.zeros_like(scaffold.stereo), hashes=[last])
    return hash_molecules(bare, num_rows)


def _join_charges(atoms: Atoms, bonds: Bonds) -> tuple[Atoms, Bonds]:
    """Write bonds between opposite charges, as of nitro groups and N-oxides, with one order more and without charges.

    The negative atom has no other neighbor, and no hydrogens. Carbon is left as it is.
    """
    degree = sum_over_bonds(tf.ones_like(bonds.begin), atoms, bonds)
    hetero = tf.gather(tf.constant(elements.members_table(("N", "O", "S", "Se"))), atoms.element)
    negative = hetero & (atoms.charge < 0) & (degree == 1) & (atoms.hydrogens == 0)
    positive = (atoms.charge > 0) & (atoms.element != elements.NUMBERS["C"])
    low_order = (bonds.order == UNWRITTEN) | (bonds.order == SINGLE) | (bonds.order == DOUBLE)

    def of(values: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, ends)

    forward = of(positive, bonds.begin) & of(negative, bonds.end) & low_order
    backward = of(negative, bonds.begin) & of(positive, bonds.end) & low_order
    candidates = sum_over_bonds(tf.cast(forward | backward, tf.int32), atoms, bonds)
    enough = ~positive | (candidates <= atoms.charge)
    joined = (forward & of(enough, bonds.begin)) | (backward & of(enough, bonds.end))
    change = sum_over_bonds(tf.cast(joined, tf.int32), atoms, bonds)
    charge = atoms.charge + tf.where(positive, -change, change)
    order = tf.where(joined, tf.maximum(bonds.order, SINGLE) + 1, bonds.order)
    return atoms._replace(charge=charge), bonds._replace(order=order)


def _count_hydrogens(atoms: Atoms, bonds: Bonds) -> tuple[Atoms, tf.Tensor]:
    """Add hydrogens that are written as atoms to the count of their neighbors; also return which atoms they are."""
    count = tf.shape(atoms.row)[0]
    degree = sum_over_bonds(tf.ones_like(bonds.begin), atoms, bonds)
    hydrogen = atoms.element == elements.NUMBERS["H"]
    plain = hydrogen & (atoms.isotope == 0) & (atoms.charge == 0) & (atoms.hydrogens == 0) & (degree == 1)
    forward = tf.gather(plain, bonds.end) & ~tf.gather(hydrogen, bonds.begin)
    backward = tf.gather(plain, bonds.begin) & ~tf.gather(hydrogen, bonds.end)
    added = tf.math.unsorted_segment_sum(tf.cast(forward, tf.int32), bonds.begin, count)
    added += tf.math.unsorted_segment_sum(tf.cast(backward, tf.int32), bonds.end, count)
    explicit = plain & (sum_over_bonds(tf.cast(forward | backward, tf.int32), atoms, bonds) > 0)
    return atoms._replace(hydrogens=atoms.hydrogens + added), explicit


def _delocalize(atoms: Atoms, bonds: Bonds, degree: tf.Tensor) -> tf.Tensor:
    """Return the order of each bond, `DELOCALIZED` where another SMILES of the molecule may have another one.

    These are the bonds of rings between atoms with a pi bond, a lone pair or an empty orbital, without chains of them
    that end in a saturated atom of the ring.
    """
    double = sum_over_bonds(tf.cast(bonds.order == DOUBLE, tf.int32), atoms, bonds) > 0
    lone_pair = tf.gather(tf.constant(elements.members_table(elements.LONE_PAIR)), atoms.element)
    charged_carbon = (atoms.element == elements.NUMBERS["C"]) & (atoms.charge != 0)
    soft = (double | atoms.aromatic | lone_pair | charged_carbon) & (degree < 4)
    kept = bonds.ring & (bonds.order != TRIPLE) & tf.gather(soft, bonds.begin) & tf.gather(soft, bonds.end)
    for _ in range(PEELING_ROUNDS):
        number = sum_over_bonds(tf.cast(kept, tf.int32), atoms, bonds)
        kept &= (tf.gather(number, bonds.begin) > 1) & (tf.gather(number, bonds.end) > 1)
    written = tf.where((bonds.order == UNWRITTEN) | (bonds.order == AROMATIC), SINGLE, bonds.order)
    return tf.where(kept, DELOCALIZED, written)


def _hash_neighborhoods(
    atoms: Atoms, bonds: Bonds, degree: tf.Tensor, in_ring: tf.Tensor, kept_bond: tf.Tensor
) -> list[tf.Tensor]:
    """Hash what lies within 0, 1, ... bonds of each atom, (atoms,) int64 below 2^31 each.

    Source: Morgan, 1965, doi:10.1021/c160017a018; Rogers and Hahn, 2010, doi:10.1021/ci100050t.
    """
    fields = (atoms.element, degree, atoms.hydrogens, atoms.charge + 16, atoms.isotope, tf.cast(in_ring, tf.int32))
    hashed = tf.zeros_like(tf.cast(atoms.row, tf.int64))
    for field in fields:
        hashed = scramble((hashed + tf.cast(field, tf.int64)) % PRIME)
    count = tf.shape(atoms.row)[0]
    begin, end = tf.boolean_mask(bonds.begin, kept_bond), tf.boolean_mask(bonds.end, kept_bond)
    order = tf.cast(tf.boolean_mask(bonds.order, kept_bond), tf.int64)
    source, target = tf.concat([begin, end], 0), tf.concat([end, begin], 0)
    order = tf.concat([order, order], 0)
    hashes = [hashed]
    for _ in range(HASH_ROUNDS):
        message = scramble((tf.gather(hashed, source) * 8 + order) % PRIME)
        received = tf.math.unsorted_segment_sum(message, target, count)
        hashed = scramble((hashed * 3 + received) % PRIME)
        hashes.append(hashed)
    return hashes


def _rank_atoms(atoms: Atoms, bonds: Bonds, hashed: tf.Tensor, explicit: tf.Tensor) -> tf.Tensor:
    """Order atoms by what they are, (atoms,) int64: by element, then by those of their neighbors, then by hash.

    The first two are the first two rules of Cahn, Ingold and Prelog. Hydrogens come last.
    """
    count = tf.shape(atoms.row)[0]
    heavy = tf.where(explicit, 0, atoms.element)
    around = atoms.hydrogens + tf.math.unsorted_segment_sum(tf.gather(heavy, bonds.end), bonds.begin, count)
    around += tf.math.unsorted_segment_sum(tf.gather(heavy, bonds.begin), bonds.end, count)
    rank = (tf.cast(atoms.element, tf.int64) * 1024 + tf.cast(tf.minimum(around, 1023), tf.int64)) * 2**31 + hashed
    return tf.where(explicit, tf.constant(-1, tf.int64), rank)


def _orient(atoms: Atoms, bonds: Bonds, rank: tf.Tensor) -> tf.Tensor:
    """Return the chirality of each atom relative to the ranks of its neighbors, (atoms,) int32.

    The sign of a permutation is that of the number of pairs that it turns around. A hydrogen in brackets, or a lone
    pair, is written at the place of its atom. Atoms with equal neighbors, or with other than four, have none.
    """
    count = tf.shape(atoms.row)[0]
    center = tf.concat([bonds.begin, bonds.end], 0)
    neighbor = tf.concat([bonds.end, bonds.begin], 0)
    position = tf.concat([bonds.begin_position, bonds.end_position], 0)
    lowest = tf.constant(tf.int64.min, tf.int64)
    chiral = tf.cast(tf.where(atoms.chirality != 0)[:, 0], tf.int32)
    wanted = tf.gather(atoms.chirality, center) != 0
    center = tf.concat([tf.boolean_mask(center, wanted), chiral], 0)
    position = tf.concat([tf.boolean_mask(position, wanted), tf.gather(atoms.position, chiral)], 0)
    ranks = tf.concat([tf.gather(rank, tf.boolean_mask(neighbor, wanted)), tf.fill(tf.shape(chiral), lowest)], 0)
    by_position = tf.argsort(position, stable=True)
    center, ranks = tf.gather(center, by_position), tf.gather(ranks, by_position)
    order, place = position_in_group(center)
    center, ranks = tf.gather(center, order), tf.gather(ranks, order)
    fits = place < 5
    places = tf.stack([tf.boolean_mask(center, fits), tf.boolean_mask(place, fits)], 1)
    table = tf.scatter_nd(places, tf.boolean_mask(ranks, fits), [count, 5])
    table = tf.gather(table, chiral)
    neighbors = tf.gather(tf.math.unsorted_segment_sum(tf.ones_like(center), center, count), chiral) - 1
    hidden = 4 - neighbors  # hydrogens in brackets and lone pairs: one at most; explicit ones are neighbors
    valid = (hidden == 0) | (hidden == 1)
    later = tf.linalg.band_part(tf.ones([5, 5]), 0, -1) - tf.eye(5) > 0
    first, second = table[:, :, tf.newaxis], table[:, tf.newaxis, :]
    # The place of the atom itself counts only where a hydrogen or a lone pair is hidden there.
    own = table == lowest
    used = (tf.range(5) < neighbors[:, tf.newaxis] + 1) & (~own | (hidden == 1)[:, tf.newaxis])
    pairs = later & used[:, :, tf.newaxis] & used[:, tf.newaxis, :]
    turned = tf.reduce_sum(tf.cast(pairs & (first > second), tf.int32), [1, 2])
    valid &= ~tf.reduce_any(pairs & (first == second), [1, 2])
    sign = tf.where(valid, tf.gather(atoms.chirality, chiral) * (1 - 2 * (turned % 2)), 0)
    return tf.scatter_nd(chiral[:, tf.newaxis], sign, [count])


def _find_double_bond_stereo(atoms: Atoms, bonds: Bonds, degree: tf.Tensor, rank: tf.Tensor) -> tf.Tensor:
    """Return the stereo of each bond, (bonds,) int32: 1 where the first neighbors of a double bond lie on one side.

    The first neighbor of an atom is the one of the highest rank, apart from the other end of the double bond.
    """
    count = tf.shape(atoms.row)[0]
    # A double bond to an end of the molecule has no stereo, and may be written as a single bond between charges.
    terminal = (tf.gather(degree, bonds.begin) == 1) | (tf.gather(degree, bonds.end) == 1)
    single = (bonds.order != DOUBLE) | terminal
    begin, end = tf.boolean_mask(bonds.begin, single), tf.boolean_mask(bonds.end, single)
    mark = tf.boolean_mask(bonds.direction, single)
    center, neighbor = tf.concat([begin, end], 0), tf.concat([end, begin], 0)
    side = tf.concat([mark, -mark], 0)  # 1 where the neighbor lies above the center
    ranks = tf.gather(rank, neighbor)
    highest = tf.math.unsorted_segment_max(ranks, center, count)
    is_first = ranks == tf.gather(highest, center)
    first = tf.math.unsorted_segment_sum(tf.where(is_first, side, 0), center, count)
    other = tf.math.unsorted_segment_sum(tf.where(is_first, 0, side), center, count)
    tied = tf.math.unsorted_segment_sum(tf.cast(is_first, tf.int32), center, count) > 1
    above = tf.where(tied, 0, tf.sign(tf.where(first != 0, first, -other)))
    product = tf.gather(above, bonds.begin) * tf.gather(above, bonds.end)
    return tf.where(single, 0, product)


def _find_largest_fragment(atoms: Atoms, counted: tf.Tensor, hashed: tf.Tensor) -> tf.Tensor:
    """Return the atoms of the fragment of each molecule with most of the counted atoms, (atoms,) bool.

    Of several of a size, the one with the largest sum of hashes, which does not depend on how they are written.
    """
    count = tf.shape(atoms.row)[0]
    # Components are numbered over the whole batch, by the dots before them; a row begins another one, too.
    key = (
        tf.cumsum(
            tf.concat(
                [
                    tf.ones_like(atoms.row[:1]),
                    tf.cast(
                        (atoms.row[1:] != atoms.row[:-1]) | (atoms.component[1:] != atoms.component[:-1]), tf.int32
                    ),
                ],
                0,
            )
        )
        - 1
    )
    size = tf.math.unsorted_segment_sum(tf.cast(counted, tf.int64), key, count)
    tie = tf.math.unsorted_segment_sum(tf.where(counted, hashed, 0), key, count) % PRIME
    score = tf.gather(size * 2**31 + tie, key)
    return score == tf.gather(tf.math.unsorted_segment_max(score, atoms.row, count), atoms.row)
