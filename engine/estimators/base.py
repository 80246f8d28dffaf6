"""The contract of a recommender: what every file beside this one implements.

A user is known either by position in the matrix that was fitted, or by a `UserState` that `fold_in`
made of a row of interactions; `recommend` and `score` take both. A new estimator writes the methods
marked abstract and passes `engine.testing.EstimatorContract`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import ThreadpoolController

from engine.interactions import Float32, Int32, Int64
from engine.items import ItemFacts
from engine.parameters import (
    ConfigError,
    Parameter,
    Settings,
    config_fields,
    make_config,
    option,
    values_option,
)
from engine.topk import empty_heaps, finish, mask, offer

__all__ = [
    "FAMILIES", "ConfigError", "Context", "Estimate", "Estimator", "Explanation", "Parameter", "Progress",
    "ProgressCallback", "Recommendations", "Settings", "UserState", "config_fields", "make_config", "option",
    "values_option",
]  # fmt: skip

Arrays = dict[str, npt.NDArray[Any]]
Positions = npt.NDArray[np.integer]
SCORES_AT_ONCE = 4_000_000  # float32 scores a thread holds while it ranks: 16 MB
LEFT_OUT = 50  # items of a long history that an explanation by losses leaves out in turn
BLAS = ThreadpoolController()
# What an algorithm rests on, in the order and by the title in which a page groups them.
FAMILIES = {
    "popular": "Best sellers",
    "neighbours": "Neighbours",
    "factors": "Factors",
    "content": "Content",
    "more": "Blends and more",
}


@dataclass(frozen=True)
class Context:
    """What is known beside the matrix; None where the shop does not know it.

    times: (nnz,) int64, seconds since 1970 UTC, one a stored entry in the matrix's order (row by row);
    items: text, category and price of each item, in the order of the columns.
    """

    times: Int64 | None = None
    items: ItemFacts | None = None


NO_CONTEXT = Context()


@dataclass(frozen=True)
class Hidden:
    """What is left out of lists: of the i-th asked user's what row i of a CSR lists, and something of all."""

    indptr: Int32 | None
    indices: Int32
    everywhere: Positions | None

    @classmethod
    def of(cls, seen: sp.csr_matrix | None, everywhere: Positions | None, start: int, stop: int) -> Self:
        """Take the rows start..stop of a CSR."""
        if seen is None:
            return cls(None, np.empty(0, np.int32), everywhere)
        first, last = seen.indptr[start], seen.indptr[stop]
        indptr = (seen.indptr[start : stop + 1] - first).astype(np.int32)
        return cls(indptr, seen.indices[first:last].astype(np.int32, copy=False), everywhere)


@dataclass(frozen=True)
class Progress:
    """Where a long computation is; loss is None where an algorithm minimises nothing."""

    stage: str
    done: int
    total: int
    message: str = ""
    loss: float | None = None


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True)
class Recommendations:
    """The best items of some rows: items (n, k) int32, -1 = none; scores (n, k) float32, -inf = none."""

    items: Int32
    scores: Float32

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class UserState:
    """What an estimator knows of some users, one row each: factors (n, d) or a CSR of weights.

    parts: the states of the estimators that this one asks in turn, over the same users; mostly none.
    """

    rows: Float32 | sp.csr_matrix
    parts: tuple["UserState", ...] = ()

    def __len__(self) -> int:
        return int(self.rows.shape[0])


@dataclass(frozen=True)
class Explanation:
    """Why an item was recommended: the items of the user's history and what each adds to the score.

    items: (n,) int32, strongest first; contributions: (n,) float32, above zero, in units of the score. When
    no item of the history raises it, both are empty and `note` says what the score rests on.
    """

    score: float
    items: Int32
    contributions: Float32
    note: str = ""

    def strongest(self, k: int) -> "Explanation":
        """Keep the k largest parts above zero, and the note only where there is none."""
        order = np.argsort(-self.contributions, kind="stable")[:k]
        order = order[self.contributions[order] > 0]
        items, parts = self.items[order], self.contributions[order]
        return Explanation(self.score, items, parts, "" if len(order) else self.note)


