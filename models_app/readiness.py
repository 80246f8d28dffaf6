"""Whether a dataset version is enough for an algorithm; judged anew, since algorithms are added later."""

from dataclasses import asdict
from typing import Any

from engine.estimators import ALGORITHMS
from engine.estimators.base import Settings
from engine.readiness import DataFacts, Readiness, judge_algorithm
from models_app.models import DatasetVersion


def data_facts(version: DatasetVersion) -> DataFacts:
    """Read from a checked version's report what readiness rests on."""
    report = version.report
    users = version.user_count or 0
    values = report.get("values")
    return DataFacts(
        users=users,
        items=version.item_count or 0,
        interactions=version.interaction_count or 0,
        users_with_several=users - report.get("per_user", {}).get("once", 0),
        has_times=version.first_at is not None,
        has_items=bool(version.items_sha256),
        not_chosen=report.get("items_file", {}).get("not_chosen", 0),
        values_differ=bool(values) and values["min"] != values["max"],
    )


def judge(version: DatasetVersion, algorithm: str, config: Settings | None = None) -> Readiness:
    return judge_algorithm(ALGORITHMS[algorithm], data_facts(version), config)


def ready_for(version: DatasetVersion) -> list[dict[str, Any]]:
    """Judge every algorithm, then what the check judged beside them: the split by time."""
    others = [each for each in version.report.get("ready_for", []) if each["what"] not in ALGORITHMS]
    return [*(asdict(judge(version, name)) for name in ALGORITHMS), *others]
