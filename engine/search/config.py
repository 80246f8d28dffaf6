"""What a person decides about a search, and the folds it judges on."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.folds import random_folds, temporal_folds
from engine.interactions import Interactions
from engine.items import ItemFacts
from engine.metrics import NAMES, TITLES
from engine.parameters import Settings, option
from engine.splitting import Split, SplitConfig, split


@dataclass(frozen=True)
class SearchConfig(Settings):
    method: str = option(
        "bayes",
        title="Method",
        help="Bayesian learns from each trial where to look next. Random is its yardstick. Grid tries all.",
        choices=(("bayes", "Bayesian"), ("random", "At random"), ("grid", "Grid")),
    )
    trials: int = option(
        20,
        title="Trials",
        help="How many settings are tried at most, the default one first.",
        minimum=1,
        maximum=1000,
        step=1,
    )
    minutes: float = option(
        0.0,
        title="Minutes",
        help="After so many minutes the trial that is under way is given up, save the first. 0 is no limit.",
        minimum=0.0,
        maximum=10_080.0,
    )
    folds: int = option(
        1,
        title="Folds",
        help="On how many parts of the past each setting is judged. More are surer and take longer.",
        minimum=1,
        maximum=10,
        step=1,
    )
    halving: bool = option(
        True,
        title="Stop poor settings early",
        help="Settings begin with a quarter of the iterations, or of the shoppers; the better half goes on.",
    )
    metric: str = option(
        "ndcg",
        title="What is best",
        help="The measure by which settings are compared: of the lists, or of the values that are predicted.",
        choices=tuple((name, TITLES[name]) for name in (*NAMES, "rmse")),
    )
    k: int = option(
        10,
        title="List length",
        help="How long the lists are that are compared.",
        minimum=1,
        maximum=100,
        step=1,
    )
    seed: int = option(0, title="Seed", help="The same seed tries the same settings.", minimum=0)

    @property
    def judged_by(self) -> str:
        return self.metric if self.metric == "rmse" else f"{self.metric}@{self.k}"


def validation_folds(
    interactions: Interactions,
    held_out: SplitConfig,
    n: int = 1,
    *,
    seed: int = 0,
    items: ItemFacts | None = None,
) -> Sequence[Split]:
    """Divide what the final test left for training once or n times, in the manner of that test.

    Raises ValueError when nothing is left to judge on.
    """
    if n == 1:
        return [split(interactions, held_out, seed, items)]
    if held_out.method == "random":
        return list(random_folds(interactions, n, seed=seed, items=items))
    return list(temporal_folds(interactions, n, items=items))
