"""Judge one step of a rollout from what its arms did. Pure: numbers in, a verdict with its reasons out.

A judgement is a list of small functions, `CHECKS`: each looks at the same facts and returns one `Check`, or
None where it has nothing to say. To judge by something else, write a function and add it to the list.
Small traffic is the normal case: a check with too few answers says how many more and about how long, and
never fails for silence.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from monitoring_app.business_checks import check_clicks, check_purchases
from monitoring_app.checks import FAIL, INCONCLUSIVE, NOT_ENOUGH, PASS, Check, Facts
from monitoring_app.parity_check import check_parity, check_servers
from monitoring_app.shadow_checks import (
    check_overlap,
    check_pair_errors,
    check_pair_latency,
    check_scores,
)
from monitoring_app.technical_checks import (
    check_answers,
    check_empty,
    check_errors,
    check_fallbacks,
    check_latency,
)

CHECKS: tuple[Callable[[Facts], Check | None], ...] = (
    check_servers,
    check_answers,
    check_errors,
    check_clicks,
    check_latency,
    check_empty,
    check_fallbacks,
    check_purchases,
    check_parity,
    check_overlap,
    check_scores,
    check_pair_errors,
    check_pair_latency,
)

# After a release went live there is no sample to wait for: what fails, fails.
WATCH_CHECKS: tuple[Callable[[Facts], Check | None], ...] = (
    check_errors,
    check_latency,
    check_empty,
    check_fallbacks,
)


def judge(
    facts: Facts, checks: Sequence[Callable[[Facts], Check | None]] = CHECKS
) -> tuple[str, list[dict[str, Any]]]:
    """Judge a step by every check.

    One failure fails the step. While data are not enough nothing is inconclusive yet; they count only where
    the check holds its step, because a plan may call fewer answers large enough than a p95 needs.
    """
    found = [check for each in checks if (check := each(facts)) is not None]
    verdicts = {check.verdict for check in found if check.verdict != NOT_ENOUGH or check.holds}
    gravest = next((each for each in (FAIL, NOT_ENOUGH, INCONCLUSIVE) if each in verdicts), PASS)
    return gravest, [asdict(check) for check in found]
