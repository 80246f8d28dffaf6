"""Runs side by side: metrics with the best marked, what is no different from it, and what else differs."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.estimators import ALGORITHMS
from engine.evaluation import Comparison, compare, metric_title
from engine.event_weights import EventWeights
from engine.intervals import intervals
from engine.metric_meanings import METRICS, metric_better, metric_order
from engine.parameters import Settings, config_fields
from engine.splitting import SplitConfig
from models_app.models import ModelVersion, TrainingRun
from models_app.selectors.gaps import GapRow, compare_gaps
from models_app.selectors.segments import SegmentRow, compare_segments
from models_app.snapshots import load_per_user

MAX_RUNS = 12
MAIN_METRICS = ("ndcg@10", "recall@10", "precision@10", "mrr@10", "hit_rate@10", "coverage@10", "rmse")
RANKING = ("ndcg", "recall", "precision", "f1", "map", "mrr", "hit_rate", "auc")
OF_VALUES = ("rmse", "mae")


@dataclass(frozen=True)
class Cell:
    """One run's value of one metric. low and high are None where the metric has no interval.

    is_like_best: the difference to the best run is not significant (95 %, paired by shopper); None if the
    runs cannot be compared shopper by shopper, or the metric is not one of single shoppers.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    is_best: bool
    is_like_best: bool | None


@dataclass(frozen=True)
class MetricRow:
    """One metric over all runs, in their order; None where a run has no such metric."""

    name: str
    title: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class MetricName:
    """A metric as a page names it; says: what it means, in a sentence."""

    name: str
    title: str
    says: str


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that are read together."""

    title: str
    metrics: list[MetricName]


@dataclass(frozen=True)
class Difference:
    """A fact in which the runs are not all alike: its name, and one text a run."""

    name: str
    values: list[str]


@dataclass(frozen=True)
class RunComparison:
    """What the page of a comparison shows. why_not: why shoppers cannot be paired, "" if they can."""

    runs: list[TrainingRun]
    metrics: list[MetricRow]
    segments: list[SegmentRow]
    gaps: list[GapRow]
    differences: list[Difference]
    why_not: str = ""


@dataclass(frozen=True)
class VersionComparison:
    """The answer to "is a better than b?": a comparison, or why there is none."""

    comparison: Comparison | None
    why_not: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def compare_runs(runs: Sequence[TrainingRun]) -> RunComparison:
    """Put succeeded runs side by side."""
    why_not = why_not_comparable(runs)
    names = sorted({name for run in runs for name in run.metrics}, key=metric_order)
    best = {name: _best(name, runs) for name in names}
    alike = {} if why_not else _like_best(runs, best)
    rows = [
        MetricRow(
            name,
            metric_title(name),
            [_cell(run, name, at == best[name], alike) for at, run in enumerate(runs)],
        )
        for name in names
    ]
    return RunComparison(
        list(runs), rows, compare_segments(runs), compare_gaps(runs), _differences(runs), why_not
    )


def compare_versions(a: ModelVersion, b: ModelVersion, metric: str = "ndcg@10") -> VersionComparison:
    """Compare two versions by the metrics of single shoppers that were kept when each was evaluated."""
    runs = [a.run, b.run]
    why_not = why_not_comparable(runs)
    if why_not:
        return VersionComparison(None, why_not)
    one, other = (load_per_user(run.per_user_digest) for run in runs)
    found = compare(one, other, metric, seed=a.run.seed)
    return VersionComparison(found, facts=asdict(found))


def why_not_comparable(runs: Iterable[TrainingRun]) -> str:
    """Say why runs were not tested on the same choices of the same shoppers; "" if they were."""
    runs = list(runs)
    first = runs[0]
    for run in runs:
        if not run.per_user_digest:
            return f"{run} has no metrics of single shoppers: it is {run.status}."
        if run.dataset_version_id != first.dataset_version_id:
            return f"Not comparable: other data ({run.dataset_version} and {first.dataset_version})."
        if run.split != first.split or run.seed != first.seed:
            return "Not comparable: the runs held out other choices (another split or seed)."
        if _left_out(run) != _left_out(first):
            return "Not comparable: the runs leave out other kinds of events."
    return ""


def _left_out(run: TrainingRun) -> set[str]:
    """Name the event types without weight: pairs that have no others are neither trained on nor tested."""
    return {name for name, weight in (run.weighing.get("by_type") or {}).items() if not weight}


def metric_groups(names: Iterable[str]) -> list[MetricGroup]:
    """Divide metrics for reading: the main ones, which open the table, and the rest by what they ask."""
    ordered = sorted(names, key=metric_order)
    kinds = {name: name.partition("@")[0] for name in ordered}
    asked = {
        "The main ones": [name for name in ordered if name in MAIN_METRICS],
        "Ranking at every depth": [name for name in ordered if kinds[name] in RANKING],
        "Beyond accuracy": [name for name in ordered if kinds[name] not in (*RANKING, *OF_VALUES)],
        "Predicted values": [name for name in ordered if kinds[name] in OF_VALUES],
    }
    return [
        MetricGroup(title, [MetricName(each, metric_title(each), _says(kinds[each])) for each in found])
        for title, found in asked.items()
        if found
    ]


def _says(kind: str) -> str:
    return METRICS[kind].says if kind in METRICS else ""


def _best(name: str, runs: Sequence[TrainingRun]) -> int:
    sign = 1 if metric_better(name) == "more" else -1
    values = [sign * run.metrics[name]["value"] if name in run.metrics else float("-inf") for run in runs]
    return values.index(max(values))


def _like_best(runs: Sequence[TrainingRun], best: dict[str, int]) -> dict[tuple[str, str], bool]:
    """Tell for (metric, run) whether the run's difference to the best could be chance."""
    per_user = [load_per_user(run.per_user_digest) for run in runs]
    pairs = [
        (name, at)
        for name, winner in best.items()
        for at in range(len(runs))
        if at != winner and all(name in per_user[each].values for each in (at, winner))
    ]
    if not pairs:
        return {}
    columns = [
        (per_user[best[name]].values[name] - per_user[at].values[name])
        * (1 if metric_better(name) == "more" else -1)
        for name, at in pairs
    ]
    found = intervals(columns, runs[0].seed)
    return {
        (name, runs[at].pk): each.low is not None and each.low <= 0
        for (name, at), each in zip(pairs, found, strict=True)
    }


