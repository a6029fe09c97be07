"""Rows of recordings with their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from dlkit.errors import DataError
from dlkit.rows import Rows
from dlkit.tasks.speech_recognition.inspect_transcripts import inspect_transcripts
from dlkit.tasks.speech_recognition.metrics import count_errors

if TYPE_CHECKING:
    from dlkit.report import Report
    from dlkit.tasks.speech_recognition.task import SpeechRecognizer
    from dlkit.training.store import Store


class TranscriptRows(Rows):
    """Recordings with what is said in them."""

    task: SpeechRecognizer

    def cleaned(self) -> Self:
        """Drop rows without a text; says how many."""
        texts = self.table.raw_column("text", self.task.target["text"])
        kept = [row for row, text in enumerate(texts) if text]
        if len(kept) == len(self):
            return self
        if not kept:
            raise DataError(f"{self.table.source}: none of the {len(self)} rows has a text with letters or digits.")
        table = self.table.take(kept)
        empty = next(row for row, text in enumerate(texts) if not text)
        remark = (
            f"{len(self) - len(kept)} of {len(self)} rows have no text (the first: {self.table.where(empty)}): dropped"
        )
        table.remarks = (*self.table.remarks, remark)
        return self.with_table(table)

    def inspect(self, report: Report, validation: Self | None) -> None:
        from dlkit.audio.log_mels import STEP_SECONDS  # defines a layer, which imports Keras

        super().inspect(report, validation)
        held_out = None if validation is None else validation.table
        inspect_transcripts(report, self.table, held_out, self.task.target["text"], STEP_SECONDS * self.task.stride)

    def remarks(self, store: Store) -> list[str]:
        """Name the characters that training has not seen, which are left out of the texts."""
        del store
        known = {*self.task.characters_}
        texts = self.table.raw_column("text", self.task.target["text"])
        unknown = sorted({character for text in texts for character in text.decode()} - known)
        if not unknown:
            return []
        rows = sum(not known.issuperset(text.decode()) for text in texts)
        listed = ", ".join(map(repr, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        return [
            f"{rows} of {len(self)} texts contain characters that do not occur in the training texts ({listed}): the "
            "loss leaves them out, and error rates count them as errors"
        ]

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the number of word errors and the number of true words."""
        (made,) = super().with_errors(row, target, answer)
        words = target["text"].decode().split()
        return [{**made, "word_errors": count_errors(words, answer["text"].split()), "true_words": len(words)}]
