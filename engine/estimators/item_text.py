"""Items as sparse vectors of what is said of them: TF-IDF of title words, category and price.

TF-IDF as in Manning, Raghavan & Schütze 2008, "Introduction to information retrieval", chapter 6,
with the smoothed form log((1 + items) / (1 + items with the word)) + 1, so that no word weighs nothing.
"""

import re
from collections.abc import Callable
from typing import Any
from unicodedata import category, normalize

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from engine.estimators.nearest import norms
from engine.interactions import IdTable
from engine.items import Float64, ItemFacts

PRICE_BANDS = 8
TITLES_AT_ONCE = 20_000
ACCENTS = re.compile("[\u0300-\u036f]")
# Vowel signs of Indic and other scripts belong to their word although they are no letters.
MARKS = "".join(re.escape(chr(at)) for at in range(0x370, 0x1B00) if category(chr(at)).startswith("M"))
WORD = re.compile(rf"[\w{MARKS}]+")
# Chinese and Japanese write no spaces: pairs of signs stand for words.
SIGNS = "\u3040-\u30ff\u3400-\u9fff"
SAME_SCRIPT = re.compile(f"[{SIGNS}]+|[^{SIGNS}]+")
IS_SIGN = re.compile(f"[{SIGNS}]")


def find_words(title: str) -> list[str]:
    """Split a title into words, upper and lower case and accents made one: "Été, ÉTÉ" is "ete" twice."""
    if title.isascii():
        return WORD.findall(title.lower())
    folded = normalize("NFC", ACCENTS.sub("", normalize("NFKD", title.casefold())))
    words = []
    for word in WORD.findall(folded):
        for part in SAME_SCRIPT.findall(word):
            in_pairs = len(part) > 2 and IS_SIGN.match(part)
            words += [part[at : at + 2] for at in range(len(part) - 1)] if in_pairs else [part]
    return words


def describe_items(
    facts: ItemFacts,
    *,
    min_items: int,
    category_weight: float,
    price_weight: float,
    after: Callable[[int], None] = lambda titles_read: None,
) -> sp.csr_matrix:
    """Give each item's vector of length 1, (n_items, n_words + n_categories + n_bands) float32 CSR.

    A word counts when at least min_items titles have it. The weights are the lengths of the category's and
    the price's part where the title's part has length 1. An item of which nothing is known is a row of zeros.
    """
    parts = [weigh_words(count_words(facts.titles, after), min_items)]
    if category_weight > 0:
        parts.append(_categories(facts) * category_weight)
    if price_weight > 0:
        parts.append(_price_bands(facts.prices) * price_weight)
    return unit_rows(sp.csr_matrix(sp.hstack(parts, format="csr", dtype=np.float32)))


def count_words(titles: IdTable, after: Callable[[int], None] = lambda titles_read: None) -> sp.csr_matrix:
    """Count each word of each title, (n_items, n_words) float32; words in the order of first sight."""
    known: dict[str, int] = {}
    n_items = len(titles)
    indptr = np.zeros(n_items + 1, np.int32)
    blocks = [np.empty(0, np.int32)]
    for start in range(0, n_items, TITLES_AT_ONCE):
        stop = min(n_items, start + TITLES_AT_ONCE)
        found = [find_words(titles[at]) for at in range(start, stop)]
        indptr[start + 1 : stop + 1] = [len(words) for words in found]
        flat = [known.setdefault(word, len(known)) for words in found for word in words]
        blocks.append(np.array(flat, np.int32))
        after(stop)
    np.cumsum(indptr, out=indptr)
    words = np.concatenate(blocks)
    counts = sp.csr_matrix((np.ones(len(words), np.float32), words, indptr), shape=(n_items, len(known)))
    counts.sum_duplicates()
    return counts


def weigh_words(counts: sp.csr_matrix, min_items: int) -> sp.csr_matrix:
    """Turn counts into TF-IDF rows of length 1, of the words that at least min_items titles have."""
    n_titles = np.bincount(counts.indices, minlength=counts.shape[1])
    kept = np.flatnonzero(n_titles >= min_items)
    rarity = np.log((1 + counts.shape[0]) / (1 + n_titles[kept])) + 1
    chosen = sp.csr_matrix(counts[:, kept])
    chosen.data *= rarity.astype(np.float32)[chosen.indices]
    return unit_rows(chosen)


def unit_rows(rows: sp.csr_matrix) -> sp.csr_matrix:
    """Scale each row of a CSR to length 1, in place; rows of zeros stay."""
    lengths = norms(rows)
    rows.data /= np.repeat(np.where(lengths > 0, lengths, 1), np.diff(rows.indptr))
    return rows


def _categories(facts: ItemFacts) -> sp.csr_matrix:
    known = np.flatnonzero(facts.category_of >= 0)
    ones = np.ones(len(known), np.float32)
    shape = len(facts), len(facts.category_names)
    return sp.csr_matrix((ones, (known, facts.category_of[known])), shape=shape)


def _price_bands(prices: Float64) -> sp.csr_matrix:
    """Place each known price between two of the quantiles of all, so that near prices are alike.

    A price at share f of the way from one quantile to the next has √(1 - f) of the first and √f of the
    second: each row has length 1.
    """
    known = np.flatnonzero(np.isfinite(prices))
    edges: npt.NDArray[Any] = np.zeros(1)
    if len(known):
        edges = np.unique(np.quantile(prices[known], np.linspace(0, 1, PRICE_BANDS)))
    place = np.interp(prices[known], edges, np.arange(len(edges)))
    lower = np.minimum(place.astype(np.int32), max(len(edges) - 2, 0))
    above = place - lower
    values = np.sqrt(np.concatenate([1 - above, above])).astype(np.float32)
    columns = np.concatenate([lower, np.minimum(lower + 1, len(edges) - 1)])
    bands = sp.csr_matrix((values, (np.tile(known, 2), columns)), shape=(len(prices), len(edges)))
    bands.eliminate_zeros()
    return bands
