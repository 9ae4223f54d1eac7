"""The scores of a pseudo-label (`SCORES`), in the plain words with which the review page explains them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreWords:
    """One score of the ledger, in the words of the review page."""

    column: str
    """Column of the ledger."""
    words: str
    meaning: str
    """Explanation of the score, with whether high or low is good."""
    is_share: bool = True
    """Whether it is a fraction in [0, 1], shown in per cent."""

    def shown(self, value: float | None) -> str | None:
        """Format a value; None if it was not measured."""
        if value is None:
            return None
        return f"{100 * value:.3g} %" if self.is_share else f"{value:.3g}"


SCORES = (
    ScoreWords(
        "score",
        "overall",
        "How far the pseudo-label can be trusted; crops are ranked by it. High is good.",
    ),
    ScoreWords(
        "rain_found",
        "rain found",
        "Brightness of the rain that was removed, as a share of white. Near 0 there is nothing to learn from.",
    ),
    ScoreWords(
        "agreement",
        "networks agree",
        "Share of the removed rain that an independent network found too. High is good.",
    ),
    ScoreWords(
        "rain_recall",
        "planted rain removed",
        "Share of artificial streaks, added to this crop as a test, that the network removed. High is good.",
    ),
    ScoreWords(
        "detail_kept",
        "planted detail kept",
        "Share of artificial detail, added to this crop as a test, that the network kept. High is good.",
    ),
    ScoreWords(
        "structure_leak",
        "scene removed",
        "How much of what was removed outside the rain looks like edges of the scene. Low is good.",
    ),
    ScoreWords(
        "feature_distance",
        "distance from clean photographs",
        "How far the textures of the result are from those of clean photographs. Low is good.",
        is_share=False,
    ),
    ScoreWords(
        "confident",
        "certain area",
        "Share of the crop, weighted by confidence, that training would use: the bright parts of the last picture.",
    ),
    ScoreWords(
        "frames",
        "frames",
        "Number of frames of a static camera from which the background was computed.",
        is_share=False,
    ),
)
