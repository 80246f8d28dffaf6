"""The compression lab: what smaller variants of a model cost in quality, and one of them kept.

A variant stores numbers in fewer bytes (float16, int8), cuts the rank of factors (rank=32) or leaves out
neighbours (neighbours=50), or two of these: int8,rank=32. Each is measured beside the original: size, time
of one shopper's list, NDCG and its difference with 95 % intervals, and how much of the lists it shares.

--out keeps the variant that --keep names, or else the smallest of which the test shoppers show that it loses
no more than --most-loss of the NDCG. What it writes is a model like any other: `recommend` and the model
server load it. Without --test nothing is measured, and --keep says what is made of the model.

Examples:
  python -m engine compress --train train.csv --test test.csv --algorithm als --json
  python -m engine compress --train train.csv --test test.csv --variant int8 --variant rank=32 --out small
  python -m engine compress --model model --keep int8 --out small
  python -m engine compress --model model --test later.csv --most-loss 0.02 --out small
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from engine.artifacts import load_artifact, save_artifact
from engine.commands.files import read_interactions, read_items, read_together
from engine.commands.fit import check_new_folder
from engine.commands.options import add_model, chosen_weights, make_model
from engine.compression import (
    Measured,
    Variant,
    compress,
    measure_variants,
    model_bytes,
    smallest_that_keeps,
    usual_variants,
)  # fmt: skip
from engine.estimators.base import Context, Estimator, check_k
from engine.estimators.nearest import ones_like
from engine.evaluation import metric_title
from engine.interactions import IdTable, Interactions
from engine.items import ItemFacts
from engine.splitting import Split, SplitConfig


@dataclass(frozen=True)
class Subject:
    """The model that is made smaller, with what an artifact of it needs; held_out: (n_users, n_items)."""

    model: Estimator
    user_ids: IdTable
    item_ids: IdTable
    seen: sp.csr_matrix
    facts: ItemFacts | None
    held_out: sp.csr_matrix | None
    kept: Mapping[str, Any]


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--test", type=Path, metavar="FILE", help="held-out interactions to measure on")
    parser.add_argument(
        "--variant", action="append", type=_variant, help="what to measure; may be repeated (the usual ones)"
    )
    parser.add_argument("--k", type=int, default=10, help="list length (10)")
    parser.add_argument("--keep", type=_variant, metavar="VARIANT", help="the variant that --out keeps")
    parser.add_argument(
        "--most-loss", type=float, default=0.01, metavar="SHARE", help="of NDCG, that may be lost (0.01)"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder for the variant")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> int:
    """Print the table of variants and which one was kept."""
    check_k(asked.k)  # before a fit
    if asked.out is not None:
        check_new_folder(asked.out)
    if asked.test is None and (asked.keep is None or asked.out is None):
        raise ValueError("give --test FILE to measure on, or --keep VARIANT with --out FOLDER")
    subject = open_subject(asked)
    measured = measure(subject, asked)
    kept = None if asked.out is None else keep(subject, measured, asked)
    if asked.json:
        print(json.dumps(as_json(subject, measured, kept, asked), allow_nan=False))
        return 0
    show(measured, asked.k)
    if kept is not None:
        print(f"Kept {kept['variant']} in {asked.out}: {kept['size_bytes'] / 1e6:.2f} MB. {kept['why']}")
        print(f"digest {kept['digest']}")
    return 0


def open_subject(asked: argparse.Namespace) -> Subject:
    """Load a model, or train one, and read what it is measured on over its ids."""
    if (asked.model is None) == (asked.train is None):
        raise ValueError("give --model FOLDER or --train FILE, one of them")
    if asked.model is not None:
        old = load_artifact(asked.model, threads=asked.threads)
        later = None if asked.test is None else read_interactions(asked.test)
        held_out = None if later is None else over_ids(later, old.user_ids, old.item_ids, old.seen)
        kept = {"dataset_digest": old.manifest["dataset_digest"]}
        return Subject(old.estimator, old.user_ids, old.item_ids, old.seen, old.facts, held_out, kept)
    paths = [path for path in (asked.train, asked.test) if path is not None]
    data, *test = read_together(*paths, weighing=chosen_weights(asked))
    facts, matrix = read_items(asked.items, data.item_ids), data.matrix()
    model = make_model(asked).fit(matrix, context=Context(data.matrix_times(), facts))
    held_out = test[0].matrix() if test else None
    return Subject(model, data.user_ids, data.item_ids, matrix, facts, held_out, {})


def over_ids(later: Interactions, user_ids: IdTable, item_ids: IdTable, seen: sp.csr_matrix) -> sp.csr_matrix:
    """Put choices over a model's ids, without those that it learned from or knows no shopper or item of."""
    users, items = (
        np.array([table.positions.get(name, -1) for name in names.to_list()], np.int64)[at]
        for table, names, at in (
            (user_ids, later.user_ids, later.users),
            (item_ids, later.item_ids, later.items),
        )
    )
    known = (users >= 0) & (items >= 0)
    entries = (np.ones(int(known.sum()), np.float32), (users[known], items[known]))
    found = sp.csr_matrix(entries, shape=seen.shape)
    found.data[:] = 1
    new = sp.csr_matrix(found - found.multiply(ones_like(seen)))
    new.eliminate_zeros()
    new.sort_indices()
    if new.nnz == 0:
        raise ValueError("the test file has no choice by the model's shoppers that it did not learn from")
    return new


