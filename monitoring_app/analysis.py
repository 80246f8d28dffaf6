"""Judge one step of a rollout from what its arms did. Pure: numbers in, a verdict with its reasons out.

Small traffic is the normal case: a check with too few answers says so, and never fails for silence.
"""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

from monitoring_app import histograms
from monitoring_app.selectors import ArmNumbers

PASS, FAIL, INCONCLUSIVE, NOT_ENOUGH = "pass", "fail", "inconclusive", "not_enough_data"
MIN_FOR_ERRORS = 20
MIN_FOR_LATENCY = 100
LATENCY_FLOOR_MS = 5.0  # differences below this are noise, whatever their ratio
SLOW_SHARE = 0.05  # what a p95 leaves above itself
Z = 1.96
Z_WATCHED = 3.3  # for a figure that is looked at every second


@dataclass(frozen=True)
class Check:
    """One comparison, ready to be shown: the same fields on every page and in the API."""

    name: str
    label: str
    verdict: str
    sentence: str
    value: float | None = None
    stable: float | None = None
    threshold: float | None = None
    unit: str = ""
    n: int = 0


def judge(
    canary: ArmNumbers,
    stable: ArmNumbers | None,
    *,
    min_answers: int,
    max_error_ratio: float,
    p95_ratio: float,
) -> tuple[str, list[dict[str, Any]]]:
    """Judge a step; `stable` is None when the step has no other arm to compare with."""
    checks = [
        check_answers(canary, stable, min_answers),
        check_errors(canary, max_error_ratio),
        check_latency(canary, stable, p95_ratio),
        check_empty(canary),
    ]
    verdicts = {check.verdict for check in checks}
    for verdict in (FAIL, INCONCLUSIVE, NOT_ENOUGH):
        # Missing latency data alone does not hold a step whose sample the plan calls large enough.
        if verdict in verdicts and (verdict != NOT_ENOUGH or checks[0].verdict == NOT_ENOUGH):
            return verdict, [asdict(check) for check in checks]
    return PASS, [asdict(check) for check in checks]


def check_answers(canary: ArmNumbers, stable: ArmNumbers | None, wanted: int) -> Check:
    """Every arm needs its sample."""
    fewest = canary.requests if stable is None else min(canary.requests, stable.requests)
    missing = max(0, wanted - fewest)
    return Check(
        name="answers",
        label=f"At least {wanted:,} answers an arm",
        verdict=NOT_ENOUGH if missing else PASS,
        sentence=f"needs {missing:,} more answers" if missing else f"{fewest:,} answers in the smaller arm",
        value=canary.requests,
        stable=None if stable is None else stable.requests,
        threshold=wanted,
        n=canary.requests,
    )


def check_errors(canary: ArmNumbers, limit: float) -> Check:
    """Fail when the error share lies above the limit beyond doubt (95 % Wilson interval)."""
    label = f"Errors under {100 * limit:g} %"
    share, n = canary.error_ratio, canary.requests
    if share is None or n < MIN_FOR_ERRORS:
        verdict, sentence = NOT_ENOUGH, f"{n} answers are too few to judge errors by"
    else:
        low, _ = wilson(canary.errors, n)
        sentence = f"{canary.errors:,} of {n:,} first attempts failed ({100 * share:.2f} %)"
        verdict = FAIL if low > limit else (INCONCLUSIVE if share > limit else PASS)
    percent = None if share is None else 100 * share
    return Check("errors", label, verdict, sentence, value=percent, threshold=100 * limit, unit="%", n=n)


def check_latency(canary: ArmNumbers, stable: ArmNumbers | None, ratio: float) -> Check:
    """Fail when more than one answer in twenty is slower than allowed, beyond doubt.

    Allowed is the given multiple of stable's p95. A p95 of a hundred answers jumps about, and the step is
    judged every second: the interval is wide (z = 3.3), so that chance rarely stops a good release.
    """
    label = f"p95 at most {ratio:g} × stable"
    mine = canary.latency_ms(0.95)
    theirs = stable.latency_ms(0.95) if stable is not None else None
    if stable is None or mine is None or theirs is None:
        sentence = "no other release answers, so there is nothing to compare with"
        return Check("latency", label, NOT_ENOUGH, sentence, mine, theirs, None, "ms", canary.requests)
    limit = max(ratio * theirs, theirs + LATENCY_FLOOR_MS)
    n = sum(canary.latency.values())
    low, _ = wilson(histograms.count_above(canary.latency, limit), n, Z_WATCHED)
    sentence = f"p95 is {mine:.1f} ms, stable's is {theirs:.1f} ms"
    if low > SLOW_SHARE:
        verdict = FAIL
    elif min(canary.requests, stable.requests) < MIN_FOR_LATENCY:
        verdict, sentence = NOT_ENOUGH, f"a p95 needs {MIN_FOR_LATENCY} answers an arm"
    elif mine > limit:
        verdict, sentence = NOT_ENOUGH, f"{sentence}: slower than allowed, but that may be chance"
    else:
        verdict = PASS
    return Check("latency", label, verdict, sentence, mine, theirs, limit, "ms", canary.requests)


def check_empty(canary: ArmNumbers) -> Check:
    """Fail when more than one list in twenty is empty."""
    limit = 0.05
    share, n = canary.empty_ratio, canary.answers
    if share is None or n < MIN_FOR_ERRORS:
        return Check(
            "empty", "Empty lists under 5 %", NOT_ENOUGH, f"{n} lists so far", threshold=5, unit="%", n=n
        )
    low, _ = wilson(canary.empty, n)
    verdict = FAIL if low > limit else PASS
    sentence = f"{canary.empty:,} of {n:,} lists were empty"
    return Check("empty", "Empty lists under 5 %", verdict, sentence, 100 * share, None, 5, "%", n)


def wilson(hits: int, n: int, z: float = Z) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), which holds for small samples and shares near 0."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
