"""Hybrid: several models blended, with weights learned for new, light and heavy shoppers.

Burke 2002, "Hybrid recommender systems" (weighted hybrid). The models are fitted twice: on a part, where
`blending` learns the weights on what was held out, and on everything. A score is a sum of the models' scores,
each divided by its usual size; the divisor is one number a model, not one a shopper, so that a reason of
one model is a reason of the blend, and taking it away lowers the blended score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.als import ALS, ALSConfig
from engine.estimators.base import (
    BLAS,
    Arrays,
    Context,
    Estimate,
    Estimator,
    Explanation,
    Positions,
    Progress,
    ProgressCallback,
    Recommendations,
    Settings,
    UserState,
    check_matrix,
    option,
    values_option,
)
from engine.estimators.blending import (
    CANDIDATES,
    SEGMENT_MIDDLES,
    SEGMENTS,
    USERS_JUDGED,
    find_candidates,
    hold_out,
    learn_weights,
    segment_of,
)
from engine.estimators.content import Content, ContentConfig
from engine.estimators.factors import restored_array
from engine.estimators.item_graph import ItemGraph, ItemGraphConfig
from engine.estimators.item_knn import ItemKNN, ItemKNNConfig
from engine.estimators.likeness import rank_alike
from engine.estimators.popularity import Popularity
from engine.interactions import Float32, Int32

FLOOR = 0.02  # of each weight: popularity and content alone know what to do without history, with new items
SIZED_BY = 500  # shoppers whose scores say how large a model's scores are
LIKE_LIST, LIKE_OFFSET = 50, 60  # of reciprocal rank fusion


@dataclass(frozen=True)
class HybridConfig(Settings):
    factors: int = option(
        64,
        title="Factors of ALS",
        help="How many numbers describe a shopper or an item. More catch finer tastes and need more data.",
        minimum=8,
        maximum=1024,
        step=8,
        search=(16, 256),
        log=True,
    )
    likeness: str = option(
        "item_knn",
        title="Model of like items",
        help="Which of the models of item neighbours is blended with ALS.",
        choices=(("item_knn", "Item neighbours"), ("item_graph", "Item graph")),
    )
    neighbours: int = option(
        100,
        title="Neighbours of an item",
        help="How many similar items are kept an item. More reach further and need more memory.",
        minimum=1,
        maximum=2000,
        step=10,
        search=(20, 500),
        log=True,
    )
    content: bool = option(
        True,
        title="Use titles, categories and prices",
        help="Where an item file is there: reaches items that nobody has bought yet.",
        search=False,
    )
    held_out: float = option(
        0.2,
        title="Share held out to learn the blend",
        help="The part of some shoppers' history on which the weights of the models are learned.",
        minimum=0.05,
        maximum=0.5,
        step=0.05,
    )
    values: str = values_option()


class Hybrid(Estimator):
    """sources_: the fitted models by name; weights_: (segments, sources) float32, rows of sum 1; sizes_:
    (sources,) float32, what each model's scores are divided by; shares_: (segments, sources) float32, the
    mean share of each source in the lists of the fit's shoppers; lengths_: (n_users,) int32, items each had.
    """

    name = "hybrid"
    title = "Hybrid (several models blended)"
    when_to_use = (
        "When shoppers of long and short histories and new items must all be served well: learns which "
        "model to trust for whom, and takes twice the time of its models and some seconds."
    )
    Config = HybridConfig

    sources_: dict[str, Estimator]
    weights_: Float32
    sizes_: Float32
    shares_: Float32
    lengths_: Int32

    @property
    def settings(self) -> HybridConfig:
        return cast(HybridConfig, self.config)

    def _make_sources(self, with_content: bool) -> dict[str, Estimator]:
        kinds = source_kinds(self.settings, with_content)
        return {kind.name: kind(config, seed=self.seed, threads=self.threads) for kind, config in kinds}

    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None:
        with_content = self.settings.content and context.items is not None
        items = Context(items=context.items)
        train, test = hold_out(matrix, self.settings.held_out, context.times, self.seed)
        n_steps = 2 * len(self._make_sources(with_content)) + 1
        self.sources_ = self._fit_sources(train, items, with_content, progress, 0, n_steps)
        self.lengths_ = np.diff(train.indptr).astype(np.int32)
        self.sizes_ = self._measure_sizes()
        self.weights_ = np.full((len(SEGMENTS), len(self.sources_)), 1 / len(self.sources_), np.float32)
        if test.nnz:
            with BLAS.limit(limits=1, user_api="blas"):
                found = find_candidates(self._scaled_scores, train, test)
            self.weights_ = self._with_floor(learn_weights(found, self.weights_[0].tolist()))
            del found
        del train, test
        progress(Progress("fit", 1000 * (n_steps // 2 + 1), 1000 * n_steps, "Weights"))
        self.sources_ = {}
        self.sources_ = self._fit_sources(matrix, items, with_content, progress, n_steps // 2 + 1, n_steps)
        self.lengths_ = np.diff(matrix.indptr).astype(np.int32)
        self.sizes_ = self._measure_sizes()
        self.shares_ = self._mean_shares(matrix)

    def _fit_sources(
        self,
        matrix: sp.csr_matrix,
        context: Context,
        with_content: bool,
        progress: ProgressCallback,
        first: int,
        n_steps: int,
    ) -> dict[str, Estimator]:
        sources = self._make_sources(with_content)
        for step, source in enumerate(sources.values(), first):

            def follow(report: Progress, step: int = step, title: str = source.title) -> None:
                done = 1000 * step + 1000 * report.done // max(report.total, 1)
                progress(Progress("fit", done, 1000 * n_steps, f"{title}: {report.message}", report.loss))

            source.fit(matrix, context=context, progress=follow)
        return sources

    @staticmethod
    def _with_floor(weights: Float32) -> Float32:
        weights = np.maximum(weights, FLOOR)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)

    def _measure_sizes(self) -> Float32:
        """Measure each source's scores: the root of their mean square over some shoppers and all items."""
        rng = np.random.default_rng(self.seed)
        chosen = np.sort(rng.permutation(self.n_users_)[:SIZED_BY]).astype(np.int32)
        squares = np.zeros(len(self.sources_))
        with BLAS.limit(limits=1, user_api="blas"):
            for start in range(0, len(chosen), 64):
                for at, (name, source) in enumerate(self.sources_.items()):
                    state = source.user_state(chosen[start : start + 64])
                    scores = plain_scores(name, source._block_scores(state, 0, len(state)))
                    squares[at] += np.square(scores, dtype=np.float64).sum()
        sizes = np.sqrt(squares / (len(chosen) * self.n_items_))
        return np.where(sizes > 0, sizes, 1).astype(np.float32)

    def _scaled_scores(self, users: Int32) -> list[Float32]:
        found = []
        for size, (name, source) in zip(self.sizes_, self.sources_.items(), strict=True):
            scores = source._block_scores(source.user_state(users), 0, len(users))
            found.append(plain_scores(name, scores) / size)
        return found

    @classmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        """An item file is assumed if the config would use one."""
        c = cast(HybridConfig, config)
        kinds = source_kinds(c, c.content)
        each = [kind.estimate(own, n_users, n_items, n_interactions) for kind, own in kinds]
        judged = min(n_users, USERS_JUDGED)
        factors = 4 * c.factors * (n_users + n_items)
        kept = factors + 4 * n_interactions + 8 * n_items * min(c.neighbours, n_items)
        kept += 140 * n_items if c.content else 0
        candidates = 50 * judged * len(kinds) * min(CANDIDATES, n_items)
        fitting = max(each[0].memory_bytes, factors + max(part.memory_bytes for part in each[1:]))
        memory = 9 * n_interactions + max(fitting, kept + candidates + 256 * n_items * len(kinds))
        scored = (judged + 2 * SIZED_BY) * n_items * len(kinds)
        return Estimate(memory, 2 * sum(part.seconds for part in each) + 8e-9 * scored + 3e-4 * judged)

    # Users -------------------------------------------------------------------------------------

    def user_state(self, users: Positions) -> UserState:
        parts = tuple(source.user_state(users) for source in self.sources_.values())
        return UserState(self._weights_of(self.lengths_[users]), parts)

    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Fold the rows into every source; the weights are those of histories so long."""
        self._check_width(rows)
        checked = check_matrix(rows)
        parts = tuple(source.fold_in(checked) for source in self.sources_.values())
        return UserState(self._weights_of(np.diff(checked.indptr)), parts)

    def _weights_of(self, lengths: npt.NDArray[Any]) -> Float32:
        """Give what each source's score is multiplied with, (n, sources).

        From the middle of one segment to that of the next the weights pass geometrically. The scale of a
        segment is free, as it changes no order: each is scaled so far down that none of its weights is above
        that of a longer history. So a reason taken away lowers the score at the edge of a segment too.
        """
        rows = self.weights_.astype(np.float64)
        for shorter in range(len(rows) - 2, -1, -1):
            rows[shorter] *= (rows[shorter + 1] / rows[shorter]).min()
        place = np.interp(np.log(np.maximum(lengths, 1)), np.log(SEGMENT_MIDDLES), np.arange(len(rows)))
        lower = np.minimum(place.astype(np.int32), len(rows) - 2)
        above = (place - lower)[:, None]
        mixed = rows[lower] ** (1 - above) * rows[lower + 1] ** above
        return np.asarray(mixed / self.sizes_, np.float32)

    # Answer ------------------------------------------------------------------------------------

    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        scores = np.zeros((stop - start, self.n_items_), np.float32)
        weights = np.asarray(state.rows)[start:stop]
        for at, (name, source) in enumerate(self.sources_.items()):
            if weights[:, at].any():
                part = plain_scores(name, source._block_scores(state.parts[at], start, stop))
                part *= weights[:, at, None]
                scores += part
        return scores

    def _pair_scores(self, state: UserState, items: Int32) -> Float32:
        return np.asarray(self._pair_parts(state, items).sum(axis=1), np.float32)

    def _pair_parts(self, state: UserState, items: Int32) -> Float32:
        """Give what each source adds to the score of each pair, (n, sources)."""
        parts = [
            plain_scores(name, source._pair_scores(part, items))
            for (name, source), part in zip(self.sources_.items(), state.parts, strict=True)
        ]
        return np.asarray(np.stack(parts, axis=1) * np.asarray(state.rows), np.float32)

    def source_shares(
        self, users: Positions | UserState, k: int = 10, *, seen: sp.csr_matrix | None = None
    ) -> dict[str, Float32]:
        """Say which share of the scores in each user's k best each source contributes.

        seen: as in `recommend`. Returns (n,) float32 a source; a user's shares add up to 1, or are all 0
        when nothing speaks for her list. What speaks against an item counts as nothing.
        """
        state = self._state(users)
        listed = self.recommend(state, k, seen=seen).items
        sums = np.zeros((len(state), len(self.sources_)), np.float32)
        for place in range(k):
            parts = np.maximum(self._pair_parts(state, np.maximum(listed[:, place], 0)), 0)
            sums += parts * (listed[:, place, None] >= 0)
        totals = sums.sum(axis=1, keepdims=True)
        shares = sums / np.where(totals > 0, totals, 1)
        return dict(zip(self.sources_, shares.T, strict=True))

    def _mean_shares(self, matrix: sp.csr_matrix) -> Float32:
        """Average the shares of some of each segment's shoppers; a segment without any has zeros."""
        means = np.zeros_like(self.weights_)
        order = np.random.default_rng(self.seed).permutation(self.n_users_)
        segments = segment_of(self.lengths_)
        for segment in range(len(SEGMENTS)):
            users = np.sort(order[segments[order] == segment][:100]).astype(np.int32)
            if len(users):
                found = self.source_shares(users, seen=matrix[users])
                means[segment] = [shares.mean() for shares in found.values()]
        return means

    def _similar_items(self, items: Int32, k: int) -> Recommendations:
        """Merge the sources' lists by rank (reciprocal rank fusion: Cormack, Clarke & Buettcher 2009)."""
        lists = [each._similar_items(items, max(k, LIKE_LIST)) for each in self._tastes()]
        return self._merge(lists, items, self.n_items_, k)

    def _similar_users(self, users: Int32, k: int) -> Recommendations:
        """Merge the sources' lists by rank, as `similar_items` does."""
        lists = [each._similar_users(users, max(k, LIKE_LIST)) for each in self._tastes()]
        return self._merge(lists, users, self.n_users_, k)

    def _tastes(self) -> list[Estimator]:
        return [source for name, source in self.sources_.items() if name != "popularity"]

    def _merge(self, lists: list[Recommendations], asked: Int32, n: int, k: int) -> Recommendations:
        def score(start: int, stop: int) -> Float32:
            scores = np.full((stop - start, n), -np.inf, np.float32)
            for found in lists:
                listed = found.items[start:stop]
                rows, places = np.nonzero(listed >= 0)
                at = rows, listed[rows, places]
                scores[at] = np.maximum(scores[at], 0) + 1 / np.float32(LIKE_OFFSET + 1 + places)
            return scores

        return rank_alike(score, asked, n, k, self.threads)

    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Add up the sources' explanations, each weighted as in the score."""
        weights = self._weights_of(np.diff(history.indptr))[0]
        parts = np.zeros(self.n_items_)
        score = 0.0
        for weight, (name, source) in zip(weights, self.sources_.items(), strict=True):
            found = source._parts(history, item)
            score += float(weight) * float(plain_scores(name, np.array([found.score], np.float32))[0])
            parts[found.items] += weight * found.contributions
        note = "Popular with everyone; the shopper's own history has no part in it."
        return Explanation(score, history.indices, parts[history.indices].astype(np.float32), note)

    # Keep --------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        own: Arrays = {
            "weights": self.weights_, "sizes": self.sizes_, "shares": self.shares_, "lengths": self.lengths_,
        }  # fmt: skip
        for name, source in self.sources_.items():
            own |= {f"{name}_{member}": array for member, array in source.arrays().items()}
        return own

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        with_content = self.settings.content and any(name.startswith("content_") for name in arrays)
        self.sources_ = {}
        for kind, config in source_kinds(self.settings, with_content):
            prefix = f"{kind.name}_"
            own = {
                name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)
            }
            shape = {"n_users": self.n_users_, "n_items": self.n_items_}
            self.sources_[kind.name] = kind.from_arrays(
                config, own, seed=self.seed, threads=self.threads, **shape
            )
        table = (len(SEGMENTS), len(self.sources_))
        self.weights_ = restored_array(arrays, "weights", table)
        if not (self.weights_ > 0).all():
            raise ValueError("weights must be above 0")
        self.sizes_ = restored_array(arrays, "sizes", table[1:])
        self.shares_ = restored_array(arrays, "shares", table)
        self.lengths_ = arrays["lengths"]
        if self.lengths_.shape != (self.n_users_,) or self.lengths_.dtype != np.int32:
            raise ValueError(f"lengths must be one int32 for each of {self.n_users_} users")


def source_kinds(c: HybridConfig, with_content: bool) -> list[tuple[type[Estimator], Settings]]:
    """List the models that a config blends, with their own configs."""
    kinds: list[tuple[type[Estimator], Settings]] = [(ALS, ALSConfig(factors=c.factors, values=c.values))]
    if c.likeness == "item_graph":
        kinds.append((ItemGraph, ItemGraphConfig(neighbours=c.neighbours)))
    else:
        kinds.append((ItemKNN, ItemKNNConfig(neighbours=c.neighbours, values=c.values)))
    if with_content:
        kinds.append((Content, ContentConfig(values=c.values)))
    return [*kinds, (Popularity, Popularity.Config())]


def plain_scores(name: str, scores: Float32) -> Float32:
    """Make a source's scores fit to be added: none counts 0, best sellers by the logarithm; in place."""
    if name == "popularity":
        return np.log1p(scores, out=scores)
    scores[~np.isfinite(scores)] = 0
    return scores
