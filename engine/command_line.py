"""The commands of `python -m engine`.

Examples:
  python -m engine evaluate --train train.csv.gz --test test.csv.gz --algorithm als --k 20 --json
  python -m engine evaluate --train train.csv --test test.csv --algorithm als --set factors=128 --set seed=1
  python -m engine recommend --train train.csv --algorithm item_knn --user u42 --user u43 --k 5

A file is CSV, plain or .gz, with or without a header: user, item[, value[, time]].
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from engine.estimators import ALGORITHMS
from engine.estimators.base import Estimator
from engine.evaluation import evaluate, metric_title
from engine.interactions import IdTable, Int32, Interactions
from engine.metrics import DEFAULT_KS
from engine.parameters import config_fields, make_config
from engine.refusals import FileRefused
from engine.sniffing import sniff
from engine.splitting import Split, SplitConfig
from engine.validation import check_interactions


@dataclass(frozen=True)
class Pair:
    """Train and test over one set of ids; test is empty when only one file was given."""

    users: IdTable
    items: IdTable
    train: sp.csr_matrix
    test: sp.csr_matrix


def main(arguments: Sequence[str]) -> int:
    """Run one command; return the exit status: 0, or 1 with a sentence on standard error."""
    asked = build_parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except (ValueError, OSError, FileRefused) as problem:
        print(f"engine: {problem}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m engine", description=__doc__, formatter_class=plain)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--train", type=Path, required=True, metavar="FILE", help="what to learn from")
    shared.add_argument("--algorithm", choices=list(ALGORITHMS), default="als")
    shared.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=_list_settings())
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--threads", type=int, default=2)
    test = commands.add_parser("evaluate", parents=[shared], help="train on one file, measure on another")
    test.add_argument("--test", type=Path, required=True, metavar="FILE", help="held-out interactions")
    test.add_argument("--k", type=int, action="append", help="list length; may be repeated (5, 10, 20)")
    test.add_argument("--json", action="store_true", help="print one JSON object")
    test.set_defaults(run=run_evaluate)
    best = commands.add_parser("recommend", parents=[shared], help="train and print lists for some users")
    best.add_argument("--user", action="append", required=True, help="a user id of the file; may be repeated")
    best.add_argument("--k", type=int, default=10)
    best.set_defaults(run=run_recommend)
    return parser


def run_evaluate(asked: argparse.Namespace) -> int:
    """Print fit seconds, peak memory and every metric with its 95 % interval."""
    pair = read_both(asked.train, asked.test)
    model = make_model(asked)
    started = time.perf_counter()
    model.fit(pair.train)
    fitted = time.perf_counter() - started
    known = int((np.diff(pair.test.indptr) > 0).sum())
    held_out = Split(pair.train, pair.test, SplitConfig(), "given files", known, pair.test.nnz, 0)
    found = evaluate(model, held_out, tuple(asked.k or DEFAULT_KS), thorough=True, seed=asked.seed)
    result = {
        "algorithm": model.name,
        "config": asdict(model.config),
        "seed": asked.seed,
        "users": pair.train.shape[0],
        "items": pair.train.shape[1],
        "train_interactions": pair.train.nnz,
        "test_interactions": pair.test.nnz,
        "test_users": known,
        "fit_seconds": round(fitted, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
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


def run_recommend(asked: argparse.Namespace) -> int:
    """Print each asked user's list: user, place, item, score, separated by tabs."""
    pair = read_both(asked.train, None)
    unknown = [user for user in asked.user if user not in pair.users.positions]
    if unknown:
        raise ValueError(f"the file has no user {unknown[0]!r}")
    users = np.array([pair.users.positions[user] for user in asked.user], np.int32)
    found = make_model(asked).fit(pair.train).recommend(users, asked.k, seen=pair.train[users])
    for user, items, scores in zip(asked.user, found.items.tolist(), found.scores.tolist(), strict=True):
        for place, (item, score) in enumerate(zip(items, scores, strict=True), 1):
            if item >= 0:
                print(f"{user}\t{place}\t{pair.items[item]}\t{score:.6f}")
    return 0


def make_model(asked: argparse.Namespace) -> Estimator:
    """Build the asked algorithm from its NAME=VALUE settings."""
    algorithm = ALGORITHMS[asked.algorithm]
    settings = dict(text.partition("=")[::2] for text in asked.set)
    return algorithm(make_config(algorithm.Config, settings), seed=asked.seed, threads=asked.threads)


def read_both(train: Path, test: Path | None) -> Pair:
    """Read one or two files into matrices over the ids of both."""
    parts = [read_file(path) for path in (train, test) if path is not None]
    users, user_at = _join([part.user_ids for part in parts])
    items, item_at = _join([part.item_ids for part in parts])
    matrices = [sp.csr_matrix((len(users), len(items)), dtype=np.float32) for _ in range(2)]
    for at, part in enumerate(parts):
        moved = (part.values, (user_at[at][part.users], item_at[at][part.items]))
        matrices[at] = sp.csr_matrix(moved, shape=(len(users), len(items)))
        matrices[at].sort_indices()
    return Pair(users, items, *matrices)


def read_file(path: Path) -> Interactions:
    """Check a file as the portal does, its columns by their place: user, item[, value[, time]]."""
    found = sniff(path)
    roles = dict(zip(("user", "item", "value", "time"), range(len(found.columns)), strict=False))
    checked = check_interactions(path, found, roles)
    if checked.interactions is None:
        first = checked.problems[0]
        where = f"line {first.line}: {first.detail} {first.hint}"
        raise ValueError(f"{path.name}: {checked.problem_count:,} bad lines; {where}")
    return checked.interactions


def _join(tables: Sequence[IdTable]) -> tuple[IdTable, list[Int32]]:
    """Merge id tables; give for each table where its positions went."""
    lists = [table.to_list() for table in tables]
    position = {name: at for at, name in enumerate(dict.fromkeys(name for names in lists for name in names))}
    return IdTable.of(position), [np.array([position[name] for name in names], np.int32) for names in lists]


def _list_settings() -> str:
    each = (
        f"{name}: {', '.join(p.name for p in config_fields(kind.Config)) or 'none'}"
        for name, kind in ALGORITHMS.items()
    )
    return "a setting of the algorithm; may be repeated (" + "; ".join(each) + ")"
