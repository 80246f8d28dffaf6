"""What a check of a step looks at and what it says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from deployments_app.gateway_report import Pairs
from deployments_app.plan_rules import Checks
from monitoring_app.selectors import ArmNumbers
from monitoring_app.selectors.feedback import Reaction
from monitoring_app.silence import Silence
from portal.core import figures

PASS, FAIL, INCONCLUSIVE, NOT_ENOUGH = "pass", "fail", "inconclusive", "not_enough_data"
LONGEST_GUESS_S = 90 * 86_400.0  # beyond it "about how long" is no guess any more


@dataclass(frozen=True)
class Reactions:
    """What shoppers did with both arms' lists in this step, and usually (the last day) with stable's."""

    canary: Reaction
    stable: Reaction
    usual: Reaction


@dataclass(frozen=True)
class Parity:
    """How many lists that the new release's servers gave are the registry's; and the first difference."""

    compared: int
    agreeing: int
    difference: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of one step. `stable` and `reactions` are None where no other release answers."""

    canary: ArmNumbers
    stable: ArmNumbers | None
    min_answers: int
    since_s: float  # how long the step has been measured: answers by it are the rate
    limits: Checks = field(default_factory=Checks)
    reactions: Reactions | None = None
    parity: Parity | None = None  # None: not compared yet
    slack: float = 1.0  # times the latency allowed: more where stable's answers are of another time
    pairs: Pairs | None = None  # of a shadow: both releases asked for the same shoppers
    silent: Sequence[Silence] = ()  # servers of either release whose answers nobody counts or compares


@dataclass(frozen=True)
class Check:
    """One comparison, ready to be shown: the same fields on every page and in the API.

    missing: how many more answers it needs; about_s: in how many seconds they come at the measured rate.
    holds: whether a step waits for it while its data are not enough.
    """

    name: str
    label: str
    verdict: str
    sentence: str
    value: float | None = None
    stable: float | None = None
    threshold: float | None = None
    unit: str = ""
    n: int = 0
    missing: int | None = None
    about_s: float | None = None
    holds: bool = False


def needs(missing: int, about_s: float | None, noun: str = "answer", which: str = "") -> str:
    """Say how much more it takes and about how long: needs 1,900 more answers, about 6 h at this rate.

    noun: what is counted, of one; which: what follows it, such as "from the live release".
    """
    when = "" if about_s is None else f", about {figures.duration(_rough(about_s))} at this rate"
    what = figures.counted(missing, f"more {noun}")
    return f"needs {what} {which}".rstrip() + when


def how_long(missing: int, have: int, since_s: float) -> float | None:
    """Reckon in how many seconds so many more come at the rate of those that came; None if none did."""
    if have <= 0 or since_s <= 0:
        return None
    seconds = missing * since_s / have
    return seconds if seconds <= LONGEST_GUESS_S else None


def too_few(
    name: str,
    label: str,
    facts: Facts,
    have: int,
    wanted: int,
    *,
    unit: str,
    threshold: float | None = None,
    noun: str = "answer",
    which: str = "",
) -> Check:
    """Say that a check has too few answers to look at, and how many more it takes."""
    missing = wanted - have
    about_s = how_long(missing, have, facts.since_s)
    return Check(
        name,
        label,
        NOT_ENOUGH,
        needs(missing, about_s, noun, which),
        threshold=threshold,
        unit=unit,
        n=have,
        missing=missing,
        about_s=about_s,
    )


def _rough(seconds: float) -> float:
    """Round a guess to what it is worth: no seconds beyond a minute, no minutes beyond a few hours."""
    for size in (86_400, 3600, 60):
        if seconds >= 3 * size:
            return round(seconds / size) * size
    return max(1.0, round(seconds))
