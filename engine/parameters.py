"""Settings that describe themselves: forms, the API schema and error texts come from the same fields."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any, Literal, TypeVar

Value = int | float | bool | str


class ConfigError(ValueError):
    """A setting that cannot be used; `problems` maps each refused name to its sentence."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(problems.values()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Parameter:
    """One setting as a form or an API schema needs it; kind is integer, number, boolean or choice.

    choices: (value, label) pairs, empty unless kind is choice.
    search: the range in which a search looks for a number, None = it leaves it alone; for a choice or a
    boolean, False = it leaves it alone. log: whether a search takes equal ratios, not equal differences, for
    equal steps (None: it decides by the range).
    """

    name: str
    kind: str
    default: Value
    title: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[tuple[str, str], ...] = ()
    search: tuple[float, float] | Literal[False] | None = None
    log: bool | None = None

    def problem(self, value: object) -> str | None:
        """Say what is wrong with `value` and what to give instead, or None."""
        if self.kind == "choice":
            allowed = [name for name, _ in self.choices]
            return (
                None
                if value in allowed
                else f"{self.name} must be one of {', '.join(allowed)}; got {value!r}."
            )
        if self.kind == "boolean":
            return None if isinstance(value, bool) else f"{self.name} must be true or false; got {value!r}."
        whole = self.kind == "integer"
        right_type = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not right_type or not isfinite(value):  # type: ignore[arg-type]
            kind = "whole number" if whole else "number"
            return f"{self.name} must be a {kind}{self._bounds()}; got {value!r}."
        low = self.minimum is not None and value < self.minimum  # type: ignore[operator]
        high = self.maximum is not None and value > self.maximum  # type: ignore[operator]
        if low or high:
            remedy = f"Try {self.minimum if low else self.maximum:g}, or the default {self.default}."
            return f"{self.name} must be{self._bounds()}; got {value}. {remedy}"
        return None

    def parse(self, value: object) -> object:
        """Turn a form's text into this setting's type; what does not parse comes back unchanged."""
        if not isinstance(value, str) or self.kind == "choice":
            if self.kind == "integer" and isinstance(value, float) and value.is_integer():
                return int(value)
            return float(value) if self.kind == "number" and type(value) is int else value
        if self.kind == "boolean":
            return {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}.get(
                value.strip().lower(), value
            )
        try:
            return int(value) if self.kind == "integer" else float(value)
        except ValueError:
            return value

    def _bounds(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f" between {self.minimum:g} and {self.maximum:g}"
        if self.minimum is not None:
            return f" at least {self.minimum:g}"
        return f" at most {self.maximum:g}" if self.maximum is not None else ""


def option(
    default: Value,
    *,
    title: str,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    choices: Sequence[tuple[str, str]] = (),
    search: tuple[float, float] | Literal[False] | None = None,
    log: bool | None = None,
) -> Any:
    """Declare one field of a `Settings` class."""
    facts = {"title": title, "help": help, "minimum": minimum, "maximum": maximum, "step": step}
    return field(default=default, metadata={**facts, "choices": tuple(choices), "search": search, "log": log})


def values_option() -> Any:
    """Declare the field `values` of an algorithm that may take values for confidences."""
    return option(
        "ignore",
        title="Values in the file",
        help="Ignore: every interaction is one yes. Confidence: a higher value is a stronger yes.",
        choices=(("ignore", "Ignore them"), ("confidence", "Use them as confidence")),
    )


@dataclass(frozen=True)
class Settings:
    """Base of every config: frozen, checked when made, each field declared by `option`."""

    def __post_init__(self) -> None:
        checks = {p.name: p.problem(getattr(self, p.name)) for p in config_fields(type(self))}
        problems = {name: text for name, text in checks.items() if text is not None}
        if problems:
            raise ConfigError(problems)


S = TypeVar("S", bound=Settings)


def config_fields(config: type[Settings]) -> list[Parameter]:
    """List a config's settings in the order they are declared."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "choice"}
    listed = []
    for each in fields(config):
        assert each.default is not MISSING, f"{config.__name__}.{each.name} needs a default"
        listed.append(Parameter(each.name, kinds[type(each.default)], each.default, **each.metadata))
    return listed


def make_config(config: type[S], values: Mapping[str, object]) -> S:
    """Build a config from a form's or a client's values; missing names keep their defaults.

    Raises ConfigError (a ValueError) that lists every unknown name and every refused value.
    """
    known = {p.name: p for p in config_fields(config)}
    listed = ", ".join(known) or "no settings at all"
    problems = {
        name: f"There is no setting {name!r}; known: {listed}." for name in values if name not in known
    }
    parsed = {name: known[name].parse(value) for name, value in values.items() if name in known}
    for name, value in parsed.items():
        problem = known[name].problem(value)
        if problem is not None:
            problems[name] = problem
    if problems:
        raise ConfigError(problems)
    return config(**parsed)
