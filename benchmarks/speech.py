"""Speech recognition on the data sets prompts_en and spoken_digits.

python benchmarks/speech.py accuracy prompts|digits|connected [HPARAM=VALUE ...] [--seeds 0 1 2] [--held-out [SPEAKER]]
                                                              [--save FOLDER] [--peers MINUTES]
python benchmarks/speech.py same  prompts|digits|connected --saved FOLDER
python benchmarks/speech.py speed prompts|digits|connected --saved FOLDER
python benchmarks/speech.py stream prompts|connected --saved FOLDER

`prompts` are the 379 and 99 telephone prompts of one speaker, `digits` single digits of four speakers, tested on two
others, and `connected` sequences of two to six digits, made by joining clips of one speaker with pauses of up to 150
ms. `accuracy` trains on the training part without validation rows and prints the metrics on the test part and the CPU
time of training; for texts, also those of greedy and beam search without the language model. With `--held-out`, it
trains on a part of the training data and tests on the rest, on which hyperparameters are chosen: every sixth prompt, or
one of the four speakers (jackson, nicolas, theo, yweweler; by default jackson). `--peers` trains a plain Keras network
on the same data for this CPU time (speech_peers.py).
`same` counts the answers to test clips that change with the batch, with padding, or in the export. `speed` prints the
real-time factor: processing time by duration, one clip at a time.
`stream` reads each test clip in chunks of a quarter of a second with a model that was trained with streaming=True,
counts last answers that are not those for the whole clip, and prints the time of a chunk.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from machine import DATA, print_machine
from timing import hparams_of

import dlkit
from dlkit.audio.wav import read_wav

Data = dict[str, list[Any]]
TABLES = {"prompts": ("prompts_en", "transcripts.csv"), "digits": ("spoken_digits", "labels.csv")}
HELD_OUT_SPEAKER = "jackson"
SEQUENCES = {"train": 2000, "test": 300}
SHORTEST, LONGEST, MAX_PAUSE = 2, 6, 0.15  # digits of a sequence, and seconds between them
BATCH = 16
CHUNK_SECONDS = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("accuracy", "same", "speed", "stream"))
    parser.add_argument("part", choices=("prompts", "digits", "connected"))
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--held-out", nargs="?", const=HELD_OUT_SPEAKER, metavar="SPEAKER")
    parser.add_argument("--save", metavar="FOLDER", help="where to save the model of the last seed")
    parser.add_argument("--saved", metavar="FOLDER", help="a model that was saved")
    parser.add_argument("--peers", type=float, metavar="MINUTES", help="CPU time of a plain Keras network")
    given = parser.parse_intermixed_args()
    print_machine()
    train, test = load(given.part, given.held_out)
    if given.what != "accuracy":
        measures = {"same": count_changes, "speed": measure_speed, "stream": compare_streams}
        measures[given.what](dlkit.load(given.saved), test["audio"])
        return
    for seed in given.seeds:
        save = given.save if seed == given.seeds[-1] else None
        measure_accuracy(given.part, hparams_of(given.hparams), seed, train, test, save)
    if given.peers:
        from speech_peers import train_peer

        train_peer(given.part, train, test, given.peers)


def load(part: str, held_out: str | None) -> tuple[Data, Data]:
    """Load training and test clips with their texts, or words; or those of all but one training speaker, and of one."""
    folder, name = TABLES["prompts" if part == "prompts" else "digits"]
    train, test = (read_rows(DATA / folder / each / name) for each in ("train", "test"))
    if held_out and part == "prompts":
        train, test = [row for number, row in enumerate(train) if number % 6], train[::6]
    elif held_out:
        train, test = ([row for row in train if (row["speaker"] == held_out) is chosen] for chosen in (False, True))
    if part == "connected":
        return join_digits(train, SEQUENCES["train"]), join_digits(test, SEQUENCES["test"])
    target = "text" if part == "prompts" else "label"
    made = [{"audio": [row["audio"] for row in rows], target: [row[target] for row in rows]} for rows in (train, test)]
    return made[0], made[1]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{**row, "audio": str(path.parent / row["audio"])} for row in csv.DictReader(file)]


def join_digits(rows: list[dict[str, str]], count: int) -> Data:
    """Join clips of one speaker, drawn at random, to sequences."""
    generator = np.random.default_rng(0)
    clips = [read_wav(tf.constant(Path(row["audio"]).read_bytes()), 60.0) for row in rows]
    samples, rates = [clip.samples.numpy() for clip in clips], {int(clip.rate) for clip in clips}
    (rate,) = rates
    speakers = sorted({row["speaker"] for row in rows})
    made: Data = {"audio": [], "text": []}
    for number in range(count):
        of_speaker = [index for index, row in enumerate(rows) if row["speaker"] == speakers[number % len(speakers)]]
        chosen = generator.choice(of_speaker, generator.integers(SHORTEST, LONGEST + 1))
        parts = []
        for index in chosen:
            parts += [samples[index], np.zeros(int(generator.uniform(0, MAX_PAUSE) * rate), np.float32)]
        made["audio"].append((np.concatenate(parts), rate))
        made["text"].append(" ".join(rows[index]["label"] for index in chosen))
    return made


def measure_accuracy(part: str, hparams: dict[str, Any], seed: int, train: Data, test: Data, save: str | None) -> None:
    words = {"objective": "words"} if part == "digits" else {}
    task = dlkit.SpeechRecognizer(**{"validation_split": 0.0, **words, **hparams, "seed": seed})
    wall, cpu = time.perf_counter(), time.process_time()
    task.fit(train, verbose=0)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"seed {seed}: {task.stages_.network.count_params():,} parameters, {task.plan_['steps']} steps, "
        f"{cpu / 60:.1f} minutes of CPU time, {wall / 60:.1f} minutes",
        flush=True,
    )
    if part == "digits":
        print(f"accuracy {task.evaluate(test)['accuracy']:.4f}", flush=True)
    else:
        print(f"beam search with n-grams: {describe(task.evaluate(test))}", flush=True)
        for name, weight, width in (("beam search", 0.0, task.beam_width), ("greedy", 0.0, 1)):
            print(f"{name}: {describe(evaluate_search(task, test, weight, width))}", flush=True)
    if save:
        task.save(save)


def describe(metrics: dict[str, Any]) -> str:
    return f"WER {metrics['wer']:.4f}, CER {metrics['cer']:.4f}, sentences {metrics['sentence_accuracy']:.4f}"


def evaluate_search(task: dlkit.SpeechRecognizer, test: Data, weight: float, width: int) -> dict[str, Any]:
    """Evaluate with another search, which is no option of a trained model."""
    layer = task.stages_.postprocess.get_layer("transcribe")
    before = layer.language_weight, layer.character_bonus, layer.beam_width
    layer.language_weight, layer.character_bonus, layer.beam_width = weight, 0.0, width
    task._served = {}
    try:
        return task.evaluate(test)
    finally:
        layer.language_weight, layer.character_bonus, layer.beam_width = before
        task._served = {}


def count_changes(task: dlkit.SpeechRecognizer, clips: list[Any]) -> None:
    """Count the answers that depend on batch, padding or export."""
    name = "label" if task.objective == "words" else "text"
    raw = [task.inputs["audio"].raw(clip) for clip in clips]
    graph = task.served()["serving_default"].graph
    alone = [graph(audio=tf.constant([clip]))[name].numpy()[0] for clip in raw]
    longest = max(raw, key=len)
    order = np.random.default_rng(0).permutation(len(raw))
    changed = {"batch": 0, "padding": 0, "export": 0}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        answers = graph(audio=tf.constant([raw[row] for row in chosen]))[name].numpy()
        changed["batch"] += sum(answer != alone[row] for row, answer in zip(chosen, answers, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        version = task.export(Path(folder) / "speech")
        exported = tf.saved_model.load(str(version)).signatures["serving_default"]
        for row, clip in enumerate(raw):
            changed["padding"] += graph(audio=tf.constant([clip, longest]))[name].numpy()[0] != alone[row]
            changed["export"] += exported(audio=tf.constant([clip]))[name].numpy()[0] != alone[row]
    listed = ", ".join(f"{count} with {what}" for what, count in changed.items())
    print(f"answers that change, of {len(raw)}: {listed}", flush=True)


def measure_speed(task: dlkit.SpeechRecognizer, clips: list[Any]) -> None:
    """Measure the served graph, one clip at a time."""
    raw = [task.inputs["audio"].raw(clip) for clip in clips]
    graph = task.served()["serving_default"].graph
    duration = sum(float(graph(audio=tf.constant([clip]))["seconds"].numpy()[0]) for clip in raw)
    wall, cpu = time.perf_counter(), time.process_time()
    for clip in raw:
        graph(audio=tf.constant([clip]))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{duration:.1f} s of sound in {wall:.2f} s, {cpu:.2f} s of CPU time: real-time factor {wall / duration:.4f}, "
        f"{cpu / duration:.4f} of CPU time",
        flush=True,
    )


def compare_streams(task: dlkit.SpeechRecognizer, clips: list[Any]) -> None:
    """Read each clip in chunks, and compare the last answer with that for the whole clip."""
    names = ("text", "words", "starts", "ends")
    differing, times = 0, []
    for clip in clips:
        wav = read_wav(tf.constant(task.inputs["audio"].raw(clip)), task.max_seconds)
        if int(wav.rate) != task.rate_:
            raise SystemExit(
                f"streams have the rate of the model, {task.rate_}. Received a clip of {int(wav.rate)} Hz."
            )
        samples, whole = wav.samples.numpy(), task.predict(clip)
        size = int(CHUNK_SECONDS * task.rate_)
        chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
        answers = task.stream(chunks)
        for _ in chunks:
            started = time.perf_counter()
            last = next(answers)
            times.append(time.perf_counter() - started)
        differing += any(last[name] != whole[name] for name in names)
    print(
        f"streams that end with another answer, of {len(clips)}: {differing}; a chunk of {CHUNK_SECONDS:g} s takes "
        f"{1000 * np.median(times):.1f} ms (median), {1000 * np.quantile(times, 0.99):.1f} ms (99%)",
        flush=True,
    )


if __name__ == "__main__":
    main()
