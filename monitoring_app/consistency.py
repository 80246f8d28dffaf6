"""Whether a server's list is the registry's own. Pure: two lists in, a sentence or nothing out."""

from collections.abc import Sequence
from dataclasses import dataclass

from portal.core import figures

TOLERANCE = 1e-4  # of a score, relative: the same arithmetic in another order of additions differs by less


@dataclass(frozen=True)
class Ranked:
    """Items with their scores, best first."""

    items: Sequence[str]
    scores: Sequence[float]


def difference(expected: Ranked, served: Ranked, k: int) -> str:
    """Say where a served list is not the expected one; empty when it is.

    expected: the registry's list, longer than k, so that a tie at its end can be seen. Items of equal score
    may change places with each other; nothing else may differ.
    """
    wanted = min(k, len(expected.items))
    if len(served.items) != wanted:
        return f"{figures.counted(len(served.items), 'item')} instead of {wanted}"
    score_of = dict(zip(expected.items, expected.scores, strict=True))
    for rank, (item, score) in enumerate(zip(served.items, served.scores, strict=True), 1):
        due = expected.scores[rank - 1]
        if item not in score_of or not _is_close(score_of[item], due):
            return f"at rank {rank} {item} instead of {expected.items[rank - 1]}"
        if not _is_close(score, due):
            return f"at rank {rank} the score {score:.6g} instead of {due:.6g}"
    return "" if len(set(served.items)) == wanted else "an item comes twice"


def _is_close(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(1.0, abs(one), abs(other))
