"""The checks of a shadow: what it would have shown, compared shopper by shopper with stable. Pure.

The same shopper is asked of both, so a pair's difference is free of who happened to ask; a hundred pairs tell
what a thousand answers of two arms would.
"""

from dataclasses import replace
from math import sqrt

from monitoring_app.checks import FAIL, INCONCLUSIVE, PASS, Check, Facts, too_few
from monitoring_app.intervals import Z_WATCHED, Z, newcombe
from monitoring_app.technical_checks import LATENCY_FLOOR_MS

MIN_PAIRS = 100
K = 10


def check_overlap(facts: Facts) -> Check | None:
    """Show how much of the lists stays; fail when clearly less than the plan asks for (0: never)."""
    pairs, least = facts.pairs, facts.limits.min_overlap
    if pairs is None:
        return None
    label = f"Lists in common@{K}" + (f": at least {100 * least:g} %" if least else "")
    if pairs.answered < MIN_PAIRS:
        few = too_few(
            "overlap",
            label,
            facts,
            pairs.answered,
            MIN_PAIRS,
            unit="%",
            noun="shopper",
            which="asked of both",
        )
        return replace(few, holds=True)
    share = pairs.overlap / pairs.answered
    half = Z_WATCHED * _error_of_mean(pairs.overlap, pairs.overlap_squared, pairs.answered)
    verdict = FAIL if share + half < least else (INCONCLUSIVE if share < least else PASS)
    sentence = (
        f"{100 * share:.1f} % of the products in {pairs.answered:,} shoppers' lists stay the same "
        f"(± {100 * half * Z / Z_WATCHED:.1f})"
    )
    return Check(
        "overlap", label, verdict, sentence, 100 * share, None, 100 * least or None, "%", pairs.answered
    )


def check_scores(facts: Facts) -> Check | None:
    """Show by how much scores shift; never judged, because algorithms have scales of their own."""
    pairs = facts.pairs
    if pairs is None or pairs.answered < MIN_PAIRS:
        return None
    live, new = pairs.live_score / pairs.answered, pairs.new_score / pairs.answered
    spread = _spread(pairs.live_score, pairs.live_score_squared, pairs.answered)
    shift = f"{(new - live) / spread:+.2f} standard deviations" if spread else "no spread to compare with"
    sentence = f"a list's mean score goes from {live:.3g} to {new:.3g} ({shift}); shown, not judged"
    return Check("scores", "Score shift", PASS, sentence, new, live, None, "", pairs.answered)


def check_pair_errors(facts: Facts) -> Check | None:
    """Fail when the shadow clearly fails more often than stable for the same shoppers."""
    pairs, margin = facts.pairs, facts.limits.max_error_ratio
    if pairs is None:
        return None
    label = f"Errors of pairs: at most {100 * margin:g} points above stable"
    if pairs.asked < MIN_PAIRS:
        return too_few("pair_errors", label, facts, pairs.asked, MIN_PAIRS, unit="%", noun="pair")
    low, _ = newcombe(pairs.new_errors, pairs.asked, pairs.live_errors, pairs.asked, Z_WATCHED)
    difference = (pairs.new_errors - pairs.live_errors) / pairs.asked
    verdict = FAIL if low > margin else (INCONCLUSIVE if difference > margin else PASS)
    sentence = f"{pairs.new_errors:,} of {pairs.asked:,} failed, stable's {pairs.live_errors:,}"
    value, stable = (100 * each / pairs.asked for each in (pairs.new_errors, pairs.live_errors))
    return Check("pair_errors", label, verdict, sentence, value, stable, 100 * margin, "%", pairs.asked)


def check_pair_latency(facts: Facts) -> Check | None:
    """Fail when the shadow is clearly slower for the same shoppers than the plan allows."""
    pairs, ratio = facts.pairs, facts.limits.p95_ratio
    if pairs is None or pairs.answered < MIN_PAIRS:
        return None
    live, new = pairs.live_ms / pairs.answered, pairs.new_ms / pairs.answered
    slower = new - live
    half = Z_WATCHED * _error_of_mean(pairs.new_ms - pairs.live_ms, pairs.slower_squared, pairs.answered)
    allowed = max((ratio - 1) * live, LATENCY_FLOOR_MS)
    verdict = FAIL if slower - half > allowed else (INCONCLUSIVE if slower > allowed else PASS)
    way = "slower" if slower >= 0 else "faster"
    sentence = f"{abs(slower):.1f} ms {way} for the same shopper (± {half * Z / Z_WATCHED:.1f})"
    return Check(
        "pair_latency", f"Mean time at most {ratio:g} × stable's", verdict, sentence, new, live,
        live + allowed, "ms", pairs.answered,
    )  # fmt: skip


def _spread(total: float, squares: float, n: int) -> float:
    """Standard deviation from a sum and a sum of squares."""
    return sqrt(max(0.0, squares - total * total / n) / (n - 1)) if n > 1 else 0.0


def _error_of_mean(total: float, squares: float, n: int) -> float:
    return _spread(total, squares, n) / sqrt(n)
