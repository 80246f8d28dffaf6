"""Model cards: Markdown with the YAML front matter of Hugging Face model cards, from measured facts only."""

import json
from collections.abc import Mapping
from typing import Any

from engine.estimators import ALGORITHMS
from engine.evaluation import metric_title
from engine.metric_meanings import METRICS, metric_order
from engine.segments import LEAST
from models_app.models import DatasetVersion, TrainingRun
from models_app.services.weighing import read_weighing

BY_SEGMENT = ("ndcg@10", "recall@10")
SHOWN = ("ndcg", "recall", "precision", "f1", "map", "mrr", "hit_rate", "coverage")


def write_card(
    model_name: str,
    number: int,
    run: TrainingRun,
    artifact_digest: str,
    size_bytes: int,
    lineage: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> str:
    """Write the card of a version that is about to be registered."""
    parts = [
        _front_matter(model_name, run, lineage, columns["metrics"]),
        f"# {model_name} {number}",
        _intended_use(run),
        _data(run, lineage),
        _evaluation(columns),
        _limits(run, columns["gaps"]),
        _cost(run, size_bytes, columns),
        _lineage(run, artifact_digest, lineage),
        _contacts(run),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(
    model_name: str, run: TrainingRun, lineage: Mapping[str, Any], metrics: Mapping[str, Any]
) -> str:
    """Write the block that tools read. JSON is YAML, so that every text is quoted rightly."""
    measured = [
        {"type": name, "name": metric_title(name), "value": round(facts["value"], 6)}
        for name, facts in metrics.items()
    ]
    dataset = {"name": str(run.dataset_version), "type": lineage["file_sha256"]}
    task = {"type": "recommendation", "name": "Top-k recommendation"}
    result = {"task": task, "dataset": dataset, "metrics": measured}
    fields = {
        "license": "other",
        "library_name": "aisle",
        "tags": ["recommendation", "collaborative-filtering", run.algorithm],
        "datasets": [lineage["dataset"]],
        "metrics": sorted(metrics),
        "model-index": [{"name": model_name, "results": [result]}],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _intended_use(run: TrainingRun) -> str:
    algorithm = ALGORITHMS[run.algorithm]
    return (
        "## Intended use\n\n"
        f"Ranks the shop's items for one shopper. {algorithm.title}: {algorithm.when_to_use}\n\n"
        "Shoppers it does not know get the most popular items. It is not meant for decisions about people."
    )


def _data(run: TrainingRun, lineage: Mapping[str, Any]) -> str:
    data = run.dataset_version
    period = f", from {data.first_at:%Y-%m-%d} to {data.last_at:%Y-%m-%d}" if data.first_at else ""
    density = f" ({data.density:.3%} of all pairs)" if data.density is not None else ""
    return (
        "## Data\n\n"
        f"{_text(str(data))}: {data.interaction_count:,} interactions of {data.user_count:,} shoppers with "
        f"{data.item_count:,} items{density}{period}.\n\n"
        f"File: SHA-256 `{lineage['file_sha256']}`{_source(data)}."
    )


def _source(data: DatasetVersion) -> str:
    until = data.ratings_until
    return f", of the ratings received until {until:%Y-%m-%d %H:%M:%S} UTC" if until is not None else ""


def _evaluation(columns: Mapping[str, Any]) -> str:
    metrics = columns["metrics"]
    n = next(iter(metrics.values()))["n"]
    ks = sorted({int(k) for name in metrics if (k := name.partition("@")[2])})
    rows = ["| Metric | " + " | ".join(f"at {k}" for k in ks) + " |", "|---" * (len(ks) + 1) + "|"]
    for name in SHOWN:
        cells = [_cell(metrics.get(f"{name}@{k}")) for k in ks]
        rows.append(f"| {metric_title(name)} | " + " | ".join(cells) + " |")
    others = [
        f"- {metric_title(name)}: {_cell(metrics[name])}. {METRICS[kind].says}"
        for name in sorted(metrics, key=metric_order)
        if (kind := name.partition("@")[0]) in METRICS and kind not in SHOWN
    ]
    verdicts = [verdict["sentence"] for verdict in columns["verdicts"].values()]
    return "\n\n".join(
        [
            "## Evaluation",
            columns["split_note"],
            f"All items ranked, items of the shopper's history left out; {n:,} test shoppers; 95 % intervals "
            "by resampling shoppers. Measured before the model was fitted again on everything, for serving.",
            "\n".join(rows),
            *(["\n".join(others)] if others else []),
            *(_text(sentence) for sentence in verdicts),
            *_by_segment(columns["segments"]),
        ]
    )


def _by_segment(segments: list[dict[str, Any]]) -> list[str]:
    rows = [
        "| Segment | Test shoppers | " + " | ".join(map(metric_title, BY_SEGMENT)) + " |",
        "|---|---|---|---|",
    ]
    for each in segments:
        cells = [_cell(each["metrics"].get(name)) or "too few shoppers" for name in BY_SEGMENT]
        rows.append(f"| {_text(each['title'])} | {each['n']:,} | " + " | ".join(cells) + " |")
    return [
        f"By segment, where at least {LEAST} test shoppers are behind a mean. For items and categories only "
        "held-out choices of that kind count as right. 95 % normal intervals.",
        "\n".join(rows),
    ]


def _cell(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return ""
    if facts["low"] is None:
        return f"{facts['value']:.4f}"
    return f"{facts['value']:.4f} ({facts['low']:.4f} to {facts['high']:.4f})"


def _limits(run: TrainingRun, gaps: Mapping[str, Any]) -> str:
    warnings = [f"- {_text(warning['text'])}" for warning in run.dataset_version.report.get("warnings", [])]
    known = "\n".join(warnings) if warnings else "- The check of the data found nothing to warn of."
    return (
        "## Limits\n\n"
        "- Measured on past choices, which earlier recommendations and the shop's pages have shaped.\n"
        "- Items that nobody chose before the training are never recommended.\n"
        f"{known}\n\n"
        "## Fairness\n\n"
        "Coverage above is the share of the catalogue that appears in anybody's list. How shoppers of few "
        "and of many choices, the long tail and each category fare stands by segment.\n\n"
        + "\n".join([_shopper_gap(gaps), _exposure("sellers", gaps), _exposure("categories", gaps)])
    )


def _shopper_gap(gaps: Mapping[str, Any]) -> str:
    found, title = gaps["shoppers"], metric_title(gaps["metric"])
    if found["gap"] is None:
        return "- Between groups of shoppers: not measured, too few test shoppers in all groups but one."
    return (
        f"- Between groups of shoppers: {title} of {found['best']} shoppers is higher than that of "
        f"{found['worst']} ones by {_cell(found['gap'])}. The data names no other groups."
    )


def _exposure(kind: str, gaps: Mapping[str, Any]) -> str:
    found = gaps[kind]
    if found is None or found["gap"] is None:
        return f"- Between {kind}: not measured, the data names none."
    return (
        f"- Between {kind}: {found['gap']:.1%} of the exposure would have to move until each of the "
        f"{found['n_labels']:,} is shown as much as its share of the items."
    )


def _cost(run: TrainingRun, size_bytes: int, columns: Mapping[str, Any]) -> str:
    memory = columns["peak_memory_bytes"]
    peak = f", {memory / 1e6:,.0f} MB of memory at most" if memory else ""
    return (
        "## Cost\n\n"
        f"Fitted in {columns['fit_s']:.2f} s and evaluated in {columns['evaluate_s']:.2f} s "
        f"on two threads{peak}. Artifact: {size_bytes / 1e6:,.2f} MB."
    )


def _lineage(run: TrainingRun, artifact_digest: str, lineage: Mapping[str, Any]) -> str:
    weighing = read_weighing(run.weighing)
    libraries = ", ".join(f"{name} {number}" for name, number in lineage["libraries"].items())
    return (
        "## Lineage\n\n"
        f"- Artifact: `{artifact_digest}`\n"
        f"- Run: `{run.pk}`, seed {run.seed}\n"
        f"- Settings: `{json.dumps(run.config, sort_keys=True)}`\n"
        f"- What a row counts: {_text(weighing.text) if weighing else 'its value, once a pair'}\n"
        f"- Split: `{json.dumps(run.split, sort_keys=True)}`\n"
        f"- Engine: `{lineage['engine_sha256'][:12]}`; libraries: {libraries}"
    )


def _contacts(run: TrainingRun) -> str:
    who = run.created_by.label if run.created_by else "Aisle"
    return f"## Contacts\n\nTrained by {_text(who)}."


def _text(value: str) -> str:
    """Escape what Markdown and HTML would take for markup: names come from people and files."""
    escaped = "".join("\\" + each if each in "\\`*_[]|#~" else each for each in value)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
