"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

SMALL = {"width": 16, "hidden_width": 32}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STEADY = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNS = {"width": 16, "hidden_width": 32, "epochs": 20}
RECIPE = ["--width", "16", "--epochs", "2"]
EDGES = {
    "empty": lambda: "",
    "unknown": lambda: "nobody 🎉",
    "known": lambda: "u001",
    "an item": lambda: "comedy-01",
    "bytes": lambda: "é".encode(),
    "very long": lambda: "x" * 100_000,
}
BROKEN = {"a fraction": 3.5, "not UTF-8": b"\xff\xfe", "a dict": {}}
