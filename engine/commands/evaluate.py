"""Train on one file, measure on another: every metric with its 95 % interval, by segment too.

Segments are new, light and heavy shoppers, best sellers and the long tail, and the categories of --items.
Gaps say how far apart groups of shoppers are served, and how far the exposure of sellers and categories is
from their share of the items, if --items names them.

Examples:
  python -m engine evaluate --train train.csv.gz --test test.csv.gz --algorithm als --k 20 --json
  python -m engine evaluate --train train.csv --test test.csv --algorithm als --set factors=128 --seed 1
  python -m engine evaluate --train train.csv --test test.csv --items items.csv --algorithm content
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.commands.files import read_items, read_together
from engine.commands.options import add_training, chosen_weights, make_model, peak_memory_bytes, timed_fit
from engine.estimators.base import Context, check_k
from engine.evaluation import LIST, evaluate, metric_title
from engine.gaps import Gaps, SellerGap, measure_gaps
from engine.metrics import DEFAULT_KS
from engine.segments import TITLES, Segment, by_segment
from engine.splitting import Split, SplitConfig


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training(parser)
    parser.add_argument("--test", type=Path, required=True, metavar="FILE", help="held-out interactions")
    parser.add_argument("--k", type=int, action="append", help="list length; may be repeated (5, 10, 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> int:
    """Print fit seconds (without compilation), the process's peak memory and every metric."""
    ks = tuple(asked.k or DEFAULT_KS)
    check_k(min(ks))  # before the fit, which takes longer
    model = make_model(asked)
    train, test = read_together(asked.train, asked.test, weighing=chosen_weights(asked))
    matrix, held_out = train.matrix(), test.matrix()
    context = Context(train.matrix_times(), read_items(asked.items, train.item_ids))
    fitted = timed_fit(model, matrix, context)
    tested = int((np.diff(held_out.indptr) > 0).sum())
    given = Split(matrix, held_out, SplitConfig(), "given files", tested, held_out.nnz, 0, context)
    found = evaluate(model, given, ks, thorough=True, seed=asked.seed)
    at = LIST if LIST in ks else max(ks)
    segments, gaps = by_segment(found, given, at), measure_gaps(found, given, at)
    result = {
        "algorithm": model.name,
        "config": asdict(model.config),
        "seed": asked.seed,
        "users": matrix.shape[0],
        "items": matrix.shape[1],
        "train_interactions": matrix.nnz,
        "test_interactions": held_out.nnz,
        "test_users": tested,
        "fit_seconds": round(fitted, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "metrics": found.summary(),
        "segments": [each.summary() for each in segments],
        "gaps": gaps.summary(),
    }
    if asked.json:
        print(json.dumps(result, allow_nan=False))
        return 0
    for name in ("algorithm", "users", "items", "train_interactions", "test_users", "fit_seconds"):
        print(f"{name.replace('_', ' '):20} {result[name]}")
    print(f"{'peak memory':20} {result['peak_memory_bytes'] / 1e6:.0f} MB")
    for name, each in found.metrics.items():
        interval = "" if each.low is None else f"  ({each.low:.4f} to {each.high:.4f})"
        print(f"{metric_title(name):20} {each.value:.4f}{interval}")
    show_segments(segments, gaps.metric)
    show_gaps(gaps)
    return 0


def show_segments(segments: Sequence[Segment], metric: str) -> None:
    """Print one line a segment: its shoppers and one metric, or that they are too few."""
    width = max(len(each.title) for each in segments)
    print(f"\n{metric_title(metric)} by segment")
    for each in segments:
        found = each.metrics.get(metric)
        said = each.note if found is None else f"{found.value:.4f}  ({found.low:.4f} to {found.high:.4f})"
        print(f"{each.title:{width}}  {each.n:>9,} shoppers  {said}")


def show_gaps(gaps: Gaps) -> None:
    """Print how far apart groups of shoppers are served, and sellers and categories shown."""
    print("\nGaps, 0 is even")
    between, title = gaps.shoppers, metric_title(gaps.metric)
    if between.gap is None or between.best is None or between.worst is None:
        print("shoppers    too few groups with enough test shoppers")
    else:
        interval = f"({between.gap.low:.4f} to {between.gap.high:.4f})"
        print(
            f"shoppers    {between.gap.value:.4f}  {interval}  {title}: best {TITLES[between.best]}, "
            f"worst {TITLES[between.worst]}"
        )
    for name, found in (("sellers", gaps.sellers), ("categories", gaps.categories)):
        if found is not None and found.gap is not None:
            print(f"{name:11} {found.gap:.4f}  {most_apart(found)}")


def most_apart(found: SellerGap) -> str:
    """Name the label whose exposure is furthest from its share of the catalogue."""
    far = max(found.labels, key=lambda each: abs(each.exposure_share - each.catalogue_share))
    return f"{far.label}: {far.catalogue_share:.1%} of the items, {far.exposure_share:.1%} of the exposure"
