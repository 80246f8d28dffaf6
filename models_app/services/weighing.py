"""What each row of a file counts in a training: checked against the data that it is asked for."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from engine.estimators import ALGORITHMS
from engine.event_weights import EventWeights, normalise_type
from engine.parameters import config_fields
from models_app.models import DatasetVersion
from models_app.services.refusals import invalid

MOST_WEIGHT, LEAST_DAYS, MOST_DAYS = 1000.0, 0.1, 36_500.0


def check_weighing(
    version: DatasetVersion, event_weights: Mapping[str, float] | None, half_life_days: float | None
) -> dict[str, Any]:
    """Give what a run keeps of it, {} for none; raises InvalidInput that points at what is wrong.

    event_weights: a weight for each event type of the data, 0 to leave its rows out; None: all are alike.
    half_life_days: how soon a row counts half; None: age does not matter.
    """
    if half_life_days is not None:
        if version.first_at is None:
            raise invalid("/half_life_days", "A half-life needs times, and the file has none.")
        if not LEAST_DAYS <= half_life_days <= MOST_DAYS:
            detail = f"A half-life is a number of days from {LEAST_DAYS:g} to {MOST_DAYS:,.0f}."
            raise invalid("/half_life_days", detail)
    by_type = None if event_weights is None else _check_weights(version, event_weights)
    if by_type is None and half_life_days is None:
        return {}
    return asdict(EventWeights(by_type, half_life_days))


def read_weighing(kept: Mapping[str, Any]) -> EventWeights | None:
    """Read what `check_weighing` gave."""
    return EventWeights(**kept) if kept else None


def reading_weights(algorithm: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Let an algorithm read the weights as confidence, if it can and its settings do not say otherwise."""
    for each in config_fields(ALGORITHMS[algorithm].Config):
        if each.name == "values" and "values" not in config:
            used = [value for value, _ in each.choices if value != each.default]
            return {**config, "values": used[0]}
    return dict(config)


def _check_weights(version: DatasetVersion, event_weights: Mapping[str, float]) -> dict[str, float]:
    known = version.report.get("event_types") or {}
    if not known:
        detail = (
            "This data has no event types to weigh: no column is one, or it has more than 50 kinds. "
            "Data that was checked by an earlier program needs a new upload."
        )
        raise invalid("/event_weights", detail)
    weights = {normalise_type(name): float(weight) for name, weight in event_weights.items()}
    for name in known:
        if name not in weights:
            raise invalid("/event_weights", f"The event type “{name}” has no weight; 0 leaves its rows out.")
    for name, weight in weights.items():
        if name not in known:
            listed = ", ".join(known)
            raise invalid(
                "/event_weights", f"“{name[:100]}” is no event type of this data; known are: {listed}."
            )
        if not 0 <= weight <= MOST_WEIGHT:
            raise invalid(
                "/event_weights", f"The weight of “{name}” is a number from 0 to {MOST_WEIGHT:,.0f}."
            )
    if not any(weights.values()):
        raise invalid("/event_weights", "One event type at least needs a weight above 0.")
    return {name: weights[name] for name in known}
