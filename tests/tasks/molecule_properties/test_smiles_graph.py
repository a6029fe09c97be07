"""SMILES to graphs against molecules counted by hand, and against RDKit where it is installed."""

import random

import numpy as np
import pytest

from dlkit.lazy import tf
from dlkit.tasks.molecule_properties.featurization import ATOM_FEATURES, BOND_FEATURES, MoleculeFeatures
from dlkit.tasks.molecule_properties.random_smiles import read_molecules, write_random_smiles
from dlkit.tasks.molecule_properties.smiles_graph import describe_errors, parse
from dlkit.tasks.molecule_properties.smiles_tokens import tokenize

ELEMENT, DEGREE, HYDROGENS, CHARGE, CHIRALITY, IN_RING, ISOTOPE = range(len(ATOM_FEATURES))
DRUGS = {
    "aspirin": "CC(=O)OC1=CC=CC=C1C(=O)O",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "penicillin G": "CC1([C@@H](N2[C@H](S1)[C@@H](C2=O)NC(=O)CC3=CC=CC=C3)C(=O)O)C",
    "morphine": "CN1CC[C@]23[C@@H]4[C@H]1CC5=C2C(=C(C=C5)O)O[C@H]3[C@H](C=C4)O",
    "tamoxifen": "CC/C(=C(\\C1=CC=CC=C1)/C2=CC=C(C=C2)OCCN(C)C)/C3=CC=CC=C3",
    "metformin hydrochloride": "CN(C)C(=N)N=C(N)N.Cl",
    "sildenafil": "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C",
    "indigo": "C1=CC=C2C(=C1)C(=O)/C(=C\\3/C(=O)C4=CC=CC=C4N3)/N2",
    "porphin": "C1=CC2=CC3=CC=C(N3)C=C4C=CC(=N4)C=C5C=CC(=N5)C=C1N2",
    "azobenzene oxide": "C1=CC=C(C=C1)N=[N+](C2=CC=CC=C2)[O-]",
}


@pytest.fixture(scope="module")
def layer():
    return MoleculeFeatures(max_atoms=100, fingerprint_bits=256)


def describe(layer, smiles):
    made = {name: value.numpy() for name, value in layer.describe(tf.constant(smiles)).items()}
    assert not any(made["error"]), made["error"]
    return made


def atoms_of(layer, smiles):
    made = layer(tf.constant([smiles]))
    assert made["error"].numpy()[0] == b""
    return made["atoms"].numpy()[0][made["atom_mask"].numpy()[0]]


def bonds_of(layer, smiles):
    made = layer(tf.constant([smiles]))
    mask = made["bond_mask"].numpy()[0]
    return made["bond_atoms"].numpy()[0][mask].tolist(), made["bonds"].numpy()[0][mask]


def test_ethanol(layer):
    atoms = atoms_of(layer, "CCO")
    assert atoms[:, ELEMENT].tolist() == [6, 6, 8]
    assert atoms[:, HYDROGENS].tolist() == [3, 2, 1]
    assert atoms[:, DEGREE].tolist() == [1, 2, 1]
    ends, bonds = bonds_of(layer, "CCO")
    assert ends == [[0, 1], [1, 2]]
    assert bonds[:, 0].tolist() == [1, 1]


def test_aspirin(layer):
    atoms = atoms_of(layer, DRUGS["aspirin"])
    assert atoms[:, ELEMENT].tolist() == [6, 6, 8, 8, 6, 6, 6, 6, 6, 6, 6, 8, 8]
    assert atoms[:, HYDROGENS].tolist() == [3, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1]
    assert atoms[:, IN_RING].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    ends, bonds = bonds_of(layer, DRUGS["aspirin"])
    assert sorted(map(sorted, ends)) == sorted(
        [[0, 1], [1, 2], [1, 3], [3, 4], [4, 5], [5, 6], [6, 7], [7, 8], [8, 9], [4, 9], [9, 10], [10, 11], [10, 12]]
    )
    of_order = {order: int((bonds[:, 0] == order).sum()) for order in (1, 2, 5)}
    assert of_order == {1: 5, 2: 2, 5: 6}  # the ring is delocalized


@pytest.mark.parametrize(
    ("smiles", "hydrogens"),
    [
        ("c1ccc2ccccc2c1", [1, 1, 1, 0, 1, 1, 1, 1, 0, 1]),
        ("c1cc[nH]c1", [1, 1, 1, 1, 1]),
        ("Cn1ccnc1", [3, 0, 1, 1, 0, 1]),
        ("OS(=O)(=O)O", [1, 0, 0, 0, 1]),
        ("N(=O)(=O)c1ccccc1", [0, 0, 0, 0, 1, 1, 1, 1, 1]),
        ("[NH4+]", [4]),
        ("C[SiH2]C", [3, 2, 3]),
        ("OP(O)(O)=O", [1, 0, 1, 1, 0]),
        ("C#N", [1, 0]),
        ("[CH3-]", [3]),
        ("BrC(Cl)I", [0, 1, 0, 0]),
        ("[2H]O[2H]", [0, 0, 0]),
    ],
)
def test_hydrogens(layer, smiles, hydrogens):
    assert atoms_of(layer, smiles)[:, HYDROGENS].tolist() == hydrogens