def _cell(run: TrainingRun, name: str, is_best: bool, alike: dict[tuple[str, str], bool]) -> Cell | None:
    facts = run.metrics.get(name)
    if facts is None:
        return None
    return Cell(facts["value"], facts["low"], facts["high"], facts["n"], is_best, alike.get((name, run.pk)))


def _differences(runs: Sequence[TrainingRun]) -> list[Difference]:
    """List the facts in which not all runs are equal, settings of the algorithms included."""
    facts = [_facts(run) for run in runs]
    names = list(dict.fromkeys(name for each in facts for name in each))
    rows = [Difference(name, [each.get(name, "–") for each in facts]) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]


def _facts(run: TrainingRun) -> dict[str, str]:
    algorithm = ALGORITHMS[run.algorithm]
    return {
        "Data": str(run.dataset_version),
        "File": run.dataset_version.file_sha256[:12],
        **_settings("Split", SplitConfig, run.split),
        "Seed": str(run.seed),
        "What a row counts": weighing_text(run),
        "Algorithm": algorithm.title,
        **_settings(algorithm.title, algorithm.Config, run.config),
    }


def weighing_text(run: TrainingRun) -> str:
    """Say what a row of the file counts in a run: "purchase 5, view 1; half every 90 days"."""
    return EventWeights(**run.weighing).text if run.weighing else "its value, once a pair"


def _settings(prefix: str, config: type[Settings], values: dict[str, Any]) -> dict[str, str]:
    """Name settings as forms do, in the order in which the engine declares them."""
    return {
        f"{prefix}: {each.title}": str(values[each.name])
        for each in config_fields(config)
        if each.name in values
    }
