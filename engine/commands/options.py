"""Options that commands share, and what is made of them."""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from engine.artifacts import Artifact, load_artifact
from engine.commands.files import read_items, read_together
from engine.estimators import ALGORITHMS
from engine.estimators.base import Context, Estimator
from engine.event_weights import EventWeights
from engine.interactions import IdTable
from engine.items import ItemFacts
from engine.parameters import Value, config_fields, make_config


def add_training(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add what says how to train: the file, the algorithm and its settings."""
    parser.add_argument("--train", type=Path, required=required, metavar="FILE", help="what to learn from")
    parser.add_argument(
        "--items", type=Path, metavar="FILE", help="CSV of item, title, category, price, seller"
    )
    parser.add_argument("--algorithm", choices=list(ALGORITHMS), default="als", help="als if not given")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=_list_settings())
    parser.add_argument(
        "--event-weights", metavar="TYPE=WEIGHT,…", help="what a row of each event type counts; 0: nothing"
    )
    parser.add_argument("--half-life-days", type=float, metavar="DAYS", help="how soon a row counts half")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add where a model comes from: a folder that `fit` wrote, or a file to train on first."""
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a model that `fit` wrote")
    add_training(parser, required=False)


def chosen_settings(asked: argparse.Namespace) -> dict[str, Value]:
    """Turn NAME=VALUE texts into the algorithm's settings; raise ConfigError when one is wrong."""
    kind = ALGORITHMS[asked.algorithm]
    texts = dict(text.partition("=")[::2] for text in asked.set)
    config = make_config(kind.Config, texts)
    return {name: getattr(config, name) for name in texts}


def chosen_weights(asked: argparse.Namespace) -> EventWeights | None:
    """Say what each row of a file counts; None: its value, and the last of its pair stands."""
    return EventWeights.read(asked.event_weights, asked.half_life_days)


def make_model(asked: argparse.Namespace) -> Estimator:
    """Build the asked algorithm from its NAME=VALUE settings."""
    kind = ALGORITHMS[asked.algorithm]
    config = make_config(kind.Config, chosen_settings(asked))
    if chosen_weights(asked) is not None and getattr(config, "values", None) == "ignore":
        (known,) = (each for each in config_fields(kind.Config) if each.name == "values")
        others = " or ".join(f"--set values={name}" for name, _ in known.choices if name != "ignore")
        raise ValueError(f"{asked.algorithm} ignores what a row counts; add {others}")
    return kind(config, seed=asked.seed, threads=asked.threads)


def timed_fit(model: Estimator, matrix: sp.csr_matrix, context: Context) -> float:
    """Fit and give the seconds, without those in which kernels are compiled or loaded."""
    _load_kernels(model)
    started = time.perf_counter()
    model.fit(matrix, context=context)
    return time.perf_counter() - started


def peak_memory_bytes() -> int:
    """Give the most memory that this process, and no parent of it, has held."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):  # not Linux
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def open_model(asked: argparse.Namespace) -> tuple[Estimator, IdTable, IdTable, sp.csr_matrix]:
    """Load a model, or train one; give it with its users' ids, its items' ids and what each user has."""
    if (asked.model is None) == (asked.train is None):
        raise ValueError("give --model FOLDER or --train FILE, one of them")
    if asked.model is not None:
        kept: Artifact = load_artifact(asked.model, threads=asked.threads)
        return kept.estimator, kept.user_ids, kept.item_ids, kept.seen
    model = make_model(asked)
    (data,) = read_together(asked.train, weighing=chosen_weights(asked))
    facts: ItemFacts | None = read_items(asked.items, data.item_ids)
    matrix = data.matrix()
    model.fit(matrix, context=Context(data.matrix_times(), facts))
    return model, data.user_ids, data.item_ids, matrix


def _load_kernels(model: Estimator) -> None:
    """Fit a twin on a few made-up interactions, so that everything compiled is at hand."""
    matrix = sp.csr_matrix((np.random.default_rng(0).random((12, 9)) < 0.5).astype(np.float32))
    facts = ItemFacts.of([f"thing {at}" for at in range(9)], ["a", "b", "c"] * 3, np.ones(9))
    twin = type(model)(model.config, seed=model.seed, threads=model.threads)
    twin.fit(matrix, context=Context(np.arange(matrix.nnz, dtype=np.int64), facts))


def _list_settings() -> str:
    each = (
        f"{name}: {', '.join(p.name for p in config_fields(kind.Config)) or 'none'}"
        for name, kind in ALGORITHMS.items()
    )
    return "a setting of the algorithm; may be repeated (" + "; ".join(each) + ")"
