"""The page of an evaluation (`render_comparison`): champion next to challenger, worst photographs first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from tasks.pages.pictures import LONGEST_SIDE, data_uri
from tasks.pages.templates import page_template
from tasks.promotion.gates import Verdict
from tasks.promotion.scores import Compared, Evaluation, ImageScore, Shown, worst_first

MOST_ROWS = 200
FIGURES = tuple(ImageScore.__slots__)


@dataclass(frozen=True, slots=True)
class Card:
    """Input of the template for one photograph: data URIs of `width` x `height` pixels; `clean` may be empty."""

    key: str
    facts: str
    width: int
    height: int
    rainy: str
    clean: str
    champion: str
    challenger: str


def render_comparison(evaluation: Evaluation, verdict: Verdict, title: tuple[str, str], run_id: str) -> str:
    """Render the page.

    Parameters
    ----------
    evaluation : Evaluation
        All measurements.
    verdict : Verdict
        The decision based on them.
    title : (str, str)
        Names of champion and challenger.
    run_id : str
        Id of the run that evaluated.

    Returns
    -------
    str
        A self-contained HTML page.
    """
    rows = worst_first(evaluation.photographs)
    return page_template("comparison.html").render(
        champion=title[0],
        challenger=title[1],
        when=datetime.now(UTC),
        better=verdict.is_better,
        verdict=verdict.line(),
        manifest=evaluation.manifest.url,
        run_id=run_id,
        gates=verdict.gates,
        cards=[_card(each) for each in evaluation.worst],
        reported=_by_figure(evaluation.reported()),
        figures=FIGURES,
        rows=[_row(each) for each in rows[:MOST_ROWS]],
        total=len(rows),
        longest_side=LONGEST_SIDE,
    )


def _by_figure(reported: dict[str, float]) -> dict[str, tuple[float, float]]:
    names = dict.fromkeys(name.rpartition(".")[0] for name in reported)
    return {name: (reported[f"{name}.champion"], reported[f"{name}.challenger"]) for name in names}


def _row(compared: Compared) -> dict[str, object]:
    return {
        "key": compared.key,
        "set": compared.set,
        "champion": asdict(compared.champion),
        "challenger": asdict(compared.challenger),
    }


def _card(shown: Shown) -> Card:
    return Card(
        key=shown.compared.key,
        facts=_facts(shown.compared),
        width=shown.rainy.width,
        height=shown.rainy.height,
        rainy=data_uri(shown.rainy),
        clean="" if shown.clean is None else data_uri(shown.clean),
        champion=data_uri(shown.champion),
        challenger=data_uri(shown.challenger),
    )


def _facts(compared: Compared) -> str:
    parts = [
        f"{figure} {getattr(compared.champion, figure):.4g} / {getattr(compared.challenger, figure):.4g}"
        for figure in ("psnr_y", "rain_recall", "niqe")
        if getattr(compared.champion, figure) is not None and getattr(compared.challenger, figure) is not None
    ]
    return ", ".join(parts)
