"""Does a new release cost clicks or purchases? Pure: what shoppers did with both arms in, one check out.

Two looks at one question. At any time: beyond doubt, by an interval wide enough for a figure that is looked
at every second. Once: when the sample is complete that tells the allowed loss from none.
"""

from dataclasses import replace

from monitoring_app.checks import (
    FAIL,
    INCONCLUSIVE,
    NOT_ENOUGH,
    PASS,
    Check,
    Facts,
    Reactions,
    how_long,
    needs,
)
from monitoring_app.intervals import Z_WATCHED, newcombe, sample_needed, wilson
from portal.core import figures

MIN_EXPOSURES = 50  # an arm
Share = tuple[int, int]  # lists with a hit, lists


def check_clicks(facts: Facts) -> Check | None:
    """Compare the share of lists that somebody clicked; says nothing where the shop sends no clicks."""
    found, loss = facts.reactions, facts.limits.max_ctr_loss
    if found is None or loss >= 1 or not _tells_clicks(found):
        return None
    arms = [(each.clicks, each.exposures) for each in (found.canary, found.stable, found.usual)]
    check = compare_shares("CTR", loss, arms[0], arms[1], arms[2], facts.since_s)
    return replace(check, name="ctr", holds=True)


def check_purchases(facts: Facts) -> Check | None:
    """Compare the share of lists that somebody bought from.

    Purchases are rare and late: a step waits for them only where the shop sends no clicks.
    """
    found, loss = facts.reactions, facts.limits.max_conversion_loss
    if found is None or loss >= 1:
        return None
    arms = [(each.purchases, each.exposures) for each in (found.canary, found.stable, found.usual)]
    if not any(hits for hits, _ in arms):
        return None
    check = compare_shares("Conversion", loss, arms[0], arms[1], arms[2], facts.since_s)
    return replace(check, name="conversion", holds=not _tells_clicks(found))


def compare_shares(
    what: str, max_loss: float, canary: Share, stable: Share, usual: Share, since_s: float
) -> Check:
    """Compare two shares of lists; `usual` is what the stable release had during the last day.

    A loss counts against what is usual. As long as stable's own share in this step lies far below that, the
    events are still on their way, and nothing is concluded from their absence.
    """
    (hits, n), (other_hits, other_n) = canary, stable
    base = usual[0] / usual[1] if usual[0] else other_hits / other_n if other_hits else hits / max(n, 1)
    margin = max_loss * base
    fewer, more = sorted((n, other_n))
    wanted = max(MIN_EXPOSURES, sample_needed(base, margin, more / fewer if fewer else 1.0))
    check = Check(
        name="",
        label=f"{what} at most {100 * max_loss:g} % below stable",
        verdict=INCONCLUSIVE,
        sentence=_in_words(what, canary, stable),
        value=100 * hits / n if n else None,
        stable=100 * other_hits / other_n if other_n else None,
        threshold=100 * (base - margin),
        unit="%",
        n=n,
    )
    if other_n and wilson(other_hits, other_n, Z_WATCHED)[1] < base / 2:
        late = f"stable's {what} is usually {figures.percent(base)}: the events of this step are not in yet"
        return replace(check, verdict=NOT_ENOUGH, sentence=late)
    low_watched, high_watched = newcombe(hits, n, other_hits, other_n, Z_WATCHED)
    low, high = newcombe(hits, n, other_hits, other_n)
    is_complete = fewer >= wanted
    if high_watched < -margin or (is_complete and high < -margin):
        return replace(check, verdict=FAIL)
    if (fewer >= MIN_EXPOSURES and low_watched > -margin) or (is_complete and low > -margin):
        return replace(check, verdict=PASS)
    if is_complete:
        return check
    missing = wanted - fewer
    about_s = how_long(missing, fewer, since_s)
    sentence = f"{what} {needs(missing, about_s, 'exposure')}"
    return replace(check, verdict=NOT_ENOUGH, sentence=sentence, missing=missing, about_s=about_s)


def difference_in_words(first: Share, second: Share) -> str:
    """Say how two shares differ, in points, with the 95 % interval; nothing without lists of both."""
    if not first[1] or not second[1]:
        return ""
    points = 100 * (first[0] / first[1] - second[0] / second[1])
    low, high = (figures.decimal(100 * bound, 1, signed=True) for bound in newcombe(*first, *second))
    return f"{figures.decimal(points, 1, signed=True)} points (95 %: {low} to {high})"


def _tells_clicks(found: Reactions) -> bool:
    return any(each.clicks for each in (found.canary, found.stable, found.usual))


def _in_words(what: str, canary: Share, stable: Share) -> str:
    if not canary[1] or not stable[1]:
        return f"no list to take the {what} of"
    mine, theirs = (figures.percent(hits / n) for hits, n in (canary, stable))
    difference = difference_in_words(canary, stable)
    return f"{what} is {mine} of {figures.counted(canary[1], 'list')}, stable's is {theirs}: {difference}"
