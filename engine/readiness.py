"""What a dataset is enough for, judged by counts alone."""

from dataclasses import dataclass

MIN_INTERACTIONS = 1_000
MIN_USERS_WITH_FIVE = 200


@dataclass(frozen=True)
class Readiness:
    """verdict: "ready", "weak" (it will run, expect little) or "not_ready"; reason in plain words."""

    what: str
    verdict: str
    reason: str


def ready_for(
    *,
    users: int,
    items: int,
    interactions: int,
    users_with_several: int,
    users_with_five: int,
    has_times: bool,
) -> list[Readiness]:
    """Judge popularity, neighbourhoods, factors and the split by time."""
    several = users_with_several / users
    verdicts = [Readiness("popularity", "ready", f"{interactions:,} interactions to count.")]
    if users_with_several == 0:
        alone = "No user has two interactions: nothing links one item to another."
        verdicts += [Readiness("item_knn", "not_ready", alone), Readiness("als", "not_ready", alone)]
    else:
        linked = f"{several:.0%} of the users have two or more interactions"
        enough = interactions >= MIN_INTERACTIONS
        knn_ready = enough and several >= 0.2
        verdicts.append(Readiness("item_knn", "ready" if knn_ready else "weak", f"{linked}."))
        mean = interactions / users
        als_ready = enough and mean >= 3 and items >= 50
        als_reason = f"{mean:.1f} interactions a user over {items:,} items" + (
            "." if als_ready else "; 3 a user, 50 items and 1,000 interactions are a sensible least."
        )
        verdicts.append(Readiness("als", "ready" if als_ready else "weak", als_reason))
    if not has_times:
        verdicts.append(Readiness("time_split", "not_ready", "The file has no time column."))
    else:
        many = users_with_five >= MIN_USERS_WITH_FIVE
        reason = f"{users_with_five:,} users have five or more interactions"
        reason += "." if many else f"; {MIN_USERS_WITH_FIVE} make a dependable test."
        verdicts.append(Readiness("time_split", "ready" if many else "weak", reason))
    return verdicts
