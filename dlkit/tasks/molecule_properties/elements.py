"""The elements, and what SMILES and the counting of hydrogens need to know of them."""

from __future__ import annotations

import numpy as np

_PERIODIC_TABLE = """
* H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
SYMBOLS = _PERIODIC_TABLE.split()
"""Symbols by atomic number; "*" is an atom of any element."""

NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}
AROMATIC = ("b", "c", "n", "o", "p", "s", "as", "se", "te", "si")  # symbols of aromatic atoms, in brackets
ORGANIC = ("B", "C", "N", "O", "P", "S", "F", "I", "b", "c", "n", "o", "p", "s", "*")  # one letter, without brackets

# The valences of atoms without brackets, ascending: hydrogens fill up to the next one (the OpenSMILES specification,
# section 3.1.5). Halogens above 1 are those of perchlorates and periodates written without charges.
VALENCES = {
    "B": (3,),
    "C": (4,),
    "N": (3, 5),
    "O": (2,),
    "P": (3, 5),
    "S": (2, 4, 6),
    "F": (1,),
    "Cl": (1, 3, 5, 7),
    "Br": (1, 3, 5, 7),
    "I": (1, 3, 5, 7),
}
# The highest valence in the second row by the number of electrons, so that charged atoms count as their neighbors.
HIGHEST_VALENCE = {4: 2, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 10: 0}
CHECKED = ("B", "C", "N", "O", "F")
LONE_PAIR = ("N", "O", "P", "S", "As", "Se", "Te", "B")  # elements that join a ring of pi electrons without a pi bond


def symbol_code(symbol: str) -> int:
    """Return the number under which the tables list a symbol of one or two ASCII letters.

    Examples:
        >>> symbol_code("C"), symbol_code("Cl")
        (8576, 8684)
    """
    first, second = (*symbol.encode(), 0)[:2]
    return first * 128 + second


def element_table() -> np.ndarray:
    """Return the atomic numbers of symbols in brackets by `symbol_code`, (16384,) int32; -1 for no element."""
    table = np.full(128 * 128, -1, np.int32)
    for symbol, number in NUMBERS.items():
        table[symbol_code(symbol)] = number
    for symbol in AROMATIC:
        table[symbol_code(symbol)] = NUMBERS[symbol.capitalize()]
    return table


def valence_table() -> np.ndarray:
    """Return the valence that an atom without brackets fills up to, (elements, 9) int32; -1 where there is none.

    The second axis is the sum of its bond orders, of which 8 stands for more.
    """
    table = np.full((len(SYMBOLS), 9), -1, np.int32)
    table[0] = np.arange(9)  # an atom of any element has no hydrogens
    for symbol, valences in VALENCES.items():
        for total in range(9):
            table[NUMBERS[symbol], total] = next((valence for valence in valences if valence >= total), -1)
    return table


def highest_valence_table() -> np.ndarray:
    """Return the highest valence by the number of electrons of an atom, (elements + 1,) int32; 99 where unchecked."""
    table = np.full(len(SYMBOLS) + 1, 99, np.int32)
    for electrons, valence in HIGHEST_VALENCE.items():
        table[electrons] = valence
    return table


def members_table(symbols: tuple[str, ...]) -> np.ndarray:
    """Return whether each element is one of these, (elements,) bool."""
    return np.isin(np.arange(len(SYMBOLS)), [NUMBERS[symbol] for symbol in symbols])
