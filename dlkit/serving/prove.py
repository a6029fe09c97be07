"""Verifies a version directory from outside: `python -m dlkit.serving.prove VERSION_DIR [--json] [--library=NAME]`.

It needs only TensorFlow and NumPy; no Keras object of the training process is involved. The work is done in a child
process, so that a request that aborts it is reported."""

from __future__ import annotations

import contextlib
import importlib
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlkit.errors import ExportError
from dlkit.reading_errors import as_data_error
from dlkit.serving.compare import describe_difference, max_error
from dlkit.serving.lint import lint, read_saved_model
from dlkit.serving.reference_examples import EXAMPLES_FILE, Arrays, load_reference_examples, split_into_rows
from dlkit.serving.verify import read_contract

if TYPE_CHECKING:  # TensorFlow is for the child alone
    from dlkit.serving.served import LoadedSignature

_MIXED_BATCH_ROWS = 32  # rows of a mixed batch
_MAX_PROBLEMS = 10  # problems of one signature before the rest are only counted


OP_LIBRARIES = frozenset({"tensorflow_text"})  # the packages that networks and tokenizers of dlkit may need


def prove(version_dir: pathlib.Path, libraries: Sequence[str] = ()) -> dict:
    """Lint and run a version directory that holds a contract and reference examples.

    Args:
        version_dir: the directory.
        libraries: packages of operations, besides `OP_LIBRARIES`, that may be imported if the contract names them.

    Returns:
        `{"ok", "problems": [str], "signatures": {name: {"alone", "mixed", "probes", "max_error"}},
        "seconds"}`.
    """
    start = time.perf_counter()
    extra = version_dir / "assets.extra"
    contract, problems = lint_export(version_dir, libraries)
    report: dict = {"ok": False, "problems": problems, "signatures": {}, "seconds": 0.0}
    if not problems:
        with as_data_error(extra / EXAMPLES_FILE, "what `export` writes", "Export the model again.", error=ExportError):
            reference_examples = load_reference_examples(extra / EXAMPLES_FILE)
        _progress("loading the SavedModel")
        from dlkit.serving.served import load_signatures

        with load_signatures(version_dir) as served:
            _progress("running the reference examples")
            for name in sorted(served):
                facts = contract["signatures"].get(name, {})
                report["signatures"][name] = _prove_signature(
                    name, served[name], reference_examples.get(name, []), facts, problems
                )
            for name in sorted(set(contract["signatures"]) - set(served)):
                problems.append(f"signature `{name}` of the contract is not in the SavedModel")
    report["ok"] = not problems
    report["seconds"] = round(time.perf_counter() - start, 2)
    return report


def lint_export(version_dir: pathlib.Path, libraries: Sequence[str] = ()) -> tuple[dict, list[str]]:
    """Read the contract of a version directory and lint its graph, without running any of it.

    Raises:
        ExportError: a file cannot be read, or the contract names a package that must not be imported.
    """
    file = version_dir / "assets.extra" / "dlkit.json"
    contract = read_contract(version_dir)
    for library in contract.get("libraries", []):  # registers the operations that the server needs by the contract
        if library not in OP_LIBRARIES.union(libraries):
            raise ExportError(
                f"{file} says that the graph needs the package {library!r}, and importing it runs its code. Known "
                f"packages: {', '.join(sorted(OP_LIBRARIES))}. If you trust it: dlkit verify --library {library}."
            )
        with as_data_error(f"the package {library!r}", "an importable package", "Install it.", error=ExportError):
            importlib.import_module(library)
    declared = contract["ops_beyond_core"] if contract.get("libraries") else []
    with as_data_error(version_dir / "saved_model.pb", "a SavedModel", "Export the model again.", error=ExportError):
        problems = lint(read_saved_model(version_dir), declared)
    return contract, problems