@dataclass(frozen=True)
class Estimate:
    """What a fit will cost: peak memory beside the matrix, and time on one ordinary machine."""

    memory_bytes: int
    seconds: float


class Estimator(ABC):
    """Base of every recommender. Learned arrays end in `_`; `fit` always starts afresh.

    needs: which fields of the context `fit` cannot do without ("times", "items").
    predicts_values: whether `score` is in the unit of the file's values, so that RMSE has a meaning.
    family: what it rests on, a key of FAMILIES; decides when data is enough for it (engine.readiness).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    when_to_use: ClassVar[str]
    Config: ClassVar[type[Settings]]
    needs: ClassVar[frozenset[str]] = frozenset()
    predicts_values: ClassVar[bool] = False
    family: ClassVar[str] = "more"

    n_users_: int
    n_items_: int

    def __init__(self, config: Settings | None = None, *, seed: int = 0, threads: int = 2) -> None:
        self.config = self.Config() if config is None else config
        if not isinstance(self.config, self.Config):
            raise TypeError(f"{self.name} needs its own Config, not {type(self.config).__qualname__}")
        self.seed, self.threads = seed, threads

    @property
    def reads_values(self) -> bool:
        """Whether folding in and explaining depend on a history's values, so that serving must keep them."""
        return getattr(self.config, "values", "ignore") != "ignore"

    # Learn -------------------------------------------------------------------------------------

    def fit(
        self,
        matrix: sp.csr_matrix,
        *,
        context: Context = NO_CONTEXT,
        progress: ProgressCallback | None = None,
    ) -> Self:
        """Learn from (n_users, n_items) interactions; the same seed and threads give the same model.

        progress is called between iterations and may raise to cancel: the exception passes through.
        Raises ValueError when the matrix is empty or holds a value that is not finite, when the context
        lacks what the algorithm needs, or does not fit the matrix.
        """
        checked = check_matrix(matrix)
        self._check_context(checked, context)
        self.n_users_, self.n_items_ = checked.shape
        self._fit(checked, context, progress or (lambda _: None))
        return self

    @abstractmethod
    def _fit(self, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> None: ...

    @classmethod
    @abstractmethod
    def estimate(cls, config: Settings, n_users: int, n_items: int, n_interactions: int) -> Estimate:
        """Predict what `fit` will cost, before it starts."""

    @classmethod
    def too_large(cls, config: Settings, n_items: int) -> str:
        """Say why it refuses a catalogue of this size and what to do instead; "" when it does not."""
        return ""

    # Users -------------------------------------------------------------------------------------

    @abstractmethod
    def user_state(self, users: Positions) -> UserState:
        """Look up fitted users by position."""

    @abstractmethod
    def fold_in(self, rows: sp.csr_matrix) -> UserState:
        """Make (n, n_items) rows of interactions of new or returning users ready for `recommend`."""

    # Answer ------------------------------------------------------------------------------------

    def recommend(
        self,
        users: Positions | UserState,
        k: int = 10,
        *,
        seen: sp.csr_matrix | None = None,
        exclude: Positions | None = None,
    ) -> Recommendations:
        """Rank all items for each user and keep the k best; ties go to the lower position.

        seen: one row an asked user, (len(users), n_items): items left out of that user's list.
        exclude: positions of items left out of every list.
        """
        check_k(k)
        state = self._state(users)
        keys, items = empty_heaps(len(state), k)
        if seen is not None and seen.shape != (len(state), self.n_items_):
            raise ValueError(f"seen must have shape {(len(state), self.n_items_)}, not {seen.shape}")

        def rank(start: int, stop: int) -> None:
            hidden = Hidden.of(seen, exclude, start, stop)
            self._rank(state, start, stop, hidden, keys[start:stop], items[start:stop])
            finish(keys[start:stop], items[start:stop])

        in_blocks(rank, len(state), self._rows_at_once(), self.threads)
        return Recommendations(items, keys.view(np.float32))

    def _rank(
        self, state: UserState, start: int, stop: int, hidden: Hidden, keys: Int32, items: Int32
    ) -> None:
        """Fill the heaps, (stop - start, k), of the asked users start..stop with their best items."""
        scores = self._block_scores(state, start, stop)
        if hidden.indptr is not None:
            mask(scores, hidden.indptr, hidden.indices, 0)
        if hidden.everywhere is not None:
            scores[:, hidden.everywhere] = -np.inf
        offer(scores.view(np.int32), None, np.arange(len(scores), dtype=np.int32), keys, items)

    def _rows_at_once(self) -> int:
        """Say how many users a thread ranks together."""
        return max(1, min(256, SCORES_AT_ONCE // self.n_items_))

    def score(self, users: Positions | UserState, items: Positions) -> Float32:
        """Score pairs: the i-th user with the i-th item, (n,) float32, as `recommend` would."""
        state = self._state(users)
        if len(items) != len(state):
            raise ValueError(f"{len(state)} users but {len(items)} items: score takes pairs")
        return self._pair_scores(state, self._checked(items, self.n_items_, "item"))

    def similar_items(self, items: Positions, k: int = 10) -> Recommendations:
        """Find the k items most like each item, itself left out."""
        return self._similar_items(self._checked(items, self.n_items_, "item"), check_k(k))

    def similar_users(self, users: Positions, k: int = 10) -> Recommendations:
        """Find the k users most like each user, the user left out; `items` then holds users."""
        return self._similar_users(self._checked(users, self.n_users_, "user"), check_k(k))

    @abstractmethod
    def _similar_items(self, items: Int32, k: int) -> Recommendations: ...

    @abstractmethod
    def _similar_users(self, users: Int32, k: int) -> Recommendations: ...

    def explain(self, row: sp.csr_matrix, item: int, k: int = 5) -> Explanation:
        """Say which items of a (1, n_items) history row raise the score of `item` most."""
        self._check_width(row)
        self._checked(np.array([item]), self.n_items_, "item")
        return self._parts(check_matrix(row), item).strongest(k)

    @abstractmethod
    def _parts(self, history: sp.csr_matrix, item: int) -> Explanation:
        """Give what each item of the history adds to the score, in any order, also what lowers it.

        note: what to say when nothing raises it.
        """

    def _losses(
        self, history: sp.csr_matrix, item: int, note: str, tried: Positions | None = None
    ) -> Explanation:
        """Give, as `_parts` does, by how much the score would fall without each item of the history.

        These parts are exact, one by one; they do not add up to the score. tried: places in the history to
        leave out in turn; all of it unless given, which takes as many times a fold-in.
        """
        n = history.nnz
        score = self.score(self.fold_in(history), np.array([item]))[0]
        if n == 0:
            return Explanation(float(score), np.empty(0, np.int32), np.empty(0, np.float32), note)
        tried = np.arange(n) if tried is None else tried
        kept = np.arange(n) != tried[:, None]
        indices, values = (
            np.broadcast_to(each, kept.shape)[kept] for each in (history.indices, history.data)
        )
        starts = np.arange(len(tried) + 1) * (n - 1)
        without = sp.csr_matrix((values, indices, starts), shape=(len(tried), self.n_items_))
        left = self.score(self.fold_in(without), np.full(len(tried), item, np.int32))
        return Explanation(float(score), history.indices[tried], score - left, note)

    @abstractmethod
    def _block_scores(self, state: UserState, start: int, stop: int) -> Float32:
        """Score all items for users start..stop: (stop - start, n_items), C-contiguous, free to change."""

    @abstractmethod
    def _pair_scores(self, state: UserState, items: Int32) -> Float32: ...

    # Keep --------------------------------------------------------------------------------------

    @abstractmethod
    def arrays(self) -> Arrays:
        """Give the learned arrays by name, all that `from_arrays` needs."""

    @abstractmethod
    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what `arrays` gave; raise ValueError when shapes or positions cannot be right."""

    @classmethod
    def from_arrays(
        cls,
        config: Settings,
        arrays: Mapping[str, npt.NDArray[Any]],
        *,
        n_users: int,
        n_items: int,
        seed: int = 0,
        threads: int = 2,
    ) -> Self:
        """Rebuild a fitted estimator without copying; raises ValueError when the arrays do not fit."""
        fitted = cls(config, seed=seed, threads=threads)
        fitted.n_users_, fitted.n_items_ = n_users, n_items
        try:
            fitted._restore(arrays)
        except KeyError as missing:
            raise ValueError(f"{cls.name} needs the array {missing}") from None
        return fitted

    # Shared by estimators ----------------------------------------------------------------------

    def _check_context(self, matrix: sp.csr_matrix, context: Context) -> None:
        if "items" in self.needs and context.items is None:
            raise ValueError(f"{self.title} needs facts of the items; add an item file with titles.")
        if "times" in self.needs and context.times is None:
            raise ValueError(f"{self.title} needs to know when; the file has no times.")
        if context.items is not None and len(context.items) != matrix.shape[1]:
            raise ValueError(f"{len(context.items)} item facts for {matrix.shape[1]} items")
        if context.times is not None and len(context.times) != matrix.nnz:
            raise ValueError(f"{len(context.times)} times for {matrix.nnz} interactions")

    def _state(self, users: Positions | UserState) -> UserState:
        return (
            users
            if isinstance(users, UserState)
            else self.user_state(self._checked(users, self.n_users_, "user"))
        )

    def _check_width(self, rows: sp.csr_matrix) -> None:
        if rows.shape[1] != self.n_items_:
            raise ValueError(f"rows must have {self.n_items_} columns, not {rows.shape[1]}")

    @staticmethod
    def _checked(positions: Positions, count: int, what: str) -> Int32:
        asked = np.atleast_1d(np.asarray(positions, np.int32))
        if len(asked) and not 0 <= int(asked.min()) <= int(asked.max()) < count:
            raise ValueError(f"{what} positions go from 0 to {count - 1}")
        return asked


def check_k(k: int) -> int:
    """Give k; raise ValueError when no list can be that long."""
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return k


def check_matrix(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Give a float32 CSR with sorted indices and no duplicates; raise ValueError when unusable."""
    csr = sp.csr_matrix(matrix, dtype=np.float32)
    if 0 in csr.shape:
        raise ValueError(
            f"needs at least one user and one item; the matrix is {csr.shape[0]} × {csr.shape[1]}"
        )
    if not np.isfinite(csr.data).all():
        raise ValueError("every interaction needs a finite value")
    if not csr.has_canonical_format:
        csr = csr.copy() if csr is matrix else csr
        csr.sum_duplicates()
    return csr


def in_blocks(
    work: Callable[[int, int], None],
    n: int,
    size: int,
    threads: int,
    after: Callable[[int], None] = lambda rows_done: None,
) -> None:
    """Call work(start, stop) over blocks of rows, on up to `threads` threads of one BLAS thread each.

    after is called in order, on the calling thread, with the rows done so far; what it raises stops the rest.
    """
    starts = range(0, n, size)
    if len(starts) <= 1 or threads == 1:
        for start in starts:
            work(start, min(n, start + size))
            after(min(n, start + size))
        return
    pool = ThreadPoolExecutor(min(threads, len(starts)))
    try:
        with BLAS.limit(limits=1, user_api="blas"):
            finished = pool.map(lambda start: work(start, min(n, start + size)), starts)
            for start, _ in zip(starts, finished, strict=True):
                after(min(n, start + size))
    finally:
        pool.shutdown(cancel_futures=True)
