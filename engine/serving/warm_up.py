"""What a model server does before it says that it is ready: answer sampled users, as it will answer all."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from engine.serving.model import ServedModel
from engine.serving.ranking import Ranker
from engine.serving.requests import K_DEFAULT, Wanted

SAMPLE = 64
SCORED = 16


class WarmUpError(ValueError):
    """A model that loads but must not answer."""


@dataclass(frozen=True)
class WarmUp:
    """What was replayed."""

    users: int
    items: int
    seconds: float


def warm_up(model: ServedModel) -> WarmUp:
    """Answer evenly sampled users, a newcomer and an item; raise WarmUpError when an answer is not fit."""
    started = perf_counter()
    ranker = Ranker(model)
    users = np.unique(np.linspace(0, model.n_users - 1, min(SAMPLE, model.n_users)).astype(np.int32))
    _check_scores(model, users)
    answered = 0
    for user in users:
        name = model.artifact.user_ids[int(user)]
        if model.users.find(name) != user:
            raise WarmUpError("two users share one id")
        scored = ranker.rank_known(np.array([user], np.int32), K_DEFAULT).row(0, K_DEFAULT)
        there = scored.items >= 0
        items, scores = scored.items[there], scored.scores[there]
        if not np.isfinite(scores).all() or np.isin(items, model.history(int(user))).any():
            raise WarmUpError("an answer holds a score that is not finite, or an item that the user has")
        answered += int(there.sum())
    everything = model.n_items * len(users)
    if not answered and sum(len(model.history(int(user))) for user in users) < everything:
        raise WarmUpError("no sampled user was given any item")
    some = np.array([int(model.popular[0])] if len(model.popular) else [0], np.int32)
    ranker.fold_in(some, Wanted())
    ranker.similar(int(some[0]), Wanted())
    ranker.popular(Wanted(exclude=[model.artifact.item_ids[int(some[0])]]), None)
    for item in model.popular[:K_DEFAULT].tolist():
        model.facts(item)
    return WarmUp(len(users), answered, perf_counter() - started)


def _check_scores(model: ServedModel, users: np.typing.NDArray[np.int32]) -> None:
    """Score sampled pairs: ranking passes over what is not finite, so it has to be looked for."""
    rng = np.random.default_rng(0)
    pairs = rng.choice(users, SCORED), rng.integers(0, model.n_items, SCORED)
    with np.errstate(all="ignore"):
        scores = model.estimator.score(pairs[0], pairs[1].astype(np.int32))
    if not np.isfinite(scores).all():
        raise WarmUpError("the model gives scores that are not finite")
