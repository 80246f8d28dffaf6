"""Who gets which list: the model for whom it knows, popularity otherwise, and why.

Requests that arrive together are scored together: each waits for the turn of the event loop in which
it came, then one matrix product reads the items once for all of them. Nobody waits for a timer.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from engine.estimators.base import UserState
from engine.interactions import Float32, Int32
from engine.serving.model import ServedModel, join_positions
from engine.serving.requests import Wanted

NOBODY = np.empty(0, np.int32)
BATCH_MAX = 32
AT_ONCE = 32  # users ranked between two looks at other requests
POPULARITY = "popularity"


@dataclass(frozen=True)
class RankedList:
    """A list of positions with scores, best first.

    history: the items it was derived from; user: whose they are (-1: unknown). dropped: scores that were
    not finite. is_short: items remained that the model has no score for. model_s: seconds that scoring took,
    for all who were scored together; rules_s: seconds for what is left out and for what takes its place.
    """

    items: list[int]
    scores: list[float]
    served_by: str
    fallback_reason: str | None = None
    history: Int32 = field(default_factory=lambda: NOBODY)
    dropped: int = 0
    is_short: bool = False
    model_s: float = 0.0
    rules_s: float = 0.0
    user: int = -1


@dataclass(frozen=True)
class Scored:
    """What the model said of some users: (n, k) items and scores, and how long it took them all."""

    items: Int32
    scores: Float32
    seconds: float

    def row(self, at: int, k: int) -> "Scored":
        return Scored(self.items[at, :k], self.scores[at, :k], self.seconds)


@dataclass
class Waiting:
    """One known user whose list is to be made in the next turn."""

    user: int
    k: int
    left_out: Int32
    ranked: "asyncio.Future[Scored]"


@dataclass(frozen=True)
class LeftOut:
    """The parts of a CSR that masking reads; building a scipy matrix costs more than scoring."""

    shape: tuple[int, int]
    indptr: Int32
    indices: Int32


class Ranker:
    """Makes lists of one model, on the event loop that asks."""

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self._waiting: list[Waiting] = []

    async def recommend(self, user: int, wanted: Wanted) -> RankedList:
        """Make the list of a user (-1: unknown), of at most k items that she does not have yet."""
        started = perf_counter()
        model = self.model
        context = model.items.find_all(wanted.context)
        history = model.history(user) if user >= 0 else NOBODY
        if not len(history) and not len(context):
            reason = "unknown_user" if user < 0 else "no_history"
            return self.popular(wanted, reason)
        if len(context):
            return self.fold_in(np.union1d(history, context).astype(np.int32), wanted, user)
        left_out = join_positions((history, self.unwanted(wanted)))
        rules_s = perf_counter() - started
        scored = await self._rank(user, wanted.k, left_out)
        return self._finished(scored, wanted, history, left_out, rules_s, user)

    def recommend_all(self, user_ids: list[str], wanted: Wanted) -> list[RankedList]:
        """Make many users' lists at once; what `wanted` excludes or filters counts for each."""
        model = self.model
        found = [model.users.find(user_id) for user_id in user_ids]
        histories = [model.history(user) if user >= 0 else NOBODY for user in found]
        known = [at for at, history in enumerate(histories) if len(history)]
        unwanted = self.unwanted(wanted)
        left_out = [join_positions((histories[at], unwanted)) for at in known]
        ranked: dict[int, RankedList] = {}
        if known:
            state = model.estimator.user_state(np.array([found[at] for at in known], np.int32))
            scored = self._score(state, wanted.k, left_out)
            for row, at in enumerate(known):
                ranked[at] = self._finished(scored.row(row, wanted.k), wanted, histories[at], left_out[row])
        return [
            ranked.get(at) or self.popular(wanted, "unknown_user" if user < 0 else "no_history")
            for at, user in enumerate(found)
        ]

    async def in_blocks(
        self, user_ids: list[str], wanted: Wanted
    ) -> AsyncIterator[tuple[list[str], list[RankedList]]]:
        """Make many users' lists block by block, leaving room for other requests between them.

        One block alone is made without a pause: it is over before anybody finds it under way.
        """
        for start in range(0, len(user_ids), AT_ONCE):
            if start:
                await asyncio.sleep(0)
            block = user_ids[start : start + AT_ONCE]
            yield block, self.recommend_all(block, wanted)

    def fold_in(self, history: Int32, wanted: Wanted, user: int = -1) -> RankedList:
        """Make the list of somebody who has this (sorted) history; user: whose it is (-1: unknown)."""
        started = perf_counter()
        left_out = join_positions((history, self.unwanted(wanted)))
        rules_s = perf_counter() - started
        state = self.model.estimator.fold_in(self.model.row_of(history, user))
        scored = self._score(state, wanted.k, [left_out])
        scored = Scored(scored.items, scored.scores, perf_counter() - started - rules_s)
        return self._finished(scored.row(0, wanted.k), wanted, history, left_out, rules_s, user)

    def popular(self, wanted: Wanted, reason: str | None) -> RankedList:
        """Make the list of what most shoppers chose."""
        started = perf_counter()
        items, scores = self.model.most_popular(wanted.k, self.unwanted(wanted))
        made = items.tolist(), scores.tolist()
        return RankedList(*made, POPULARITY, reason, rules_s=perf_counter() - started)

    def similar(self, item: int, wanted: Wanted) -> RankedList:
        """Make the list of what is most like one item."""
        started = perf_counter()
        items, scores = self.model.similar(item)
        scored_at = perf_counter()
        kept = ~np.isin(items, self.unwanted(wanted))
        made = items[kept][: wanted.k].tolist(), scores[kept][: wanted.k].tolist()
        model_s, rules_s = scored_at - started, perf_counter() - scored_at
        return RankedList(*made, self.model.algorithm, model_s=model_s, rules_s=rules_s)

    def unwanted(self, wanted: Wanted) -> Int32:
        """List the positions that the request itself leaves out."""
        context = wanted.context + wanted.exclude
        named = self.model.items.find_all(context) if context else NOBODY
        return join_positions((named, self.model.filtered_out(wanted.filters)))

    def rank_known(self, users: Int32, k: int) -> Scored:
        """Rank for users by position without what each already has."""
        histories = [self.model.history(int(user)) for user in users]
        return self._score(self.model.estimator.user_state(users), k, histories)

    def _finished(
        self,
        scored: Scored,
        wanted: Wanted,
        history: Int32,
        left_out: Int32,
        rules_s: float = 0.0,
        user: int = -1,
    ) -> RankedList:
        there = scored.items >= 0
        kept = there & np.isfinite(scored.scores)
        items, scores = scored.items[kept].tolist(), scored.scores[kept].tolist()
        dropped = int(there.sum()) - len(items)
        by_model = RankedList(
            items, scores, self.model.algorithm, None, history, dropped, False, scored.seconds, rules_s, user
        )
        if len(items) == wanted.k:
            return by_model
        remaining = self.model.n_items - len(np.unique(left_out))
        if items:
            return replace(by_model, is_short=len(items) < min(wanted.k, remaining))
        if not remaining:
            return replace(
                by_model, fallback_reason="all_seen" if len(history) == self.model.n_items else "nothing_left"
            )
        popular, popularity = self.model.most_popular(wanted.k, left_out)
        return replace(
            by_model,
            items=popular.tolist(),
            scores=popularity.tolist(),
            served_by=POPULARITY,
            fallback_reason="no_candidates",
            is_short=True,
        )

    def _rank(self, user: int, k: int, left_out: Int32) -> "asyncio.Future[Scored]":
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._take_turn)
        ranked: asyncio.Future[Scored] = loop.create_future()
        self._waiting.append(Waiting(user, k, left_out, ranked))
        return ranked

    def _take_turn(self) -> None:
        batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._take_turn)
        asked = [each for each in batch if not each.ranked.done()]  # done: the client has gone
        if asked:
            self._answer_together(asked)

    def _answer_together(self, asked: list[Waiting]) -> None:
        users = np.array([each.user for each in asked], np.int32)
        k = max(each.k for each in asked)
        try:
            state = self.model.estimator.user_state(users)
            scored = self._score(state, k, [each.left_out for each in asked])
        except Exception as error:  # each request answers for itself
            for each in asked:
                each.ranked.set_exception(error)
            return
        for at, each in enumerate(asked):
            each.ranked.set_result(scored.row(at, each.k))

    def _score(self, state: UserState, k: int, left_out: list[Int32]) -> Scored:
        started = perf_counter()
        ends = np.zeros(len(left_out) + 1, np.int32)
        np.cumsum([len(each) for each in left_out], out=ends[1:])
        indices = np.concatenate(left_out) if len(left_out) > 1 else left_out[0]
        shape = (len(left_out), self.model.n_items)
        mask = LeftOut(shape, ends, np.asarray(indices, np.int32))
        found = self.model.estimator.recommend(state, k, seen=mask)
        return Scored(found.items, found.scores, perf_counter() - started)