def test_charges_and_isotopes(layer):
    assert atoms_of(layer, "[NH4+].[Cl-]")[:, CHARGE].tolist() == [4, 2]
    assert atoms_of(layer, "[Fe+3]")[:, CHARGE].tolist() == atoms_of(layer, "[Fe+++]")[:, CHARGE].tolist() == [6]
    assert atoms_of(layer, "[13CH4]")[:, ISOTOPE].tolist() == [1]
    assert atoms_of(layer, "C[N+](=O)[O-]")[:, CHARGE].tolist() == [3, 3, 3, 3]  # a bond in the place of the charges


@pytest.mark.parametrize(
    ("smiles", "ring_bonds"),
    [
        ("CCCC", 0),
        ("C1CC1C", 3),
        ("c1ccccc1-c1ccccc1", 12),
        ("C1CC2CCC1C2", 8),
        ("C1CCC2(CC1)CCCC2", 11),
        ("C(C1)C1", 3),  # the ring number is opened in a branch
        ("C12C3C4C1C5C2C3C45", 12),
        ("C1CC1.C1CC1", 6),
        ("N1(CC)CCN(CC1)C(C)C", 6),
    ],
)
def test_bonds_in_rings(layer, smiles, ring_bonds):
    _, bonds = bonds_of(layer, smiles)
    assert bonds[:, 1].sum() == ring_bonds


@pytest.mark.parametrize(
    ("smiles", "delocalized"),
    [
        ("C1CCCCC1", 0),
        ("C1=CCCCC1", 0),
        ("C1=CC=CCC1", 0),
        ("O=C1OCCC1", 0),
        ("c1ccccc1", 6),
        ("C1=CC=CC=C1", 6),
        ("O=C1C=CC(=O)C=C1", 6),
        ("C1COCCO1", 0),
        ("C1=COC=C1", 5),
        ("C1=CC=C(C=C1)C=C", 6),
        ("N#CC1=CC=CC=C1", 6),
    ],
)
def test_delocalized_bonds(layer, smiles, delocalized):
    _, bonds = bonds_of(layer, smiles)
    assert (bonds[:, 0] == 5).sum() == delocalized


@pytest.mark.parametrize(
    "pair",
    [
        ("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"),
        ("F/C=C/F", "F/C=C\\F"),
        ("F/C=C/F", "FC=CF"),
        ("CCO", "COC"),
        ("c1ccccc1", "C1CCCCC1"),
        ("CC(=O)O", "CC(=O)[O-]"),
        ("C", "[13CH4]"),
        ("C[S@](=O)CC", "C[S@@](=O)CC"),
        ("[Na+].[Cl-]", "[Na+]"),
        ("C1=CC=CC=C1", "C1=CC=CCC1"),
    ],
)
def test_different_molecules_differ(layer, pair):
    first, second = describe(layer, [*pair])["molecule"]
    assert first != second


def random_smiles(smiles, count, seed=0):
    (molecule,) = read_molecules([smiles.encode()])
    generator = random.Random(seed)
    return [write_random_smiles(molecule, generator) for _ in range(count)]


@pytest.mark.parametrize("name", DRUGS)
def test_random_smiles_give_one_graph(layer, name):
    writings = [DRUGS[name], *random_smiles(DRUGS[name], 20)]
    assert len({*writings}) > 10
    made = describe(layer, writings)
    assert len({*made["molecule"].tolist()}) == 1
    assert len({*made["scaffold"].tolist()}) == 1
    features = layer(tf.constant(writings))
    assert (features["fingerprint"].numpy() == features["fingerprint"].numpy()[0]).all()
    sorted_atoms = [sorted(map(tuple, atoms.tolist())) for atoms in features["atoms"].numpy()]
    assert all(atoms == sorted_atoms[0] for atoms in sorted_atoms)


def test_random_smiles_keep_the_molecule_of_rdkit():
    chem = pytest.importorskip("rdkit.Chem")
    for name, smiles in DRUGS.items():
        expected = chem.CanonSmiles(smiles)
        assert {chem.CanonSmiles(each) for each in random_smiles(smiles, 20)} == {expected}, name


