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
INVALID_INPUTS = {
    "empty": "",
    "blank": "  ",
    "no molecule": "hello world",
    "a parenthesis too few": "CC(=O",
    "an open ring": "C1CCC",
    "five bonds": "CC(C)(C)(C)C",
    "no element": "[Xx]",
    "a bond to nothing": "CC=",
    "aromatic without a ring": "cc",
    "too long": "C" * 101,
    "far too long": "C" * 100_000,
    "a number": 3.5,
    "not UTF-8": b"\xff\xfe",
}