def measure(subject: Subject, asked: argparse.Namespace) -> list[Measured]:
    """Measure the original and the asked variants; nothing without a test file."""
    if subject.held_out is None:
        return []
    tested = int((np.diff(subject.held_out.indptr) > 0).sum())
    given = Split(
        subject.seen, subject.held_out, SplitConfig(), "Given file.", tested, subject.held_out.nnz, 0,
        Context(items=subject.facts),
    )  # fmt: skip
    variants = list(asked.variant or usual_variants(subject.model))
    variants += [asked.keep] if asked.keep is not None and asked.keep not in variants else []
    return measure_variants(
        subject.model, variants, given, clock=time.perf_counter, k=asked.k, seed=asked.seed
    )


def keep(subject: Subject, measured: Sequence[Measured], asked: argparse.Namespace) -> dict[str, Any]:
    """Write the chosen variant as an artifact; say which, why, how large and by which digest."""
    metrics: dict[str, Any] = {}
    variant, why = asked.keep, "It was asked for."
    if variant is None:
        chosen = smallest_that_keeps(measured, asked.most_loss)
        variant, why = chosen.variant, f"The smallest that loses at most {asked.most_loss:.1%} of NDCG."
        if chosen is measured[0]:
            why = f"No variant is shown to lose at most {asked.most_loss:.1%} of NDCG; this is the original."
    for each in measured:
        if each.variant == variant:
            metrics = {f"ndcg@{asked.k}": vars(each.ndcg)}
    made = compress(subject.model, variant)
    digest = save_artifact(
        asked.out, made, user_ids=subject.user_ids, item_ids=subject.item_ids, seen=subject.seen,
        facts=subject.facts, metrics=metrics, **subject.kept,
    )  # fmt: skip
    size = model_bytes(made)
    return {"variant": variant.text, "why": why, "size_bytes": size, "digest": digest}


def as_json(
    subject: Subject, measured: Sequence[Measured], kept: Mapping[str, Any] | None, asked: argparse.Namespace
) -> dict[str, Any]:
    return {
        "algorithm": subject.model.name,
        "k": asked.k,
        "test_users": measured[0].difference.n_users if measured else 0,
        "variants": [each.summary() for each in measured],
        "kept": None if kept is None else {**kept, "folder": str(asked.out)},
    }


def show(measured: Sequence[Measured], k: int) -> None:
    """Print one line a variant, the original first."""
    if not measured:
        return
    width = max(len(each.variant.text) for each in measured)
    title = metric_title(f"ndcg@{k}")
    print(f"{'variant':{width}}  size MB  p50 ms  p99 ms  {title:>8}  {'(interval)':18}  difference  shared")
    for each in measured:
        cost = f"{each.size_bytes / 1e6:7.2f}  {each.p50_ms:6.2f}  {each.p99_ms:6.2f}"
        ndcg = f"{each.ndcg.value:8.4f}  ({each.ndcg.low:.4f} to {each.ndcg.high:.4f})"
        worth = f"{each.difference.difference:+10.4f}  {each.overlap:6.1%}"
        print(f"{each.variant.text:{width}}  {cost}  {ndcg}  {worth}")


def _variant(text: str) -> Variant:
    try:
        return Variant.read(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