def test_the_graph_is_that_of_rdkit(layer):
    chem = pytest.importorskip("rdkit.Chem")
    for name, smiles in DRUGS.items():
        tokens, errors = tokenize(tf.constant([smiles]))
        atoms, bonds, errors = parse(tokens, errors)
        assert describe_errors(errors).numpy()[0] == b"", name
        molecule = chem.MolFromSmiles(smiles)
        assert atoms.element.numpy().tolist() == [atom.GetAtomicNum() for atom in molecule.GetAtoms()], name
        assert atoms.charge.numpy().tolist() == [atom.GetFormalCharge() for atom in molecule.GetAtoms()], name
        assert atoms.hydrogens.numpy().tolist() == [atom.GetTotalNumHs() for atom in molecule.GetAtoms()], name
        ours = {
            frozenset(pair): ring for *pair, ring in zip(*(np.array(bonds[field]) for field in (0, 1, 4)), strict=True)
        }
        theirs = {
            frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())): bond.IsInRing() for bond in molecule.GetBonds()
        }
        assert ours == theirs, name


def test_scaffolds(layer):
    made = describe(layer, ["CCCC", "CCO", "Cc1ccccc1", "NCCc1ccccc1", "c1ccc(CC2CC2)cc1", "CC1CCCCC1", "O=C1CCCCC1"])
    scaffolds = made["scaffold"].tolist()
    assert scaffolds[0] == scaffolds[1] == 0
    assert scaffolds[2] == scaffolds[3]
    assert len({*scaffolds}) == 5


def test_the_largest_fragment():
    layer = MoleculeFeatures(20, 16, largest_fragment=True)
    atoms = atoms_of(layer, "[Na+].CC(=O)[O-]")
    assert atoms[:, ELEMENT].tolist() == [6, 6, 8, 8]
    made = describe(layer, ["Cl.CCN", "CCN", "CCN.Cl"])
    assert len({*made["molecule"].tolist()}) == 1


def test_an_answer_does_not_depend_on_the_batch(layer):
    texts = [*DRUGS.values(), "C", "C(", "", "x" * 10_000, "[Na+].[Cl-]"]
    together = layer(tf.constant(texts))
    for row, text in enumerate(texts):
        alone = layer(tf.constant([text]))
        assert alone["error"].numpy()[0] == together["error"].numpy()[row]
        for name in ("atoms", "bonds", "bond_atoms", "tokens", "fingerprint"):
            own, other = alone[name].numpy()[0], together[name].numpy()[row]
            np.testing.assert_array_equal(other[: len(own)], own, err_msg=f"{text}: {name}")
            assert not other[len(own) :].any()


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("", "empty"),
        ("hello", "character"),
        ("C\x00C", "character"),
        ("é", "character"),
        ("C%1C", "character"),
        ("[C", "brackets"),
        ("C]", "brackets"),
        ("[]", "brackets"),
        ("[C[N]]", "brackets"),
        ("[Xx]", "element"),
        ("C(C", "parentheses"),
        ("C)C", "parentheses"),
        ("(C)C", "parentheses"),
        ("C()C", "parentheses"),
        ("C=", "bond"),
        ("=C", "bond"),
        ("C==C", "bond"),
        ("C=(C)C", "bond"),
        ("C.", "dot"),
        ("1CC1", "bond"),
        ("C1CC", "ring number"),
        ("C11", "ring number"),
        ("C1C1", "ring number"),
        ("C1.C1", "ring number"),
        ("C=1CC#1", "ring number"),
        ("cc", "lower case"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("N(C)(C)(C)C", "valence"),
        ("O(C)(C)C", "valence"),
        ("F=C", "valence"),
        ("[CH5]", "valence"),
        ("C" * 101, "101 atoms, at most 100"),
        ("C" * 5000, "5000 characters, at most"),
    ],
)
def test_what_is_no_molecule_is_told_in_its_own_row(layer, smiles, reason):
    made = layer(tf.constant(["CCO", smiles, "c1ccccc1"]))
    good, bad, other = (error.decode() for error in made["error"].numpy())
    assert (good, other) == ("", "")
    assert reason in bad
    assert made["atom_mask"].numpy().sum(1).tolist() == [3, 0, 6]


def test_every_element_is_known(layer):
    texts = [f"[{symbol}]" for symbol in ("He", "Sc", "Co", "Cn", "Og", "U", "Sn", "Hg")]
    made = layer(tf.constant(texts))
    assert made["atoms"].numpy()[:, 0, 0].tolist() == [2, 21, 27, 112, 118, 92, 50, 80]


def test_features_fit_their_sizes():
    assert max(ATOM_FEATURES.values()) < 256
    assert BOND_FEATURES["order"] == 6


def test_no_molecules_at_all(layer):
    made = layer(tf.constant([], tf.string))
    assert made["atoms"].shape[0] == made["error"].shape[0] == 0
