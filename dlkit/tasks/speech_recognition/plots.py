"""Plots of recordings and what was recognized in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.audio.log_mels import HIGHEST_SHARE, LOWEST_HZ, STEP_SECONDS, WINDOW_SECONDS, LogMels
from dlkit.audio.read_audio import ReadAudio
from dlkit.lazy import tf
from dlkit.plots import new_figure

MAX_CLIPS = 6
BANDS = 64  # of the spectrogram
RANGE = 5.0  # of its colors, natural logarithms of energy below the loudest: about 22 dB
CHARACTERS = 64  # of words that fit side by side under a spectrogram


def plot_clips(
    clips: Sequence[bytes], answers: Sequence[dict[str, Any]], truths: Sequence[str], rate: int, max_seconds: float
) -> Any:
    """Plot the spectrogram of each recording with the recognized words under it, where they were said.

    Args:
        clips: WAV files.
        answers: prediction for each, as returned by `predict`.
        truths: true text or word of each, or nothing if they are not known.
        rate: samples per second of the spectrogram.
        max_seconds: of the longest clip.

    Returns:
        A matplotlib figure.
    """
    spectrograms = _compute_spectrograms(clips, rate, max_seconds)
    columns = 1 if len(clips) == 1 else 2
    rows = -(-len(clips) // columns)
    figure = new_figure(6.4 * columns, 2.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, (axes, spectrogram, answer) in enumerate(zip(grid, spectrograms, answers, strict=False)):
        seconds = max(float(answer["seconds"]), WINDOW_SECONDS)
        _draw_spectrogram(axes, spectrogram, seconds, rate)
        axes.set_title(_make_title(answer, truths[number] if truths else None), fontsize=9, loc="left")
        if "words" in answer:
            _draw_words(axes, answer, seconds)
    for axes in grid[len(clips) :]:
        axes.axis("off")
    return figure


def _compute_spectrograms(clips: Sequence[bytes], rate: int, max_seconds: float) -> list[np.ndarray]:
    """Compute log energies of mel bands, (frames, bands) for each clip."""
    mels = LogMels(rate, BANDS)
    read = ReadAudio(rate, max_seconds)
    found = []
    for clip in clips:
        samples = read(tf.constant([clip]))
        energies = mels.energies(samples["samples"]).numpy()[0]
        found.append(energies[: int(mels.frames_of(samples["lengths"])[0])])
    return found


def _draw_spectrogram(axes: Any, spectrogram: np.ndarray, seconds: float, rate: int) -> None:
    top = float(spectrogram.max())
    end = len(spectrogram) * STEP_SECONDS + WINDOW_SECONDS - STEP_SECONDS
    axes.imshow(
        spectrogram.T,
        origin="lower",
        aspect="auto",
        extent=(0, end, 0, BANDS),
        cmap="magma",
        vmin=top - 2 * RANGE,
        vmax=top,
        interpolation="nearest",
    )
    ticks = [hz for hz in (250, 1000, 2000, 4000) if hz < HIGHEST_SHARE * rate / 2]
    low, high = (1127 * np.log1p(hz / 700) for hz in (LOWEST_HZ, HIGHEST_SHARE * rate / 2))
    axes.set_yticks([(1127 * np.log1p(hz / 700) - low) / (high - low) * BANDS for hz in ticks], ticks)
    axes.set(xlim=(0, max(seconds, end)), ylabel="Hz")
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.tick_params(labelsize=7)


def _draw_words(axes: Any, answer: dict[str, Any], seconds: float) -> None:
    """Write the words under the time axis, in a second line where they would touch, with bars where they were said."""
    lines_end = [-1.0, -1.0]
    for number, (word, start, end) in enumerate(zip(answer["words"], answer["starts"], answer["ends"], strict=True)):
        color = f"C{number % 10}"
        axes.axvspan(start, end, ymin=0, ymax=0.05, color=color)
        axes.axvline(start, color="white", linewidth=0.5, alpha=0.6)
        width = (len(word) + 2) * seconds / CHARACTERS  # of the letters, in seconds of the axis
        middle = (start + end) / 2
        line = 0 if middle - width / 2 >= lines_end[0] else 1
        lines_end[line] = middle + width / 2
        axes.text(
            middle, -0.17 - 0.13 * line, word, color=color, fontsize=9, ha="center", va="top",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _make_title(answer: dict[str, Any], truth: str | None) -> str:
    found = answer["text"] if "text" in answer else answer["label"]
    title = f"{found or '(nothing)'}   ({answer['score']:.2f})"
    return title if truth is None or truth == found else f"{title}\ntrue: {truth}"
