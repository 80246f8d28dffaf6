"""How evenly runs serve groups of shoppers, and show sellers and categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.evaluation import metric_title
from engine.segments import TITLES
from models_app.models import TrainingRun

KINDS = {
    "shoppers": "Between new, light and heavy shoppers",
    "sellers": "Between sellers",
    "categories": "Between categories",
}
MOVED = "Share of the exposure that would have to move until each is shown as much as it offers, 0 to 1."


@dataclass(frozen=True)
class GapCell:
    """One run's gap: 0 is even. low and high are None for exposure, value where too little was tested.

    note: who is best and worst served, or who is furthest from an even share, or why there is no value.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str


@dataclass(frozen=True)
class GapRow:
    """One kind of gap over all runs, in their order; None where a run has none of the kind."""

    kind: str
    title: str
    says: str
    cells: list[GapCell | None]


@dataclass(frozen=True)
class Exposures:
    """What each seller, or each category, offers and is shown, largest share of the items first.

    labels: dicts of label, n_items, catalogue_share and exposure_share; n: how many there are in all.
    """

    title: str
    labels: list[dict[str, Any]]
    n: int


def compare_gaps(runs: Sequence[TrainingRun]) -> list[GapRow]:
    """Put the gaps of runs side by side; no row for a kind that no run has."""
    rows = [
        GapRow(kind, title, _says(kind, runs), [_cell(kind, run.gaps.get(kind)) for run in runs])
        for kind, title in KINDS.items()
    ]
    return [row for row in rows if any(row.cells)]


def exposures_of(run: TrainingRun) -> list[Exposures]:
    """List what sellers and categories offer and are shown in one run's lists."""
    titles = {"sellers": "By seller", "categories": "By category"}
    found = {title: run.gaps.get(kind) for kind, title in titles.items()}
    return [
        Exposures(title, each["labels"], each["n_labels"])
        for title, each in found.items()
        if each is not None and each["labels"]
    ]


def _says(kind: str, runs: Sequence[TrainingRun]) -> str:
    if kind != "shoppers":
        return MOVED
    metrics = dict.fromkeys(metric_title(run.gaps["metric"]) for run in runs if run.gaps)
    return f"{', '.join(metrics)} of the best served group less that of the worst."


def _cell(kind: str, found: dict[str, Any] | None) -> GapCell | None:
    if found is None:
        return None
    if found["gap"] is None:
        return GapCell(None, None, None, "too few shoppers" if kind == "shoppers" else "nothing is listed")
    if kind == "shoppers":
        named = (TITLES[found[each]].partition(" ")[0].lower() for each in ("best", "worst"))
        note = "best: {}, worst: {}".format(*named)
        return GapCell(found["gap"]["value"], found["gap"]["low"], found["gap"]["high"], note)
    far = max(found["labels"], key=lambda each: abs(each["exposure_share"] - each["catalogue_share"]))
    more = "more" if far["exposure_share"] > far["catalogue_share"] else "less"
    note = f"{far['label']} is shown {more} than it offers"
    return GapCell(found["gap"], None, None, note if found["gap"] > 0 else "")
