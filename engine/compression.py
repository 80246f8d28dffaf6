"""Smaller variants of a fitted model, and what each costs in quality: size, latency, NDCG, shared lists.

A variant answers as any estimator does and is kept as an artifact; none can be trained.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from engine.estimators.base import BLAS, Estimator
from engine.estimators.compact_neighbours import compact
from engine.estimators.compressed_factors import compressed
from engine.estimators.factors import FactorModel
from engine.estimators.neighbours import NeighbourModel
from engine.estimators.number_storage import STORAGES
from engine.evaluation import Comparison, compare, evaluate
from engine.interactions import Float32
from engine.intervals import Interval
from engine.metrics import overlap
from engine.splitting import Split

STORED = ("float32", "float16")  # how neighbours are kept
HEADER_BYTES = 128  # of an `.npy` file with a short shape
UNTIMED = 5  # users asked first, while caches fill


@dataclass(frozen=True)
class Variant:
    """What to change: storage float32, float16 or int8; rank: how many numbers a row of factors keeps;
    neighbours: how many an item keeps. None: all of them."""

    storage: str = "float32"
    rank: int | None = None
    neighbours: int | None = None

    def __post_init__(self) -> None:
        if self.storage not in STORAGES:
            raise ValueError(f"storage must be one of {', '.join(STORAGES)}; got {self.storage!r}")
        for name in ("rank", "neighbours"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def text(self) -> str:
        """Write it as `read` takes it: "int8", "rank=32", "int8,rank=32"; "float32" is the original."""
        parts = [self.storage] if self.storage != "float32" else []
        parts += [f"{name}={getattr(self, name)}" for name in ("rank", "neighbours") if getattr(self, name)]
        return ",".join(parts) or "float32"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read "int8,rank=32"; raise ValueError, in words, when a part is none."""
        found: dict[str, Any] = {}
        for part in text.split(","):
            name, _, number = part.strip().partition("=")
            if name in ("rank", "neighbours") and number.isdecimal():
                found[name] = int(number)
            elif name in STORAGES and not number:
                found["storage"] = name
            else:
                raise ValueError(
                    f"write a variant as int8, rank=32 or float16,neighbours=50; {part!r} is none"
                )
        return cls(**found)


@dataclass(frozen=True)
class Measured:
    """One variant beside the original, on the same test users.

    size_bytes: of the model's own members in an artifact (ids and histories are the same for all);
    p50_ms, p99_ms: one user's list, on one thread; ndcg: NDCG@k with its interval;
    difference: to the original, paired by user; overlap: share of the original's k best, mean of users.
    """

    variant: Variant
    size_bytes: int
    p50_ms: float
    p99_ms: float
    ndcg: Interval
    difference: Comparison
    overlap: float

    def summary(self) -> dict[str, Any]:
        """Give plain values for JSON."""
        told = ("difference", "low", "high", "relative", "verdict")
        return {
            "variant": self.variant.text,
            **{name: getattr(self, name) for name in ("size_bytes", "p50_ms", "p99_ms", "overlap")},
            "ndcg": vars(self.ndcg),
            "difference": {name: getattr(self.difference, name) for name in told},
        }


def compress(model: Estimator, variant: Variant) -> Estimator:
    """Make the variant of a fitted model; the model stays as it is. Deterministic.

    Raises ValueError when the model has no such part to make smaller.
    """
    if variant == Variant():
        return model
    if isinstance(model, FactorModel):
        plain = type(model)._block_scores is FactorModel._block_scores
        if variant.neighbours or not plain:
            raise ValueError(f"{model.title} has no neighbours to leave out" if plain else _nothing(model))
        cuts = None
        if variant.rank and variant.rank < model.width:
            cuts = cut_rank(model.user_factors_, model.item_factors_, variant.rank)
        return compressed(type(model)).of(model, variant.storage, cuts)
    if isinstance(model, NeighbourModel):
        if variant.rank or variant.storage == "int8":
            raise ValueError(f"{model.title} can keep fewer neighbours, or float16 values; nothing else")
        kept = copy(model)
        if variant.neighbours:
            kept.similarity_ = prune(model.similarity_, variant.neighbours)
            known: dict[str, Any] = {
                each.name: getattr(model.config, each.name) for each in fields(model.config)
            }
            if "neighbours" in known:
                fewer = min(known["neighbours"], variant.neighbours)
                kept.config = replace(model.config, neighbours=fewer)  # type: ignore[call-arg]
        return compact(type(model)).of(kept) if variant.storage == "float16" else kept
    raise ValueError(_nothing(model))


