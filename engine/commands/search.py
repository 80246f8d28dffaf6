"""Look for an algorithm's best setting on validation folds; the test part is looked at once, at the end.

The last fifth of the file by date is the test part (without times: a fifth at random), unless --test names
another file. Settings given by --set are held; the others are searched in the ranges that suit them. With a
journal, a search that was stopped or killed goes on after its last finished trial.

Examples:
  python -m engine search --train train.csv --algorithm als --trials 20 --minutes 5 --journal search.jsonl
  python -m engine search --train train.csv --algorithm item_knn --method random --folds 3
  python -m engine search --train train.csv --test test.csv --algorithm als --set iterations=8 --json
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.commands.files import read_items, read_together
from engine.commands.options import add_training, chosen_settings, chosen_weights
from engine.estimators import ALGORITHMS
from engine.estimators.base import Context, Progress
from engine.evaluation import metric_title, verdict_sentence
from engine.interactions import Interactions
from engine.items import ItemFacts
from engine.parameters import config_fields, make_config
from engine.search import (
    FinalTest,
    Findings,
    SearchConfig,
    Trial,
    best_of,
    goodness,
    judge_winner,
    search,
    validation_folds,
)
from engine.splitting import Split, default_split, split, training_part


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training(parser)
    known = {each.name: each for each in config_fields(SearchConfig)}
    parser.add_argument("--test", type=Path, metavar="FILE", help="held-out interactions, looked at once")
    for name in ("method", "metric"):
        names = [value for value, _ in known[name].choices]
        parser.add_argument(f"--{name}", choices=names, default=known[name].default, help=known[name].help)
    for name, kind in (("trials", int), ("minutes", float), ("folds", int), ("k", int)):
        parser.add_argument(f"--{name}", type=kind, default=known[name].default, help=known[name].help)
    parser.add_argument("--no-halving", action="store_true", help="let every setting use the full resource")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="keep every trial; go on from it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: argparse.Namespace) -> int:
    """Print the trials, the winner, what mattered, and the winner's figures on the test part."""
    names = ("method", "trials", "minutes", "folds", "metric", "k", "seed")
    config = make_config(
        SearchConfig, {name: getattr(asked, name) for name in names} | {"halving": not asked.no_halving}
    )
    algorithm, fixed = ALGORITHMS[asked.algorithm], chosen_settings(asked)
    data, held_out, items = hold_out(asked)
    left = data if asked.test else training_part(data, held_out.config, asked.seed)
    folds = validation_folds(left, held_out.config, config.folds, seed=asked.seed, items=items)
    found = search(
        algorithm, folds, config, now=time.perf_counter, fixed=fixed, journal=asked.journal,
        threads=asked.threads, progress=None if asked.json else show_progress,
    )  # fmt: skip
    final = judge_winner(algorithm, found, held_out, seed=asked.seed, threads=asked.threads)
    if asked.json:
        print(json.dumps({"search": found.summary(), "test": test_figures(final, held_out)}, allow_nan=False))
    else:
        show(found, final, held_out)
    return 0


def hold_out(asked: argparse.Namespace) -> tuple[Interactions, Split, ItemFacts | None]:
    """Read the files; give the training file, the split of the final test, and the facts of the items."""
    paths = [path for path in (asked.train, asked.test) if path is not None]
    data, *given = read_together(*paths, weighing=chosen_weights(asked))
    items = read_items(asked.items, data.item_ids)
    config, _ = default_split(data)
    if not given:
        return data, split(data, config, asked.seed, items), items
    test = given[0].matrix()
    tested = int((np.diff(test.indptr) > 0).sum())
    context = Context(data.matrix_times(), items)
    return data, Split(data.matrix(), test, config, "Given file.", tested, test.nnz, 0, context), items


def show_progress(report: Progress) -> None:
    """Keep one line on standard error up to date, when a person watches it."""
    if sys.stderr.isatty():
        end = "\n" if report.done == report.total else ""
        print(
            f"\r\033[K{report.done} of {report.total}: {report.message}", end=end, file=sys.stderr, flush=True
        )


def show(found: Findings, final: FinalTest, held_out: Split) -> None:
    title = metric_title(found.metric)
    print(f"{'trial':>5}  {title:>9}  {'size MB':>8}  {'ms':>6}  setting")
    for trial in sorted(found.trials, key=lambda trial: order(trial, found.metric))[:12]:
        print(f"{trial.number + 1:5}  {figures(trial)}  {setting(trial)}{remark(trial, found)}")
    if len(found.trials) > 12:
        print(f"       … and {len(found.trials) - 12} more, that were behind")
    winner = f"The winner is trial {found.winner.number + 1}, chosen on validation: {setting(found.winner)}"
    print(f"\n{found.ended} {winner}")
    if found.gain is not None:
        best = best_of(found.trials, found.metric)
        assert best is not None
        said = verdict_sentence(found.gain, f"trial {best.number + 1}", "the default")
        print("On validation: " + said.replace("test shoppers", "shoppers"))
    if found.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in found.importance.items())
        print(f"What mattered: {shares}")
    print(f"\nTest part, looked at once. {held_out.note}")
    for name, each in (("winner", final.winner), ("default", final.default)):
        interval = each.metrics[found.metric]
        print(f"{name:8} {title} {interval.value:.4f}  ({interval.low:.4f} to {interval.high:.4f})")
    if found.winner is not found.default:
        print("On the test part: " + verdict_sentence(final.comparison, "the winner", "the default"))


def order(trial: Trial, metric: str) -> tuple[bool, float]:
    return trial.state != "complete", -goodness(trial, metric)


def figures(trial: Trial) -> str:
    quality = "" if trial.quality is None else f"{trial.quality:.4f}"
    size = "" if trial.size_bytes is None else f"{trial.size_bytes / 1e6:.2f}"
    latency = "" if trial.latency_ms is None else f"{trial.latency_ms:.2f}"
    return f"{quality:>9}  {size:>8}  {latency:>6}"


def setting(trial: Trial) -> str:
    return " ".join(f"{name}={value}" for name, value in trial.settings.items()) or "(no settings)"


def remark(trial: Trial, found: Findings) -> str:
    """Say what is special about a trial: failed, stopped, the default, or one that no other beats."""
    if trial.state != "complete":
        return f"  [{trial.state}: {trial.reason}]"
    marks = ["default"] if trial.number == 0 else []
    marks += ["none better, smaller and faster"] if trial in found.front else []
    return f"  [{', '.join(marks)}]" if marks else ""


def test_figures(final: FinalTest, held_out: Split) -> dict[str, Any]:
    return {
        "measured_on": "test, once",
        "note": held_out.note,
        "winner": final.winner.summary(),
        "default": final.default.summary(),
        "difference": {
            "value": final.comparison.difference, "low": final.comparison.low, "high": final.comparison.high,
            "verdict": final.comparison.verdict,
        },
    }  # fmt: skip
