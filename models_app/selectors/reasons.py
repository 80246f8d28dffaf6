"""Why a version recommends an item: what in the shopper's history speaks for it most."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from engine.artifacts import Artifact
from models_app.models import ModelVersion
from models_app.snapshots import load_history

CAUSES = 3
NO_CAUSE = "No item of the shopper's history speaks for it by itself."


@dataclass(frozen=True)
class Cause:
    """An item of the history and what it adds to the score, in units of the score, above 0."""

    item_id: str
    title: str
    contribution: float


@dataclass(frozen=True)
class Why:
    """The reason in words, and the causes it names, strongest first."""

    reason: str
    contributions: list[Cause] = field(default_factory=list)


def explain_items(version: ModelVersion, artifact: Artifact, user: int, items: Iterable[int]) -> list[Why]:
    """Say why each of these items is in the list of the user at that position of the artifact."""
    row = _history_row(version, artifact, user)
    return [_explain(artifact, row, item) for item in items]


def explain_best_sellers(shoppers: Iterable[float]) -> list[Why]:
    """Say why a stranger sees items that so many shoppers chose."""
    return [Why(f"Popular with everyone ({n:,.0f}); nothing is known of this shopper.") for n in shoppers]


def title_of(artifact: Artifact, item: int) -> str:
    """Name an item as a page does: by its title where that is known."""
    return (artifact.facts.title(item) if artifact.facts else "") or artifact.item_ids[item]


def _explain(artifact: Artifact, row: sp.csr_matrix, item: int) -> Why:
    found = artifact.estimator.explain(row, item, CAUSES)
    causes = [
        Cause(artifact.item_ids[owned], title_of(artifact, owned), part)
        for owned, part in zip(found.items.tolist(), found.contributions.tolist(), strict=True)
        if part > 0  # what speaks against the item is no cause of it
    ]
    if not causes:
        return Why(found.note or NO_CAUSE)
    *others, last = (each.title for each in causes)
    return Why(f"Because of {', '.join(others)} and {last}" if others else f"Because of {last}", causes)


def _history_row(version: ModelVersion, artifact: Artifact, user: int) -> sp.csr_matrix:
    """Build the (1, n_items) row that the model was fitted on, as an artifact has no values.

    Without the values, every choice counts alike; they lack when the data is no longer in storage.
    """
    seen = artifact.seen[user]
    kept = load_history(version.run.dataset_version.interactions_digest, user)
    if kept is None:
        return seen
    items, values = kept
    order = np.argsort(items)
    return sp.csr_matrix((values[order], items[order], [0, len(items)]), shape=seen.shape)
