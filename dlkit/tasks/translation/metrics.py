"""Metrics of translations against references, by sacreBLEU."""

from __future__ import annotations

from typing import Any

from dlkit.errors import DlkitError
from dlkit.version import install_hint


def score_translations(references: list[bytes], hypotheses: list[bytes], sources: list[bytes]) -> dict[str, Any]:
    """Compute BLEU and chrF of a corpus by sacreBLEU, from texts without tokenization of one's own.

    Source: Post, 2018, "A Call for Clarity in Reporting BLEU Scores"; Popović, 2015, chrF.

    Args:
        references: the reference translation of each row.
        hypotheses: the predicted translations.
        sources: the texts that were translated.

    Returns:
        Dict of `chrf` and `bleu`, from 0 to 100; `length_ratio` of hypotheses to references, in BLEU's words;
        `baseline_chrf` and `baseline_bleu` of the unchanged sources; `rows`, their number; `signatures`, sacreBLEU's.

    Raises:
        DlkitError: sacreBLEU is not installed.

    Examples:
        >>> round(score_translations([b"a dog barks"], [b"a dog barks"], [b"ein Hund bellt"])["chrf"])
        100
    """
    bleu, chrf = _make_metrics()
    reference_texts, hypothesis_texts, source_texts = (
        [text.decode(errors="replace") for text in texts] for texts in (references, hypotheses, sources)
    )
    bleu_score = bleu.corpus_score(hypothesis_texts, [reference_texts])
    return {
        "chrf": chrf.corpus_score(hypothesis_texts, [reference_texts]).score,
        "bleu": bleu_score.score,
        "length_ratio": bleu_score.ratio,
        "baseline_chrf": chrf.corpus_score(source_texts, [reference_texts]).score,
        "baseline_bleu": bleu.corpus_score(source_texts, [reference_texts]).score,
        "rows": len(references),
        "signatures": {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())},
    }


def compute_sentence_chrf(hypothesis: str, reference: str) -> float:
    """Compute the chrF of one translation, from 0 to 100. Raises DlkitError if sacreBLEU is not installed.

    Examples:
        >>> round(compute_sentence_chrf("a dog barks", "a dog barks"))
        100
    """
    return _make_metrics()[1].sentence_score(hypothesis, [reference]).score


def _make_metrics() -> tuple[Any, Any]:
    """Make sacreBLEU's metrics BLEU and chrF."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError as error:
        raise DlkitError(f"BLEU and chrF need sacrebleu: {install_hint('translation')}.") from error
    return BLEU(), CHRF()
