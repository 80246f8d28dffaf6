"""What a version would show to a shopper, straight from its artifact."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from engine.artifacts import Artifact, load_artifact
from engine.estimators.base import Recommendations
from engine.metrics import overlap
from models_app.models import ModelVersion
from models_app.selectors.reasons import Cause, Why, explain_best_sellers, explain_items, title_of
from portal.core.storage import tree_path

KEPT_OPEN = 4  # artifacts mapped at a time, a web process
HISTORY = 20
LONG = 300  # items of a history: with more, reasons take a page too long and are given on request


@dataclass(frozen=True)
class Line:
    """One item of a list. score is None in a history; rank counts from 1."""

    rank: int
    item_id: str
    title: str
    category: str | None
    price: float | None
    score: float | None = None


@dataclass(frozen=True)
class Recommended(Line):
    """An item that would be shown. reason: why, in words, None where nobody asked for it."""

    reason: str | None = None
    contributions: list[Cause] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """One shopper's history and list. is_known: False = nobody of that id was trained on, so best sellers."""

    user_id: str
    is_known: bool
    history: list[Line]
    history_size: int
    items: list[Recommended]
    may_ask_why: bool = False  # reasons were left out, as the history is long


@dataclass(frozen=True)
class Overlap:
    """How much two versions' lists agree: mean share of equal items, over the `n` shoppers both know."""

    mean: float | None
    k: int
    n: int
    by_user: dict[str, float]


def preview(
    version: ModelVersion, user_id: str, k: int = 10, *, explain: bool = False, at_once: bool = False
) -> Preview:
    """Show what a shopper has and what the version would recommend; explain: and why each item.

    at_once: leave the reasons out where they would take long.
    """
    artifact = open_artifact(version)
    at = artifact.user_ids.positions.get(user_id)
    if at is None:
        best = artifact.fallback
        items, scores = best.items[0, :k], best.scores[0, :k]
        why = explain_best_sellers(scores.tolist()) if explain else None
        return Preview(user_id, False, [], 0, _recommended(artifact, items, scores, why))
    seen = artifact.seen[at]
    found = _recommend(artifact, [at], k)
    items = found.items[0][found.items[0] >= 0]
    is_left_out = explain and at_once and seen.nnz > LONG
    explained = explain and not is_left_out
    why = explain_items(version, artifact, at, items.tolist()) if explained else None
    return Preview(
        user_id,
        True,
        [_line(artifact, item, rank) for rank, item in enumerate(seen.indices[:HISTORY].tolist(), 1)],
        int(seen.nnz),
        _recommended(artifact, items, found.scores[0], why),
        is_left_out,
    )


def sample_users(version: ModelVersion, n: int = 6) -> list[str]:
    """Pick shoppers from the least to the most active, the same ones each time."""
    artifact = open_artifact(version)
    return [artifact.user_ids[at] for at in _sample(artifact, n)]


def _sample(artifact: Artifact, n: int) -> list[int]:
    sizes = np.diff(artifact.seen.indptr)
    order = np.argsort(sizes, kind="stable")
    order = order[sizes[order] > 0]
    if not len(order):
        return []
    chosen = np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int))
    return [int(order[at]) for at in chosen]


def list_overlap(a: ModelVersion, b: ModelVersion, users: Sequence[str], k: int = 10) -> Overlap:
    """Measure how alike the lists of two versions are for these shoppers."""
    one, other = open_artifact(a), open_artifact(b)
    known = [user for user in users if user in one.user_ids.positions and user in other.user_ids.positions]
    if not known:
        return Overlap(None, k, 0, {})
    lists = [
        _recommend(artifact, [artifact.user_ids.positions[user] for user in known], k).items
        for artifact in (one, other)
    ]
    if one.digest != other.digest:
        lists[1] = _translate(lists[1], other, one)
    # Of the longer list: two short lists that are equal agree wholly.
    longest = np.maximum(*((each >= 0).sum(axis=1) for each in lists))
    shares = np.where(longest, overlap(lists[0], lists[1], k) * k / np.maximum(longest, 1), 1.0)
    by_user = {user: float(share) for user, share in zip(known, shares, strict=True)}
    return Overlap(float(shares.mean()), k, len(known), by_user)


def registry_lists(version: ModelVersion, n: int, k: int) -> dict[str, tuple[list[str], list[float]]]:
    """Give the lists of n shoppers, as `sample_users` picks them, from the stored artifact, verified anew.

    Items and scores, best first.

    Raises ArtifactError when the store's copy is not what was registered.
    """
    digest = version.artifact_digest
    artifact = load_artifact(tree_path(digest), digest, verify=True, threads=1)
    at = _sample(artifact, n)
    found = _recommend(artifact, at, k)
    return {
        artifact.user_ids[user]: (
            [artifact.item_ids[int(item)] for item in items[items >= 0]],
            scores[items >= 0].tolist(),
        )
        for user, items, scores in zip(at, found.items, found.scores, strict=True)
    }


def open_artifact(version: ModelVersion) -> Artifact:
    """Map a version's artifact; its members were verified when they were written."""
    return _open(version.artifact_digest)


@lru_cache(maxsize=KEPT_OPEN)
def _open(digest: str) -> Artifact:
    return load_artifact(tree_path(digest), digest, verify=False, threads=1)


def _recommend(artifact: Artifact, at: Sequence[int], k: int) -> Recommendations:
    users = np.array(at, np.int32)
    depth = min(k, len(artifact.item_ids))
    return artifact.estimator.recommend(users, depth, seen=artifact.seen[users])


def _recommended(
    artifact: Artifact, items: np.ndarray, scores: np.ndarray, why: list[Why] | None
) -> list[Recommended]:
    found = []
    for place, item in enumerate(items.tolist()):
        line = vars(_line(artifact, item, place + 1, float(scores[place])))
        found.append(Recommended(**line, **(vars(why[place]) if why else {})))
    return found


def _line(artifact: Artifact, item: int, rank: int, score: float | None = None) -> Line:
    facts = artifact.facts
    category, price = (facts.category(item), facts.price(item)) if facts else (None, None)
    return Line(rank, artifact.item_ids[item], title_of(artifact, item), category, price, score)


def _translate(items: np.ndarray, source: Artifact, target: Artifact) -> np.ndarray:
    """Rewrite one artifact's item positions as another's; items the other lacks become distinct strangers."""
    places = target.item_ids.positions
    unknown = len(places)
    return np.array(
        [
            [places.get(source.item_ids[int(each)], unknown + int(each)) if each >= 0 else -1 for each in row]
            for row in items
        ],
        np.int32,
    )
