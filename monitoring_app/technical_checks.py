"""The technical checks of a step: its sample, errors, latency, empty lists, fallbacks. Pure."""

from monitoring_app import histograms
from monitoring_app.checks import FAIL, INCONCLUSIVE, NOT_ENOUGH, PASS, Check, Facts, how_long, needs, too_few
from monitoring_app.intervals import Z_WATCHED, answers_to_prove, newcombe, wilson
from portal.core import figures

MIN_FOR_ERRORS = 20
MIN_FOR_LATENCY = 100
LATENCY_FLOOR_MS = 5.0  # differences below this are noise, whatever their ratio
SLOW_SHARE = 0.05  # what a p95 leaves above itself


def check_answers(facts: Facts) -> Check:
    """Every arm needs its sample; the arm that is later says when."""
    arms = [("the new release", facts.canary.requests)]
    if facts.stable is not None:
        arms.append(("the live release", facts.stable.requests))
    wanted, fewest = facts.min_answers, min(have for _, have in arms)
    late = [
        (how_long(wanted - have, have, facts.since_s), name, wanted - have)
        for name, have in arms
        if have < wanted
    ]
    about_s, arm, missing = max(late, key=lambda each: (each[0] is None, each[0]), default=(None, "", 0))
    return Check(
        name="answers",
        label=f"At least {figures.counted(wanted, 'answer')} an arm",
        verdict=NOT_ENOUGH if missing else PASS,
        sentence=needs(missing, about_s, "answer", f"from {arm}")
        if missing
        else f"{figures.counted(fewest, 'answer')} in the smaller arm",
        value=facts.canary.requests,
        stable=None if facts.stable is None else facts.stable.requests,
        threshold=wanted,
        n=facts.canary.requests,
        missing=missing or None,
        about_s=about_s,
        holds=True,
    )


def check_errors(facts: Facts) -> Check:
    """Fail when the share of 5xx lies above the limit beyond doubt (95 % Wilson interval)."""
    canary, limit = facts.canary, facts.limits.max_error_ratio
    label = f"Errors under {100 * limit:g} %"
    share, n = canary.error_ratio, canary.requests
    if share is None or n < MIN_FOR_ERRORS:
        return too_few("errors", label, facts, n, MIN_FOR_ERRORS, threshold=100 * limit, unit="%")
    low, _ = wilson(canary.errors, n)
    verdict = FAIL if low > limit else (INCONCLUSIVE if share > limit else PASS)
    sentence = f"{canary.errors:,} of {n:,} first attempts failed ({100 * share:.2f} %)"
    return Check("errors", label, verdict, sentence, 100 * share, None, 100 * limit, "%", n)


def check_latency(facts: Facts) -> Check:
    """Fail when more than one answer in twenty is slower than allowed, beyond doubt.

    Allowed is the given multiple of stable's p95. A p95 of a hundred answers jumps about, and the step is
    judged every second: the interval is wide (z = 3.3), so that chance rarely stops a good release. While
    the p95 is too high but no proof, the step is held until more answers settle it.
    """
    canary, stable, ratio = facts.canary, facts.stable, facts.slack * facts.limits.p95_ratio
    label = f"p95 at most {ratio:g} × stable"
    mine = canary.latency_ms(0.95)
    theirs = stable.latency_ms(0.95) if stable is not None else None
    if stable is None or mine is None or theirs is None:
        sentence = "no other release answers, so there is nothing to compare with"
        return Check("latency", label, NOT_ENOUGH, sentence, mine, theirs, None, "ms", canary.requests)
    limit = max(ratio * theirs, theirs + facts.slack * LATENCY_FLOOR_MS)
    n, slow = sum(canary.latency.values()), histograms.count_above(canary.latency, limit)
    figure = (mine, theirs, limit, "ms", canary.requests)
    sentence = f"p95 is {mine:.1f} ms, stable's is {theirs:.1f} ms"
    if wilson(slow, n, Z_WATCHED)[0] > SLOW_SHARE:
        return Check("latency", label, FAIL, sentence, *figure)
    fewest = min(canary.requests, stable.requests)
    if fewest < MIN_FOR_LATENCY:
        missing = MIN_FOR_LATENCY - fewest
        about_s = how_long(missing, fewest, facts.since_s)
        sentence = needs(missing, about_s, "answer", "for a p95")
        return Check("latency", label, NOT_ENOUGH, sentence, *figure, missing=missing, about_s=about_s)
    if mine <= limit:
        return Check("latency", label, PASS, sentence, *figure)
    needed = answers_to_prove(slow / n, SLOW_SHARE, Z_WATCHED)
    missing = max(1, (needed or 2 * n) - n)
    about_s = how_long(missing, canary.requests, facts.since_s)
    sentence = f"{sentence}: slower than allowed, but that may be chance; {needs(missing, about_s)}"
    return Check(
        "latency", label, NOT_ENOUGH, sentence, *figure, missing=missing, about_s=about_s, holds=True
    )


def check_empty(facts: Facts) -> Check:
    """Fail when clearly more lists are empty than the live release's."""
    return _compare_lists(facts, "empty", "Empty lists", "lists were empty", facts.limits.empty_ratio)


def check_fallbacks(facts: Facts) -> Check:
    """Fail when clearly more shoppers get best-sellers instead of their own list than from stable."""
    what, words = "Best-sellers instead", "lists were best-sellers instead"
    return _compare_lists(facts, "fallbacks", what, words, facts.limits.fallback_ratio)


def _compare_lists(facts: Facts, name: str, what: str, words: str, margin: float) -> Check:
    """Compare a share of lists with stable's: more than `margin` above it beyond doubt fails.

    Both arms meet the same kind of shoppers, so what both do is no fault of the new release.
    """
    label = f"{what}: at most {100 * margin:g} points above stable"
    canary, stable = facts.canary, facts.stable
    hits = {"empty": canary.empty, "fallbacks": canary.fallbacks}[name]
    other = 0 if stable is None else {"empty": stable.empty, "fallbacks": stable.fallbacks}[name]
    n, other_n = canary.answers, 0 if stable is None else stable.answers
    if n < MIN_FOR_ERRORS or (stable is not None and other_n < MIN_FOR_ERRORS):
        fewest = n if stable is None else min(n, other_n)
        return too_few(name, label, facts, fewest, MIN_FOR_ERRORS, unit="%", noun="list")
    share, base = hits / n, other / other_n if other_n else None
    low, _ = newcombe(hits, n, other, other_n, Z_WATCHED) if other_n else wilson(hits, n, Z_WATCHED)
    if name == "fallbacks" and base is None:
        # How many shoppers are new to a model says little while nobody else answers them.
        verdict = NOT_ENOUGH
    else:
        gain = share - (base or 0.0)
        verdict = FAIL if low > margin else (INCONCLUSIVE if gain > margin else PASS)
    sentence = f"{hits:,} of {n:,} {words}" + (f", stable's {other:,} of {other_n:,}" if other_n else "")
    threshold = 100 * (margin + (base or 0.0))
    stable_pct = None if base is None else 100 * base
    return Check(name, label, verdict, sentence, 100 * share, stable_pct, threshold, "%", n)
