"""Train on one file, measure on another: every metric with its 95 % interval.

Examples:
  python -m engine evaluate --train train.csv.gz --test test.csv.gz --algorithm als --k 20 --json
  python -m engine evaluate --train train.csv --test test.csv --algorithm als --set factors=128 --seed 1
  python -m engine evaluate --train train.csv --test test.csv --items items.csv --algorithm content
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.commands.files import read_items, read_together
from engine.commands.options import add_training, chosen_weights, make_model, peak_memory_bytes, timed_fit
from engine.estimators.base import Context, check_k
from engine.evaluation import evaluate, metric_title
from engine.metrics import DEFAULT_KS
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
    return 0
