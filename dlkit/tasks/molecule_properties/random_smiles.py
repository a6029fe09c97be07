"""Random SMILES of molecules, to train networks that read the text and not the graph.

Source of the idea: Bjerrum, 2017, arXiv:1703.07076.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from dlkit.lazy import tf
from dlkit.tasks.molecule_properties.elements import SYMBOLS
from dlkit.tasks.molecule_properties.smiles_graph import AROMATIC, DOUBLE, QUADRUPLE, SINGLE, TRIPLE, parse
from dlkit.tasks.molecule_properties.smiles_tokens import tokenize

_BOND_SYMBOLS = {SINGLE: "-", DOUBLE: "=", TRIPLE: "#", QUADRUPLE: "$", AROMATIC: ":"}
HIDDEN = -1  # stands for a hydrogen in brackets or a lone pair among the neighbors of an atom


@dataclass
class WrittenMolecule:
    """A molecule as it was written.

    Attributes:
        symbols: the text of each atom, with `{}` for its chirality if it is in brackets.
        chirality: 1 for `@`, -1 for `@@`, else 0, of each atom.
        neighbors: the neighbors of each atom, with the number of the bond to each, in the order in which they were
            written.
        bonds: begin, end, symbol and direction of each bond.
    """

    symbols: list[str] = field(default_factory=list)
    chirality: list[int] = field(default_factory=list)
    neighbors: list[dict[int, int]] = field(default_factory=list)
    bonds: list[tuple[int, int, str, int]] = field(default_factory=list)


def read_molecules(smiles: Sequence[bytes]) -> list[WrittenMolecule]:
    """Parse valid SMILES, UTF-8 texts without spaces around them."""
    tokens, errors = tokenize(tf.constant(list(smiles), tf.string))
    atoms, bonds, _ = parse(tokens, errors)
    molecules = [WrittenMolecule() for _ in smiles]
    rows: list[int] = atoms.row.numpy().tolist()
    fields = (atoms.element, atoms.aromatic, atoms.charge, atoms.isotope, tf.gather(tokens.hydrogens, atoms.position))
    columns = [each.numpy().tolist() for each in (*fields, atoms.chirality, atoms.position)]
    index: list[int] = []  # of each atom in its molecule
    listed: list[list[tuple[int, int, int]]] = []  # of each atom: position, neighbor, bond
    for row, *written, chirality, position in zip(rows, *columns, strict=True):
        molecule = molecules[row]
        index.append(len(molecule.symbols))
        molecule.symbols.append(_atom_text(*written))
        molecule.chirality.append(chirality)
        listed.append([(position, HIDDEN, HIDDEN)])
    columns = [each.numpy().tolist() for each in bonds]
    for begin, end, order, direction, _, begin_position, end_position in zip(*columns, strict=True):
        molecule = molecules[rows[begin]]
        listed[begin].append((begin_position, index[end], len(molecule.bonds)))
        listed[end].append((end_position, index[begin], len(molecule.bonds)))
        symbol = "" if direction else _BOND_SYMBOLS.get(order, "")
        molecule.bonds.append((index[begin], index[end], symbol, direction))
    for row, places in zip(rows, listed, strict=True):
        neighbors = {neighbor: bond for _, neighbor, bond in sorted(places)}
        if len(neighbors) != 4:  # all four are there, or one more than there should be: nothing is hidden
            neighbors.pop(HIDDEN)
        molecules[row].neighbors.append(neighbors)
    return molecules


def _atom_text(element: int, aromatic: bool, charge: int, isotope: int, hydrogens: int) -> str:
    symbol = SYMBOLS[element].lower() if aromatic else SYMBOLS[element]
    if hydrogens < 0:
        return symbol
    count = "" if hydrogens == 0 else "H" if hydrogens == 1 else f"H{hydrogens}"
    return f"[{isotope or ''}{symbol}{{}}{count}{f'{charge:+d}' if charge else ''}]"


class _Walk:
    """A random walk over a molecule that visits each atom once: the children and ring closures of each atom."""

    def __init__(self, molecule: WrittenMolecule, generator: random.Random):
        self.molecule, self.generator = molecule, generator
        count = len(molecule.symbols)
        self.parent = [HIDDEN] * count
        self.children: list[list[int]] = [[] for _ in range(count)]
        self.opened: list[list[int]] = [[] for _ in range(count)]  # bonds that close rings, at the atom before
        self.closed: list[list[int]] = [[] for _ in range(count)]
        self.starts: list[int] = []
        self._seen = [False] * count
        self._used: set[int] = set()
        for start in generator.sample(range(count), count):
            if not self._seen[start]:
                self.starts.append(start)
                self._visit(start)

    def _visit(self, atom: int) -> None:
        self._seen[atom] = True
        neighbors = [pair for pair in self.molecule.neighbors[atom].items() if pair[0] != HIDDEN]
        self.generator.shuffle(neighbors)
        for neighbor, bond in neighbors:
            if bond in self._used:
                continue
            self._used.add(bond)
            if self._seen[neighbor]:
                self.opened[neighbor].append(bond)
                self.closed[atom].append(bond)
            else:
                self.parent[neighbor] = atom
                self.children[atom].append(neighbor)
                self._visit(neighbor)

    def write(self) -> str:
        """Return the SMILES of the walk."""
        self._numbers: dict[int, int] = {}  # of the rings that are open
        return ".".join(self._write(start) for start in self.starts)

    def _write(self, atom: int) -> str:
        text = self._atom(atom)
        for bond in self.closed[atom]:
            text += _ring_text(self._numbers.pop(bond))
        for bond in self.opened[atom]:
            taken = {*self._numbers.values()}
            self._numbers[bond] = next(number for number in range(1, 100) if number not in taken)
            text += self._bond(bond, atom) + _ring_text(self._numbers[bond])
        *branches, last = [*self.children[atom], HIDDEN] if not self.children[atom] else self.children[atom]
        for child in branches:
            text += f"({self._bond(self.molecule.neighbors[atom][child], atom)}{self._write(child)})"
        if last != HIDDEN:
            text += self._bond(self.molecule.neighbors[atom][last], atom) + self._write(last)
        return text

    def _bond(self, bond: int, source: int) -> str:
        """Return the symbol of a bond that is written from one of its atoms to the other."""
        begin, _, symbol, direction = self.molecule.bonds[bond]
        if not direction:
            return symbol
        return "/" if (direction > 0) == (begin == source) else "\\"

    def _atom(self, atom: int) -> str:
        chirality = self.molecule.chirality[atom]
        if chirality:
            written = [*self.molecule.neighbors[atom]]
            chirality *= _sign([written.index(neighbor) for neighbor in self._order(atom, HIDDEN in written)])
        return self.molecule.symbols[atom].format({1: "@", -1: "@@"}.get(chirality, ""))

    def _order(self, atom: int, hidden: bool) -> list[int]:
        """Return the neighbors of an atom in the order in which this walk writes them."""
        bonds = [*self.closed[atom], *self.opened[atom]]
        rings = [next(end for end in self.molecule.bonds[bond][:2] if end != atom) for bond in bonds]
        before = [] if self.parent[atom] == HIDDEN else [self.parent[atom]]
        return [*before, *([HIDDEN] if hidden else []), *rings, *self.children[atom]]


def _ring_text(number: int) -> str:
    return str(number) if number < 10 else f"%{number}"


def _sign(order: Sequence[int]) -> int:
    """Return 1 for an even and -1 for an odd permutation."""
    turned = sum(order[left] > order[right] for left in range(len(order)) for right in range(left + 1, len(order)))
    return -1 if turned % 2 else 1


def write_random_smiles(molecule: WrittenMolecule, generator: random.Random) -> str:
    """Write a molecule as SMILES that begin at a random atom and follow its bonds in a random order.

    Stereo is kept, and whatever is written in lower case stays so.

    Examples:
        >>> (ethanol,) = read_molecules([b"CCO"])
        >>> sorted({write_random_smiles(ethanol, random.Random(seed)) for seed in range(20)})
        ['C(C)O', 'C(O)C', 'CCO', 'OCC']
    """
    return _Walk(molecule, generator).write()
