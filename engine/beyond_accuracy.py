"""What lists are like beside being right: varied, new, surprising, fair to the catalogue.

Lists are (n, k) int32, best first, -1 = none. A measure of single lists gives (n,) float32, NaN where a
list is too short to have it. Popularity is how many users chose each item in training, (n_items,).
Overview: Kaminskas & Bridge 2016, "Diversity, serendipity, novelty, and coverage", ACM TiiS 7(1).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.interactions import Float32, Int32, Int64
from engine.metrics import Flags

HEAD_SHARE = 0.8  # the head: the fewest items that hold this share of all choices (a convention)
WORK = 30_000_000  # choosers of listed items that `diversity` goes through, a second or so


def popularity_of(train: sp.csr_matrix) -> Int64:
    """Count the users who chose each item, (n_items,) int64."""
    return np.bincount(train.indices, minlength=train.shape[1])


def tail_items(popularity: Int64) -> Flags:
    """Mark the long tail, (n_items,) bool: all items but the fewest that hold 80 % of all choices."""
    order = np.argsort(-popularity, kind="stable")
    held = np.cumsum(popularity[order])
    before = held - popularity[order]
    tail = np.empty(len(popularity), bool)
    tail[order] = (before >= HEAD_SHARE * held[-1]) | (popularity[order] == 0)
    return tail


def novelty(top: Int32, popularity: Int64, n_users: int) -> Float32:
    """Average the listed items' self-information, -log2 of the share of users who chose the item.

    Range 0 (everybody chose all of them) to log2(n_users) bits; more is newer to the shopper. An item
    that nobody chose counts as chosen by one user. Source: Zhou et al. 2010, "Solving the apparent
    diversity-accuracy dilemma of recommender systems", PNAS 107(10).
    """
    return _list_mean(top, np.log2(n_users / np.maximum(popularity, 1)))


def average_popularity(top: Int32, popularity: Int64) -> Float32:
    """Average how many users chose each listed item; averaged over users this is ARP.

    Range 0 to n_users; less means less popularity bias. Source: Yin et al. 2012, "Challenging the long
    tail recommendation", as used by Abdollahpouri, Burke & Mobasher 2019, "Managing popularity bias in
    recommender systems with personalized re-ranking".
    """
    return _list_mean(top, popularity)


def tail_share(top: Int32, tail: Flags) -> Float32:
    """Share of each list that is long tail; averaged over users this is APLT.

    Range 0 to 1; more means less popularity bias. Source: Abdollahpouri, Burke & Mobasher 2017,
    "Controlling popularity bias in learning-to-rank recommendation", and 2019 (above).
    """
    return _list_mean(top, tail)


def serendipity(top: Int32, hits: Flags, popularity: Int64, seen: sp.csr_matrix) -> Float32:
    """Share of each list's places that are right and not expected, 0 to 1; more is better.

    Expected are the k most popular items that the user had not chosen: what a list of best sellers
    would have shown. seen: (n, n_items) CSR, the same users' training rows.
    Source: Ge, Delgado-Battenfeld & Jannach 2010, "Beyond accuracy: evaluating recommender systems by
    coverage and serendipity".
    """
    n, k = top.shape
    order = np.argsort(-popularity, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    rows, columns = np.nonzero(hits)
    places = place[top[rows, columns]]
    lengths = np.diff(seen.indptr).astype(np.int64)
    # A user's own choices move later items up: an item is expected when fewer than k others precede it.
    close = np.flatnonzero(places < k + lengths[rows])
    counts = lengths[rows[close]]
    ends = np.cumsum(counts)
    at = np.arange(int(counts.sum())) + np.repeat(seen.indptr[rows[close]] - (ends - counts), counts)
    earlier = place[seen.indices[at]] < np.repeat(places[close], counts)
    own_before = np.bincount(np.repeat(np.arange(len(close)), counts), earlier, minlength=len(close))
    expected = np.zeros(len(rows), bool)
    expected[close] = places[close] - own_before < k
    return np.asarray(np.bincount(rows[~expected], minlength=n) / k, np.float32)


def category_diversity(top: Int32, category_of: Int32) -> Float32:
    """Share of each list's pairs of items that differ in category (intra-list distance).

    category_of: (n_items,), -1 = not known: such items are left out. Range 0 (one category) to 1 (no two
    alike); more is more varied. Source: Smyth & McClave 2001, "Similarity vs. diversity"; Ziegler et al.
    2005, "Improving recommendation lists through topic diversification".
    """
    listed = np.where(top >= 0, category_of[top], -1)
    listed.sort(axis=1)
    known = (listed >= 0).sum(axis=1)
    pairs = known * (known - 1) / 2
    # Sorted, an item has as many equals before it as places since its category began.
    columns = np.arange(listed.shape[1])
    begins = np.ones(listed.shape, bool)
    begins[:, 1:] = listed[:, 1:] != listed[:, :-1]
    since = columns - np.maximum.accumulate(np.where(begins, columns, 0), axis=1)
    alike = np.where(listed >= 0, since, 0).sum(axis=1)
    return _divide(pairs - alike, pairs)


def diversity(top: Int32, train: sp.csr_matrix, work: int = WORK) -> Float32:
    """Average 1 - cosine of the items' training columns over each list's pairs (intra-list distance).

    Range 0 (the same users chose all of them) to 1 (no two items share a user); more is more varied.
    Values are ignored. The pairs' cosines come from the length of the sum of the list's unit columns, in
    time proportional to the popularity of what is listed: when the listed items' choosers together are
    more than `work`, evenly spread lists are measured and the others are NaN.
    Source: as `category_diversity`.
    """
    n_items = train.shape[1]
    ones = sp.csr_matrix((np.ones(train.nnz, np.float32), train.indices, train.indptr), shape=train.shape)
    columns = sp.csr_matrix(ones.T)
    choosers = np.diff(columns.indptr)
    columns = sp.csr_matrix(sp.diags_array(1 / np.sqrt(np.maximum(choosers, 1))) @ columns)
    due = np.where(top >= 0, choosers[top], 0).sum(dtype=np.int64)
    measured = np.unique(
        np.linspace(0, len(top) - 1, max(1, int(len(top) * min(1, work / max(due, 1))))).astype(int)
    )
    found = np.full(len(top), np.nan, np.float32)
    for start in range(0, len(measured), 512):
        block = measured[start : start + 512]
        lists = top[block]
        rows, places = np.nonzero(lists >= 0)
        chosen = (np.ones(len(rows)), (rows, lists[rows, places]))
        total = sp.csr_matrix(chosen, shape=(len(block), n_items)) @ columns
        squares = np.asarray(total.multiply(total).sum(axis=1)).ravel()
        units = np.bincount(rows, choosers[lists[rows, places]] > 0, minlength=len(block))
        known = np.bincount(rows, minlength=len(block))
        pairs = known * (known - 1)  # of an item that nobody chose the column is 0, not of length 1
        found[block] = _divide(pairs - (squares - units), pairs)
    return found


def gini(top: Int32, n_items: int) -> float:
    """Gini coefficient of how often each item of the catalogue is listed.

    Range 0 (all alike) to 1 - 1 / n_items (one item only); less is fairer. NaN when nothing is listed.
    Source: Gini 1912; for recommenders Fleder & Hosanagar 2009, "Blockbuster culture's next rise or fall".
    """
    counts = np.sort(np.bincount(top[top >= 0], minlength=n_items)).astype(np.float64)
    if counts[-1] == 0:
        return float("nan")
    place = np.arange(1, n_items + 1)
    return float(((2 * place - n_items - 1) * counts).sum() / (n_items * counts.sum()))


def personalisation(top: Int32) -> float:
    """One minus the mean overlap of two users' lists, over all pairs of users.

    Range 0 (all get the same list) to 1 (no two share an item); more is more personal. NaN for fewer
    than two users. Source: Zhou et al. 2010 (as `novelty`).
    """
    n, k = top.shape
    if n < 2:
        return float("nan")
    counts = np.bincount(top[top >= 0]).astype(np.float64)
    return float(1 - (counts * (counts - 1)).sum() / (n * (n - 1) * k))


def _list_mean(top: Int32, value_of: npt.NDArray[Any]) -> Float32:
    """Average a value of each listed item, (n,); NaN for an empty list."""
    listed = top >= 0
    return _divide(np.where(listed, value_of[top], 0).sum(axis=1), listed.sum(axis=1))


def _divide(tops: npt.NDArray[Any], bottoms: npt.NDArray[Any]) -> Float32:
    result = np.full(len(tops), np.nan, np.float32)
    np.divide(tops, bottoms, out=result, where=bottoms > 0, casting="unsafe")
    return result
