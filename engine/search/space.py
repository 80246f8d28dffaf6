"""Where a search looks: the ranges that a config's options declare, as Optuna's distributions."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from engine.parameters import Parameter, Settings, Value, config_fields

Space = dict[str, BaseDistribution]

WIDE_RATIO = 10  # a range whose ends differ by this factor or more is searched by ratios
GRID_POINTS = 3  # values a grid tries of each number
RESOURCES = ("iterations", "epochs", "rounds")  # settings that make a fit longer, not another model


def search_space(config: type[Settings], fixed: Mapping[str, Value] | None = None) -> Space:
    """Give the distribution of every setting that can be searched and is not fixed.

    A number needs the range `search`; it is widened to hold the default.
    """
    listed = [p for p in config_fields(config) if p.name not in (fixed or {})]
    return {p.name: found for p in listed if (found := distribution(p)) is not None}


def distribution(parameter: Parameter) -> BaseDistribution | None:
    """Turn one option into a distribution; None when it is not searched."""
    if parameter.search is False:
        return None
    if parameter.kind == "choice":
        return CategoricalDistribution([value for value, _ in parameter.choices])
    if parameter.kind == "boolean":
        return CategoricalDistribution([False, True])
    if parameter.search is None:
        return None
    default = float(parameter.default)
    low, high = min(parameter.search[0], default), max(parameter.search[1], default)
    by_ratio = low > 0 and (high / low >= WIDE_RATIO if parameter.log is None else parameter.log)
    if parameter.kind == "number":
        return FloatDistribution(low, high, log=by_ratio)
    return IntDistribution(int(low), int(high), log=by_ratio)


def tidy(settings: Mapping[str, Value], config: type[Settings]) -> dict[str, Value]:
    """Round what a sampler drew as a person would: floats to three digits, whole numbers to their step."""
    known = {p.name: p for p in config_fields(config)}
    return {name: _round(value, known[name]) for name, value in settings.items()}


def _round(value: Value, parameter: Parameter) -> Value:
    if parameter.kind == "number":
        return parameter.default if value == parameter.default else float(f"{value:.3g}")
    step, low = parameter.step, parameter.minimum
    if parameter.kind != "integer" or not step or low is None or low % step or value == parameter.default:
        return value
    return int(low + round((float(value) - low) / step) * step)


def grid(space: Space, points: int = GRID_POINTS) -> list[dict[str, Value]]:
    """List every combination: all choices, and `points` values of each number from low to high."""
    axes: Sequence[Sequence[Value]] = [_axis(each, points) for each in space.values()]
    return [dict(zip(space, values, strict=True)) for values in product(*axes)]


def _axis(each: BaseDistribution, points: int) -> list[Value]:
    if isinstance(each, CategoricalDistribution):
        return list(each.choices)  # type: ignore[arg-type]
    assert isinstance(each, IntDistribution | FloatDistribution)
    spread = np.geomspace if each.log else np.linspace
    values = spread(each.low, each.high, points)
    if isinstance(each, IntDistribution):
        return sorted({round(value) for value in values.tolist()})
    return [float(np.clip(value, each.low, each.high)) for value in values.tolist()]


def count_settings(space: Space) -> float:
    """Count the different settings of a space; infinity when it holds a number with decimals."""
    return float(np.prod([_count(each) for each in space.values()], initial=1.0))


def _count(each: BaseDistribution) -> float:
    if isinstance(each, CategoricalDistribution):
        return len(each.choices)
    return each.high - each.low + 1 if isinstance(each, IntDistribution) else float("inf")
