"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

SMALL_HPARAMS = {"width": 16, "depth": 2, "fingerprint_bits": 64, "max_atoms": 24, "random_smiles": 1}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides.
STABLE_HPARAMS = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNING_HPARAMS = {"width": 32, "depth": 3, "epochs": 30, "batch_size": 16, "learning_rate": 3e-3}
RECIPE_FLAGS = ["--width", "16", "--epochs", "2"]
EDGE_INPUTS = {
    "one atom": lambda: "C",
    "an ion": lambda: "[Na+]",
    "a salt": lambda: "[Na+].[Cl-]",
    "hydrogen": lambda: "[H][H]",
    "an element that no training molecule has": lambda: "[Og]",
    "any atom": lambda: "*C*",
    "an isotope": lambda: "[13CH3][2H]",
    "stereo": lambda: "F/C=C/[C@@H](Cl)[C@H](N)C(=O)O",
    "a cage": lambda: "C12C3C4C1C5C2C3C45",
    "spaces around it": lambda: " CCO\n",
    "bytes": lambda: b"c1ccccc1",
    "two digits": lambda: "C%12CCCCC%12",
    "the longest": lambda: "C" * 100,
}
# SMILES of one molecule each.
EQUAL_INPUTS = {
    "another order of the atoms": ["CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1OC(C)=O", "c1(C(O)=O)c(OC(=O)C)cccc1"],
    "Kekulé and aromatic": ["Cc1ccccc1", "CC1=CC=CC=C1", "CC1=C-C=C-C=C1"],
    "fused rings": ["C1=CC=C2C(=C1)C=CC3=CC=CC=C32", "c1ccc2c(c1)ccc1ccccc12"],
    "a lone pair in the ring": ["c1cc[nH]c1", "N1C=CC=C1", "[nH]1cccc1"],
    "rings next to an aromatic one": ["c1ccc2c(c1)Cc1ccccc12", "C1=CC=C2C(=C1)CC3=CC=CC=C32"],
    "explicit hydrogens": ["CCO", "[H]OCC", "[CH3][CH2][OH]", "C([H])([H])([H])C([H])([H])O[H]"],
    "nitro groups": ["C[N+](=O)[O-]", "CN(=O)=O", "O=[N+](C)[O-]"],
    "azides": ["CN=[N+]=[N-]", "CN=N#N"],
    "chirality": ["N[C@@H](C)C(=O)O", "C[C@H](N)C(=O)O", "[C@@H](N)(C(=O)O)C", "[H][C@](N)(C)C(=O)O"],
    "stereo of double bonds": ["F/C=C/Cl", "F\\C=C\\Cl", "Cl/C=C/F", "C(\\F)=C/Cl"],
    "ring closures": ["C1CCCCC1C", "CC1CCCCC1", "C%10CCCCC%10C", "C1(C)CCCCC1"],
    "salts": ["[Na+].CC(=O)[O-]", "CC([O-])=O.[Na+]"],
}
# As dicts: a message names a short text.
INVALID_INPUTS = {
    "empty": {"smiles": ""},
    "blank": {"smiles": "  "},
    "no molecule": {"smiles": "hello world"},
    "a parenthesis too few": {"smiles": "CC(=O"},
    "an open ring": {"smiles": "C1CCC"},
    "five bonds": {"smiles": "CC(C)(C)(C)C"},
    "no element": {"smiles": "[Xx]"},
    "a bond to nothing": {"smiles": "CC="},
    "aromatic without a ring": {"smiles": "cc"},
    "too long": {"smiles": "C" * 101},
    "far too long": {"smiles": "C" * 100_000},
    "a number": 3.5,
    "not UTF-8": b"\xff\xfe",
}
