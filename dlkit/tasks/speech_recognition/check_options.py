"""Options that do not go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.errors import HparamError
from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.tasks.speech_recognition.task import SpeechRecognizer

WORD_NETWORKS = ("tdnn", "cnn")  # networks that tell words apart
WINDOWED = ("conv_gru", "conformer")  # networks that can read a clip in windows


def check_options(task: SpeechRecognizer) -> None:
    """Raise HparamError if the network of a task is not for its objective, or cannot do what other options ask."""
    network, received = task.chosen_network, option("network", task.network)
    if (task.objective == "words") != (network in WORD_NETWORKS):
        raise HparamError(
            f"{option('objective', 'words')} has the networks {' and '.join(WORD_NETWORKS)}, which are not for texts. "
            f"Received: {option('objective', task.objective)}, {received}."
        )
    if task.streaming and network != "conv_gru":
        raise HparamError(
            f"{option('streaming', True)} needs the network conv_gru for texts. Received: "
            f"{option('objective', task.objective)}, {received}."
        )
    if task.streaming and task.precision != "float32":
        raise HparamError(
            f"{option('streaming', True)} needs {option('precision', 'float32')}. Received: {task.precision}."
        )
    if task.window_seconds and (network not in WINDOWED or task.streaming):
        raise HparamError(
            f"{option('window_seconds', task.window_seconds)} needs a conv_gru or conformer that reads whole clips. "
            f"Received: {received}, {option('streaming', task.streaming)}."
        )
