"""Metrics by kind of shopper and of item, of one run or of several side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from models_app.models import TrainingRun

SHOWN = ("ndcg@10", "recall@10")
KINDS = {"shoppers": "By how much shoppers chose", "items": "By what they chose", "category": "By category"}


@dataclass(frozen=True)
class SegmentCell:
    """What one run gives one segment: `metrics` is empty and `note` says why where n is too small.

    best_in: the metrics in which no other run has a higher value; chance decides where intervals overlap.
    """

    n: int
    note: str
    metrics: dict[str, dict[str, float]]
    best_in: list[str]


@dataclass(frozen=True)
class SegmentRow:
    """One segment over all runs, in their order; None where a run has no such segment."""

    kind: str
    name: str
    title: str
    cells: list[SegmentCell | None]

    @property
    def n(self) -> int | None:
        """How many test shoppers are behind every run's cell; None where the runs differ in that."""
        sizes = {each.n for each in self.cells if each is not None}
        return sizes.pop() if len(sizes) == 1 else None


@dataclass(frozen=True)
class SegmentGroup:
    """Segments that are read together."""

    kind: str
    title: str
    rows: list[SegmentRow]


def compare_segments(runs: Sequence[TrainingRun]) -> list[SegmentRow]:
    """Put the segments of runs side by side: shoppers, then items, then categories."""
    found = [{(each["kind"], each["name"]): each for each in run.segments} for run in runs]
    titles = {key: each["title"] for run in found for key, each in run.items()}
    ordered = sorted(titles, key=lambda key: list(KINDS).index(key[0]))  # stable: a kind keeps its order
    return [_row(key, titles[key], [run.get(key) for run in found]) for key in ordered]


def segment_groups(rows: Iterable[SegmentRow]) -> list[SegmentGroup]:
    """Divide rows by kind, for reading."""
    rows = list(rows)
    groups = [
        SegmentGroup(kind, title, [row for row in rows if row.kind == kind]) for kind, title in KINDS.items()
    ]
    return [group for group in groups if group.rows]


def _row(key: tuple[str, str], title: str, segments: list[dict[str, Any] | None]) -> SegmentRow:
    measured = [{} if each is None else each["metrics"] for each in segments]
    most = {
        name: max(values)
        for name in SHOWN
        if len(values := [each[name]["value"] for each in measured if name in each]) > 1
    }
    cells = [
        None
        if each is None
        else SegmentCell(
            each["n"],
            each["note"],
            each["metrics"],
            [name for name, value in most.items() if name in own and own[name]["value"] == value],
        )
        for each, own in zip(segments, measured, strict=True)
    ]
    return SegmentRow(*key, title, cells)
