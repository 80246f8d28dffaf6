"""Whether a dataset is enough for an algorithm, judged by counts and by what the files say."""

from collections.abc import Callable
from dataclasses import dataclass

from engine.estimators.base import Estimator, Settings

MIN_INTERACTIONS = 1_000
MIN_USERS_WITH_FIVE = 200
MIN_LINKED_SHARE = 0.2
MIN_PER_USER = 3
MIN_ITEMS = 50


@dataclass(frozen=True)
class DataFacts:
    """What a dataset holds.

    items: those that somebody chose; not_chosen: further ones that the item file describes.
    values_differ: there are values, and not all of them are equal.
    """

    users: int
    items: int
    interactions: int
    users_with_several: int
    has_times: bool = False
    has_items: bool = False
    values_differ: bool = False
    not_chosen: int = 0

    @property
    def catalogue(self) -> int:
        """How many items a model ranks."""
        return self.items + self.not_chosen


@dataclass(frozen=True)
class Readiness:
    """verdict: "ready", "weak" (it will run, expect little) or "not_ready"; reason in plain words."""

    what: str
    verdict: str
    reason: str


def judge_algorithm(algorithm: type[Estimator], data: DataFacts, config: Settings | None = None) -> Readiness:
    """Judge by what the algorithm needs and bears with a config, then by what its family rests on."""
    if "items" in algorithm.needs and not data.has_items:
        return Readiness(algorithm.name, "not_ready", "Upload an item file with titles: it reads them.")
    if "times" in algorithm.needs and not data.has_times:
        return Readiness(
            algorithm.name, "not_ready", "Upload ratings with a time column: it needs to know when."
        )
    refused = algorithm.too_large(config or algorithm.Config(), data.catalogue)
    if refused:
        return Readiness(algorithm.name, "not_ready", refused)
    verdict, reason = RULES.get(algorithm.family, _histories)(data)
    if algorithm.predicts_values and verdict != "not_ready" and not data.values_differ:
        equal = "It predicts ratings, and this data has none that differ."
        return Readiness(algorithm.name, "weak", f"{equal} {reason}")
    return Readiness(algorithm.name, verdict, reason)


def judge_time_split(users_with_five: int, *, has_times: bool) -> Readiness:
    """Judge a test on each user's last choices."""
    if not has_times:
        return Readiness("time_split", "not_ready", "The file has no time column.")
    many = users_with_five >= MIN_USERS_WITH_FIVE
    reason = f"{users_with_five:,} users have five or more interactions"
    reason += "." if many else f"; {MIN_USERS_WITH_FIVE} make a dependable test."
    return Readiness("time_split", "ready" if many else "weak", reason)


def _counts(data: DataFacts) -> tuple[str, str]:
    return "ready", f"{data.interactions:,} interactions to count."


def _histories(data: DataFacts) -> tuple[str, str]:
    if data.users_with_several == 0:
        return "not_ready", "No user has two interactions: nothing links one item to another."
    share = data.users_with_several / data.users
    is_ready = data.interactions >= MIN_INTERACTIONS and share >= MIN_LINKED_SHARE
    return "ready" if is_ready else "weak", f"{share:.0%} of the users have two or more interactions."


def _factors(data: DataFacts) -> tuple[str, str]:
    if data.users_with_several == 0:
        return _histories(data)
    mean = data.interactions / data.users
    found = f"{mean:.1f} interactions a user over {data.items:,} items"
    if data.interactions >= MIN_INTERACTIONS and mean >= MIN_PER_USER and data.items >= MIN_ITEMS:
        return "ready", f"{found}."
    least = f"{MIN_PER_USER} a user, {MIN_ITEMS} items and {MIN_INTERACTIONS:,} interactions"
    return "weak", f"{found}; {least} are a sensible least."


def _content(data: DataFacts) -> tuple[str, str]:
    if data.interactions < MIN_INTERACTIONS:
        return "weak", f"{data.interactions:,} interactions say little of what each user likes."
    return "ready", f"An item file describes the {data.items:,} items."


RULES: dict[str, Callable[[DataFacts], tuple[str, str]]] = {
    "popular": _counts,
    "neighbours": _histories,
    "factors": _factors,
    "content": _content,
}
