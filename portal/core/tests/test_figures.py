from datetime import UTC, datetime, timedelta

import pytest

from portal.core import figures

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def seen(text: str) -> str:
    """Write the no-break spaces plainly, so that the expectations can be read."""
    return text.replace(figures.SPACE, " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (941, "941"),
        (1000, "1 k"),
        (38_210, "38.2 k"),
        (999_960, "1 M"),
        (1_204_331, "1.2 M"),
        (2e9, "2 G"),
    ],
)
def test_a_count_is_written_in_three_digits(value: float, text: str) -> None:
    assert seen(figures.compact(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (4_100_000, "4.1 MB"), (1_000_000, "1 MB"), (4_294_967_296, "4.29 GB")],
)
def test_a_size_is_written_in_decimal_units(value: float, text: str) -> None:
    assert seen(figures.size(value)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0003, "0.3 ms"),
        (0.0079, "7.9 ms"),
        (0.85, "850 ms"),
        (0.9999, "1 s"),
        (3.24, "3.2 s"),
        (42, "42 s"),
        (59.7, "1 min"),
        (110, "1 min 50 s"),
        (3599.9, "1 h"),
        (12_000, "3 h 20 min"),
        (90_000, "1 d 1 h"),
        (-5, "−5 s"),
    ],
)
def test_a_span_has_at_most_two_units(seconds: float, text: str) -> None:
    assert seen(figures.duration(seconds)) == text


def test_one_of_a_thing_is_not_several() -> None:
    words = [figures.counted(count, "more answer") for count in (0, 1, 2, 1204)]
    assert words == ["0 more answers", "1 more answer", "2 more answers", "1,204 more answers"]


def test_a_negative_number_has_a_true_minus_and_zero_has_no_sign() -> None:
    assert figures.decimal(-6.44, 1) == "−6.4"
    assert figures.decimal(2.9, 1, signed=True) == "+2.9"
    assert figures.decimal(-0.001, 1, signed=True) == "0.0"


def test_a_ratio_is_written_as_percent() -> None:
    assert seen(figures.percent(0.034)) == "3.4 %"
    assert seen(figures.percent(-0.064, signed=True)) == "−6.4 %"


def test_an_interval_is_written_with_its_estimate() -> None:
    assert seen(figures.with_interval(0.142, 0.006)) == "0.142 ± 0.006"
    assert figures.with_interval(0.142, None) == "0.142"


@pytest.mark.parametrize("nothing", [None, "", float("nan"), float("inf"), "many", True])
def test_what_is_not_a_number_is_a_dash(nothing: object) -> None:
    for write in (figures.whole, figures.compact, figures.percent, figures.size, figures.duration):
        assert write(nothing) == "–"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(seconds=2), "just now"),
        (timedelta(seconds=61), "1 minute ago"),
        (timedelta(hours=3, minutes=50), "3 hours ago"),
        (timedelta(minutes=-12), "in 12 minutes"),
        (timedelta(days=9), "on 20 Feb"),
        (timedelta(days=90), "on 1 Dec 2025"),
    ],
)
def test_a_moment_is_told_by_its_distance(before: timedelta, text: str) -> None:
    assert figures.ago(NOW - before, NOW) == text
