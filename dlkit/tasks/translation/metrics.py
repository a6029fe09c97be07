"""Metrics of texts against right ones, by sacrebleu."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.version import install_hint


def score_texts(truth: list[bytes], answers: list[bytes], sources: list[bytes]) -> dict[str, Any]:
    """BLEU and chrF of a corpus, as sacrebleu computes them from texts as they are.

    Source: Post, 2018, "A Call for Clarity in Reporting BLEU Scores"; Popović, 2015, chrF.

    Args:
        truth: the right text of each row.
        answers: the answered ones.
        sources: what was to be translated.

    Returns:
        `chrf` and `bleu`, 0 to 100; `length_ratio` of answers to truth, in BLEU's words; `baseline_chrf` and
        `baseline_bleu`, of giving back the source as it is; `rows`; `signatures`, sacrebleu's.

    Raises:
        DlkitError: sacrebleu is not installed.
    """
    bleu, chrf = _metrics()
    right, said, given = ([text.decode(errors="replace") for text in texts] for texts in (truth, answers, sources))
    scored = bleu.corpus_score(said, [right])
    return {
        "chrf": chrf.corpus_score(said, [right]).score,
        "bleu": scored.score,
        "length_ratio": scored.ratio,
        "baseline_chrf": chrf.corpus_score(given, [right]).score,
        "baseline_bleu": bleu.corpus_score(given, [right]).score,
        "rows": len(right),
        "signatures": {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())},
    }


def chrf_of(answer: str, truth: str) -> float:
    """chrF of one text, 0 to 100. Raises DlkitError where sacrebleu is not installed."""
    return _metrics()[1].sentence_score(answer, [truth]).score


def _metrics() -> tuple[Any, Any]:
    """sacrebleu's BLEU and chrF."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise DlkitError(f"BLEU and chrF need sacrebleu: {install_hint('translation')}.") from error
    return BLEU(), CHRF()
