"""Settings describe themselves, and refuse in words."""

from dataclasses import dataclass

import pytest

from engine.estimators import ALGORITHMS
from engine.parameters import ConfigError, Settings, config_fields, make_config, option


@dataclass(frozen=True)
class Example(Settings):
    size: int = option(4, title="Size", help="How many.", minimum=1, maximum=9, step=1)
    rate: float = option(0.5, title="Rate", help="How fast.", minimum=0.0)
    bold: bool = option(False, title="Bold", help="Whether.")
    way: str = option("up", title="Way", help="Where.", choices=(("up", "Upwards"), ("down", "Downwards")))


def test_fields_carry_all_that_a_form_needs_in_order() -> None:
    size, rate, bold, way = config_fields(Example)
    assert (size.kind, rate.kind, bold.kind, way.kind) == ("integer", "number", "boolean", "choice")
    assert (size.name, size.default, size.minimum, size.maximum, size.step) == ("size", 4, 1, 9, 1)
    assert way.choices == (("up", "Upwards"), ("down", "Downwards"))
    assert bold.help == "Whether."


def test_text_from_a_form_becomes_the_right_type() -> None:
    made = make_config(Example, {"size": "7", "rate": "2", "bold": "on", "way": "down"})
    assert made == Example(7, 2.0, True, "down")
    assert make_config(Example, {"rate": 1}).rate == 1.0


def test_a_value_out_of_bounds_names_the_field_the_bounds_and_a_remedy() -> None:
    with pytest.raises(
        ConfigError, match=r"size must be between 1 and 9; got 40\. Try 9, or the default 4\."
    ):
        make_config(Example, {"size": 40})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "many"), ("size", 2.5), ("size", True), ("size", None), ("rate", float("nan")),
        ("rate", "1e999"), ("rate", [1]), ("bold", "perhaps"), ("bold", 3), ("way", "left"), ("way", 1),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as refused:
        make_config(Example, {name: value})
    assert list(refused.value.problems) == [name]


def test_every_problem_is_listed_at_once_unknown_names_too() -> None:
    with pytest.raises(ConfigError) as refused:
        make_config(Example, {"size": 0, "way": "left", "colour": "red"})
    assert set(refused.value.problems) == {"size", "way", "colour"}
    assert "known: size, rate, bold, way" in refused.value.problems["colour"]


def test_a_config_cannot_be_made_wrong_directly_either() -> None:
    with pytest.raises(ConfigError):
        Example(size=0)


@pytest.mark.parametrize("algorithm", ALGORITHMS.values())
def test_every_algorithms_defaults_are_within_their_own_bounds(algorithm: type) -> None:
    for field in config_fields(algorithm.Config):
        assert field.problem(field.default) is None
        assert field.title
        assert field.help
