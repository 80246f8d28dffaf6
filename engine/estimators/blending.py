"""Learn how much several models should count together, for shoppers of short and of long histories.

Some shoppers' choices are held out, each model lists its best for them, and one weight after the other is
moved as long as the blend's NDCG grows (coordinate ascent: Metzler & Croft 2007, "Linear feature-based models
for information retrieval"). It starts at the best model alone, so that no model ranks those choices better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.interactions import Float32, Int32, Int64
from engine.metrics import find_hits, per_user_metrics
from engine.topk import mask, top_k

SEGMENTS = ("new", "light", "heavy")
SEGMENT_STARTS = (5, 20)  # items in the history from which a shopper is light, heavy
SEGMENT_MIDDLES = (3, 10, 40)  # where a segment's weights hold as learned
USERS_JUDGED = 2000
ENOUGH_USERS = 50  # with a hit among the candidates; fewer share the weights of all segments
CANDIDATES = 40  # of each model's best
USERS_AT_ONCE = 64
DEPTH = 10
ROUNDS, ENOUGH_GAIN = 4, 1e-4
SHARES = (
    0.0,
    0.02,
    0.05,
    0.1,
    0.2,
    0.35,
    0.5,
    0.7,
    0.85,
)  # of one model, tried while the others keep their ratio

Scorer = Callable[[Int32], list[Float32]]


def segment_of(lengths: npt.NDArray[Any]) -> Int32:
    """Give the position in SEGMENTS of shoppers with so many items in their history."""
    return np.searchsorted(SEGMENT_STARTS, lengths, side="right").astype(np.int32)


def hold_out(
    matrix: sp.csr_matrix, share: float, times: Int64 | None, seed: int
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Divide into what to learn from and what to test on, both (n_users, n_items).

    Of at most USERS_JUDGED shoppers, alike many of each segment where there are, a share of the items, one at
    least, is held out: the latest if times are known, or any. Who has one item keeps it.
    """
    rng = np.random.default_rng(seed)
    lengths = np.diff(matrix.indptr)
    held = np.where(lengths > 1, np.clip(np.rint(share * lengths), 1, None), 0).astype(np.int64)
    judged = _choose_users(rng, segment_of(lengths - held), held > 0)
    held[np.setdiff1d(np.arange(len(held)), judged)] = 0
    stored = [np.arange(matrix.indptr[user], matrix.indptr[user + 1]) for user in judged]
    entries = np.concatenate([np.empty(0, np.int64), *stored])
    users = np.repeat(np.arange(len(judged)), lengths[judged])
    moments = np.zeros(len(entries)) if times is None else times[entries]
    order = np.lexsort((rng.random(len(entries)), moments, users))
    from_end = np.cumsum(lengths[judged])[users] - np.arange(len(entries))  # 1 = a user's last
    is_held = np.zeros(matrix.nnz, bool)
    is_held[entries[order]] = from_end <= held[judged][users]

    def part(kept: npt.NDArray[np.bool_], counts: npt.NDArray[Any]) -> sp.csr_matrix:
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)

    return part(~is_held, lengths - held), part(is_held, held)


def _choose_users(rng: np.random.Generator, segments: Int32, usable: npt.NDArray[np.bool_]) -> Int64:
    """Draw up to USERS_JUDGED usable users, from the segments in turn."""
    order = rng.permutation(np.flatnonzero(usable))
    turn = np.empty(len(order), np.int64)
    for segment in range(len(SEGMENTS)):
        mine = segments[order] == segment
        turn[mine] = np.arange(mine.sum())
    return np.sort(order[np.argsort(turn, kind="stable")[:USERS_JUDGED]])