def _prove_signature(
    name: str, served: LoadedSignature, reference_examples: list, facts: dict, problems: list[str]
) -> dict:
    found: list[str] = []
    figures: dict = {"alone": 0, "mixed": 0, "probes": 0, "max_error": {}}
    if not reference_examples:
        found.append("there are no reference examples to verify it with")
    single = split_into_rows(reference_examples)
    for index, row, _, answers in single:
        wrong = [name for name, array in answers.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
        if wrong:
            found.append(
                f"the reference output for input {index} row {row} holds NaN or infinity in `{wrong[0]}`, which "
                "JSON does not support: pad with 0 and return the number of valid entries"
            )
    for index, row, inputs, answers in single:
        _compare(served, inputs, answers, facts, f"input {index} row {row} alone", [(index, row)], figures, found)
        figures["alone"] += 1
    for batch in make_mixed_batches(single):
        inputs, answers = (
            {key: np.concatenate([item[side][key] for item in batch]) for key in batch[0][side]} for side in (2, 3)
        )
        labels = [(index, row) for index, row, _, _ in batch]
        _compare(served, inputs, answers, facts, f"a mixed batch of {len(batch)} inputs", labels, figures, found)
        figures["mixed"] += 1
    if reference_examples:
        figures["probes"] = _probe(name, served, single[0][2], found)
    problems += [f"signature `{name}`: {text}" for text in found[:_MAX_PROBLEMS]]
    if len(found) > _MAX_PROBLEMS:
        problems.append(f"signature `{name}`: and {len(found) - _MAX_PROBLEMS} more")
    return figures


def make_mixed_batches(single: list[tuple]) -> list[list[tuple]]:
    """Mix reference examples of equal shapes: in reverse order, the last row repeated, as a server pads."""
    groups: dict = {}
    for item in reversed(single):
        shapes = tuple((key, array.shape) for side in item[2:] for key, array in sorted(side.items()))
        groups.setdefault(shapes, []).append(item)
    batches = []
    for group in groups.values():
        for start in range(0, len(group), _MIXED_BATCH_ROWS):
            part = group[start : start + _MIXED_BATCH_ROWS]
            batches.append([*part, part[-1]])
    return batches


def _compare(
    served: LoadedSignature,
    inputs: Arrays,
    answers: Arrays,
    facts: dict,
    how: str,
    labels: list[tuple[int, int]],
    figures: dict,
    found: list[str],
) -> None:
    try:
        got = served(inputs)
    except Exception as error:  # any error of the graph is a problem
        found.append(f"{how} ({describe(inputs)}): {_first_line(error)}")
        return
    for output in served.outputs:
        if output not in answers:
            found.append(f"output `{output}` is not in the reference outputs, which have {', '.join(sorted(answers))}")
            continue
        if np.shape(got[output])[:1] != (len(labels),):
            found.append(f"{how}: output `{output}` has shape {np.shape(got[output])} for {len(labels)} rows")
            continue
        largest = max_error(got[output], answers[output])
        figures["max_error"][output] = max(figures["max_error"].get(output, 0.0), largest)
        for position, (index, row) in enumerate(labels):
            mine, theirs = ({k: v[position : position + 1] for k, v in side.items()} for side in (got, answers))
            text = describe_difference(output, mine, theirs, facts.get("outputs", {}))
            if text:
                item = {key: array[position : position + 1] for key, array in inputs.items()}
                within = "" if len(labels) == 1 else f" as row {position} of {how}"
                found.append(f"input {index} row {row}{within} ({describe(item)}): output `{output}` {text}")
    missing = sorted(set(answers) - set(got))
    if missing:
        found.append(f"the reference outputs have `{missing[0]}`, the signature returns {', '.join(served.outputs)}")


def _probe(name: str, served: LoadedSignature, good: Arrays, found: list[str]) -> int:
    import tensorflow as tf

    probes = list(make_invalid_requests(served.inputs, good))
    for key, value, cure in probes:
        shape = list(np.shape(value))
        _progress(f"signature `{name}`: a request with `{key}` of the invalid shape {shape}")
        try:
            served({**good, key: value})
        except tf.errors.InvalidArgumentError:
            continue
        except Exception as error:
            answer = f"gave {type(error).__name__}: {_first_line(error)}"
        else:
            answer = "was answered"
        found.append(f"a request with `{key}` of the invalid shape {shape} {answer}; expected INVALID_ARGUMENT: {cure}")
    _progress(f"signature `{name}`: a request with no rows")
    with contextlib.suppress(tf.errors.OpError):  # an error is acceptable, an abort is not
        served({key: value[:0] for key, value in good.items()})
    return len(probes) + 1


def make_invalid_requests(inputs: dict, good: Arrays) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield (input, value, cure) for every lower rank, one higher, each fixed size off by one, and a surplus row."""
    check = "check it with tf.ensure_shape at the start of the signature's function"
    for key, shape in inputs.items():
        value = good[key]
        yield key, value[np.newaxis], check
        for rank in range(len(shape)):
            yield key, _reduce_rank(value, rank), check
        for axis, size in enumerate(shape):
            if size is not None:
                yield key, np.concatenate([value, value.take([0], axis)], axis), check
        if len(inputs) > 1:
            yield key, np.concatenate([value, value]), "check that all inputs have equally many rows"


def _reduce_rank(value: np.ndarray, rank: int) -> np.ndarray:
    """Return the first entry of the leading dimensions, as an array of the given rank."""
    return value[(slice(0, 1),) * (value.ndim - rank)].reshape(value.shape[value.ndim - rank :])


def describe(inputs: Arrays) -> str:
    """Describe inputs in a few words that distinguish one from another."""
    parts = []
    for key, array in inputs.items():
        if array.dtype == object and array.size:
            text = repr(array.ravel()[0])
            text = text if len(text) <= 40 else f"{text[:40]}... of {len(array.ravel()[0])} bytes"
        elif array.size <= 4:
            text = str(array.tolist())
        else:
            text = f"{array.dtype} {list(array.shape)}, mean {float(np.mean(array)):.4g}"
        parts.append(f"{key}: {text}")
    return "; ".join(parts)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]


def _progress(text: str) -> None:
    # The last of these lines is what a parent process reports when this one is aborted.
    print(f"progress: {text}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the command line. With `--worker` it is the child process that `verify` starts; otherwise it starts that
    child."""
    paths = [argument for argument in arguments if not argument.startswith("-")]
    if len(paths) != 1:
        print("usage: python -m dlkit.serving.prove VERSION_DIR [--json] [--library=NAME]", file=sys.stderr)
        return 2
    libraries = [argument.partition("=")[2] for argument in arguments if argument.startswith("--library=")]
    if "--worker" in arguments:
        try:
            with as_data_error(
                paths[0], "an export that can be verified", "Export the model again.", error=ExportError
            ):
                report = prove(pathlib.Path(paths[0]), libraries)
        except ExportError as error:
            report = {"ok": False, "problems": [str(error)], "signatures": {}, "seconds": 0.0}
        print("report: " + json.dumps(report), flush=True)
        return 0
    from dlkit.serving.verify import find_version_directory, run_proof

    try:
        report = run_proof(find_version_directory(paths[0]), libraries)
    except ExportError as error:
        report = {"ok": False, "problems": [str(error)]}
    print(json.dumps(report, indent=1) if "--json" in arguments else "\n".join(report["problems"] or ["proven"]))
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
