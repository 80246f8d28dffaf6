"""What a version must show before it goes live: each gate passes, fails, or has not enough data. Pure."""

from dataclasses import asdict, dataclass
from typing import Any

from portal.core import figures

PASS, FAIL, NOT_ENOUGH = "pass", "fail", "not_enough_data"
MIN_TEST_USERS = 200
MIN_COVERAGE_SHARE = 0.5  # of the live version's coverage
MIN_COVERAGE = 0.01  # where nothing is live
MAX_SIZE_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Difference:
    """A difference in NDCG@10 with its 95 % interval, new minus other, paired by user."""

    value: float
    low: float
    high: float
    other: str  # "popularity", "shop-main 3"


@dataclass(frozen=True)
class GateFacts:
    """What is known of the version; None where nothing is."""

    test_users: int
    versus_popularity: Difference | None
    versus_live: Difference | None
    has_live: bool
    coverage: float | None
    live_coverage: float | None
    artifact_problem: str | None  # None: it was read in full and is what was registered
    size_bytes: int


@dataclass(frozen=True)
class Gate:
    """One gate's outcome, as it is frozen into the evidence."""

    name: str
    label: str
    verdict: str  # pass, fail, not_enough_data
    value: float | None
    threshold: float | None
    unit: str
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


GATE_LABELS = {
    "beats_popularity": "Better than popularity",
    "not_worse_than_live": "Not worse than live",
    "coverage": "Catalogue still shown",
    "test_users": "Enough test shoppers",
    "artifact": "Files are what was registered",
    "size": "Small enough to serve",
}


def judge(facts: GateFacts) -> list[Gate]:
    """Judge every gate."""
    return [
        _beats_popularity(facts),
        _not_worse_than_live(facts),
        _coverage(facts),
        _test_users(facts),
        _artifact(facts),
        _size(facts),
    ]


def _beats_popularity(facts: GateFacts) -> Gate:
    difference = facts.versus_popularity
    if difference is None or facts.test_users < MIN_TEST_USERS:
        why = "It was not compared with popularity." if difference is None else _too_few(facts)
        return _gate(
            "beats_popularity", NOT_ENOUGH, difference.low if difference else None, 0.0, "NDCG@10", why
        )
    better = difference.low > 0
    words = "is above zero" if better else "is not above zero"
    return _gate(
        "beats_popularity",
        PASS if better else FAIL,
        difference.low,
        0.0,
        "NDCG@10",
        f"The difference to popularity is {_interval(difference)}; the interval {words}.",
    )


def _not_worse_than_live(facts: GateFacts) -> Gate:
    name, difference = "not_worse_than_live", facts.versus_live
    if not facts.has_live:
        return _gate(name, PASS, None, 0.0, "NDCG@10", "Nothing is live here yet.")
    if difference is None or facts.test_users < MIN_TEST_USERS:
        why = (
            "It was not measured on the same shoppers as the live version."
            if difference is None
            else _too_few(facts)
        )
        return _gate(name, NOT_ENOUGH, difference.high if difference else None, 0.0, "NDCG@10", why)
    worse = difference.high < 0
    words = "is below zero" if worse else "is not below zero"
    return _gate(
        name,
        FAIL if worse else PASS,
        difference.high,
        0.0,
        "NDCG@10",
        f"The difference to {difference.other} is {_interval(difference)}; the interval {words}.",
    )


def _coverage(facts: GateFacts) -> Gate:
    if facts.coverage is None:
        return _gate("coverage", NOT_ENOUGH, None, None, "share", "Coverage was not measured.")
    if facts.live_coverage is not None:
        threshold = facts.live_coverage * MIN_COVERAGE_SHARE
        against = f"half of the live version's {facts.live_coverage:.1%}"
    else:
        threshold, against = MIN_COVERAGE, "the least that makes sense"
    enough = facts.coverage >= threshold
    return _gate(
        "coverage",
        PASS if enough else FAIL,
        facts.coverage,
        threshold,
        "share",
        f"{facts.coverage:.1%} of the catalogue appears in top-10 lists; "
        f"needed are {threshold:.1%}, {against}.",
    )


def _test_users(facts: GateFacts) -> Gate:
    enough = facts.test_users >= MIN_TEST_USERS
    sentence = f"Measured on {facts.test_users:,} test shoppers." if enough else _too_few(facts)
    return _gate(
        "test_users", PASS if enough else NOT_ENOUGH, facts.test_users, MIN_TEST_USERS, "shoppers", sentence
    )


def _artifact(facts: GateFacts) -> Gate:
    if facts.artifact_problem is None:
        return _gate("artifact", PASS, None, None, "", "Every file was read and has its registered digest.")
    return _gate("artifact", FAIL, None, None, "", f"The files are damaged: {facts.artifact_problem}")


def _size(facts: GateFacts) -> Gate:
    fits = facts.size_bytes <= MAX_SIZE_BYTES
    sentence = f"{facts.size_bytes / 1e6:,.1f} MB; at most {MAX_SIZE_BYTES / 1e6:,.0f} MB fit a server."
    return _gate("size", PASS if fits else FAIL, facts.size_bytes, MAX_SIZE_BYTES, "bytes", sentence)


def _gate(
    name: str, verdict: str, value: float | None, threshold: float | None, unit: str, sentence: str
) -> Gate:
    return Gate(name, GATE_LABELS[name], verdict, value, threshold, unit, sentence)


def _too_few(facts: GateFacts) -> str:
    missing = MIN_TEST_USERS - facts.test_users
    return (
        f"Only {figures.counted(facts.test_users, 'test shopper')}; {missing:,} more "
        f"{'is' if missing == 1 else 'are'} needed before figures mean anything."
    )


def _interval(difference: Difference) -> str:
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