def usual_variants(model: Estimator) -> list[Variant]:
    """List the variants worth trying first; raise ValueError when the model cannot be made smaller."""
    if isinstance(model, FactorModel) and type(model)._block_scores is FactorModel._block_scores:
        half = max(1, model.width // 2)
        return [Variant("float16"), Variant("int8"), Variant(rank=half), Variant("int8", rank=half)]
    if isinstance(model, NeighbourModel):
        most = int(np.diff(model.similarity_.indptr).max())
        fewer = [max(1, most // 2), max(1, most // 4)]
        return [Variant("float16"), *(Variant(storage, neighbours=n) for n in fewer for storage in STORED)]
    raise ValueError(_nothing(model))


def smallest_that_keeps(measured: Sequence[Measured], most_loss: float) -> Measured:
    """Choose the smallest variant of which the test users show that it loses at most this share of NDCG.

    measured: the original first. That is: the lower end of the difference's 95 % interval is above -most_loss
    times the original's NDCG. The original when there is no such variant.
    """
    floor = -most_loss * measured[0].ndcg.value
    kept = [each for each in measured if each.difference.low >= floor]
    return min(kept or measured[:1], key=lambda each: each.size_bytes)


def _nothing(model: Estimator) -> str:
    return f"{model.title} has no factors and no neighbours that could be made smaller"


def cut_rank(users: Float32, items: Float32, rank: int) -> tuple[Float32, Float32]:
    """Find (d, rank) matrices W, Z so that (users W)(items Z)ᵀ is the closest of that rank to users itemsᵀ.

    Closest in the sum of squared differences of all scores (Eckart & Young 1936), without ever making the
    scores: with QR factors users = Q R, items = P S and the small SVD R Sᵀ = A Σ Bᵀ, the scores are
    (Q A) Σ (P B)ᵀ, and W = Sᵀ B_r Σ_r^-½, Z = Rᵀ A_r Σ_r^-½ give (Q A_r) Σ_r^½ and (P B_r) Σ_r^½.
    Directions without any score become zeros. As WᵀZ = 1, rows come back by the other side's transpose.
    """
    r, s = (np.asarray(np.linalg.qr(side.astype(np.float64), mode="r")) for side in (users, items))
    left, strengths, right = np.linalg.svd(r @ s.T)
    kept = strengths[:rank]
    real = kept > strengths[:1].sum() * np.finfo(np.float32).eps
    weights = np.where(real, 1 / np.sqrt(np.where(real, kept, 1)), 0)
    width = len(weights)
    return (
        np.ascontiguousarray(s.T @ right[:width].T * weights, np.float32),
        np.ascontiguousarray(r.T @ left[:, :width] * weights, np.float32),
    )


def prune(similarity: sp.csr_matrix, neighbours: int) -> sp.csr_matrix:
    """Keep the strongest values of each row, in the order in which they stand; ties go to the first."""
    lengths = np.diff(similarity.indptr)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    by_strength = np.lexsort((-similarity.data, rows))  # stable: ties stay in order
    place = np.arange(len(rows)) - np.repeat(similarity.indptr[:-1], lengths)
    kept = np.sort(by_strength[place < neighbours])
    indptr = np.concatenate([[0], np.cumsum(np.minimum(lengths, neighbours))]).astype(np.int32)
    return sp.csr_matrix((similarity.data[kept], similarity.indices[kept], indptr), shape=similarity.shape)


def model_bytes(model: Estimator) -> int:
    """Count the bytes of a model's own members in an artifact."""
    return sum(array.nbytes + HEADER_BYTES for array in model.arrays().values())


def measure_variants(
    model: Estimator,
    variants: Sequence[Variant],
    split: Split,
    *,
    clock: Callable[[], float],
    k: int = 10,
    users: int = 200,
    seed: int = 0,
) -> list[Measured]:
    """Measure the original, then each variant, on one split. model: fitted on `split.train`.

    clock: seconds of a clock that only goes forward; the engine reads none itself. users: how many test
    users are asked one at a time for the latency; all models in turn, so that noise hits them alike.
    """
    asked = [Variant(), *(each for each in variants if each != Variant())]
    models = [compress(model, each) for each in asked]
    found = [evaluate(each, split, (k,), seed=seed) for each in models]
    latencies = _time_lists(models, split, clock, k, users, seed)
    metric = f"ndcg@{k}"
    measured = []
    for variant, each, judged, taken in zip(asked, models, found, latencies, strict=True):
        p50, p99 = np.percentile(1000 * taken, [50, 99]).tolist()
        difference = compare(judged.per_user, found[0].per_user, metric, seed=seed)
        shared = float(overlap(judged.top, found[0].top, k).mean())
        size = model_bytes(each)
        measured.append(Measured(variant, size, p50, p99, judged.metrics[metric], difference, shared))
    return measured


def _time_lists(
    models: Sequence[Estimator], split: Split, clock: Callable[[], float], k: int, users: int, seed: int
) -> Float32:
    """Time one user's list by each model: seconds, (models, users)."""
    tested = np.flatnonzero(np.diff(split.test.indptr)).astype(np.int32)
    chosen = np.random.default_rng(seed).choice(tested, users + UNTIMED)
    taken = np.empty((len(models), len(chosen)), np.float32)
    with BLAS.limit(limits=1, user_api="blas"):
        for at, user in enumerate(chosen):
            one, seen = np.array([user], np.int32), split.train[user]
            for place, each in enumerate(models):
                started = clock()
                each.recommend(one, k, seen=seen)
                taken[place, at] = clock() - started
    return taken[:, UNTIMED:]