@dataclass(frozen=True)
class Candidates:
    """What each of n shoppers could be shown. features: (n, c, models) scaled scores, 0 where there is none;
    hits: (n, c) chosen indeed; there: (n, c) a candidate, not a repetition; lengths, relevant: (n,) items
    in the history, choices held out.
    """

    features: Float32
    hits: npt.NDArray[np.bool_]
    there: npt.NDArray[np.bool_]
    lengths: Int32
    relevant: Int32

    def of(self, kept: npt.NDArray[Any]) -> "Candidates":
        return Candidates(
            self.features[kept], self.hits[kept], self.there[kept], self.lengths[kept], self.relevant[kept]
        )

    def ndcg(self, weights: npt.NDArray[Any]) -> float:
        """Rank each shopper's candidates by the blend and measure the mean NDCG@10."""
        scores = np.where(self.there, self.features @ weights.astype(np.float32), -np.inf).astype(np.float32)
        order, _ = top_k(np.ascontiguousarray(scores), DEPTH)
        hits = np.take_along_axis(self.hits, np.maximum(order, 0), axis=1) & (order >= 0)
        return float(per_user_metrics(hits, self.relevant, (DEPTH,))[f"ndcg@{DEPTH}"].mean(dtype=np.float64))


def find_candidates(scorer: Scorer, train: sp.csr_matrix, test: sp.csr_matrix) -> Candidates:
    """Gather each model's best items for every shopper of `test`, what she has in `train` left out.

    scorer: gives one (n, n_items) array a model for n positions of users; all scores finite.
    """
    users = np.flatnonzero(np.diff(test.indptr)).astype(np.int32)
    k = min(CANDIDATES, train.shape[1])
    features, items = [], []
    for start in range(0, len(users), USERS_AT_ONCE):
        block = users[start : start + USERS_AT_ONCE]
        scores = scorer(block)
        seen = train[block]
        listed = []
        for each in scores:
            open_scores = each.copy()
            mask(open_scores, seen.indptr, seen.indices, 0)
            listed.append(top_k(open_scores, k)[0])
        together = np.sort(np.concatenate(listed, axis=1), axis=1)
        items.append(together)
        at = np.maximum(together, 0)
        features.append(np.stack([np.take_along_axis(each, at, axis=1) for each in scores], axis=2))
    every = np.concatenate(items)
    there = every >= 0
    there[:, 1:] &= every[:, 1:] != every[:, :-1]
    hits = find_hits(every, test[users]) & there
    lengths, relevant = (np.diff(part.indptr)[users].astype(np.int32) for part in (train, test))
    return Candidates(np.concatenate(features), hits, there, lengths, relevant)


def learn_weights(found: Candidates, fallback: Sequence[float]) -> Float32:
    """Choose each segment's weights of the models, (segments, models), rows of sum 1.

    A segment of fewer than ENOUGH_USERS shoppers with a hit has the weights of all together; if all
    together are too few, every segment has `fallback`.
    """
    segments = segment_of(found.lengths)
    pooled = _best(found, np.asarray(fallback, np.float64), [])
    return np.stack([
        _best(found.of(segments == each), pooled, [pooled]) for each in range(len(SEGMENTS))
    ]).astype(np.float32)  # fmt: skip


def _best(
    found: Candidates, otherwise: npt.NDArray[Any], others: Sequence[npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """Climb from what ranks best: one model alone, all alike, or one of the others."""
    found = found.of(np.flatnonzero(found.hits.any(axis=1)))  # without a hit no weights help
    n = len(otherwise)
    if len(found.lengths) < ENOUGH_USERS:
        return otherwise
    tried = [*others, np.full(n, 1 / n), *np.eye(n)]
    quality = [found.ndcg(weights) for weights in tried]
    best = int(np.argmax(quality))
    return _climb(found, tried[best], quality[best])


def _climb(found: Candidates, weights: npt.NDArray[Any], quality: float) -> npt.NDArray[Any]:
    """Change one weight at a time as long as NDCG grows."""
    for _ in range(ROUNDS):
        before = quality
        for model in range(len(weights)):
            for share in SHARES:
                rest = np.delete(weights, model).sum()
                if rest == 0:
                    continue
                changed = weights * (1 - share) / rest
                changed[model] = share
                gained = found.ndcg(changed)
                if gained > quality:
                    weights, quality = changed, gained
        if quality - before < ENOUGH_GAIN:
            break
    return weights
