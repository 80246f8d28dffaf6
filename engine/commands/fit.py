"""Train on all of a file and keep the model in a folder that can be loaded, served and registered.

Examples:
  python -m engine fit --train train.csv --algorithm als --set factors=128 --out model
  python -m engine fit --train log.csv --event-weights view=1,buy=5 --set values=confidence --out model
  python -m engine fit --train train.csv --items items.csv --algorithm content --out model
"""

import argparse
from pathlib import Path

from engine.artifacts import load_artifact, save_artifact
from engine.commands.files import read_items, read_together
from engine.commands.options import add_training, chosen_weights, make_model, peak_memory_bytes, timed_fit
from engine.estimators.base import Context


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder")


def run(asked: argparse.Namespace) -> int:
    """Print what was learned from, what it cost, and the digest that pins the model."""
    check_new_folder(asked.out)
    model = make_model(asked)
    (data,) = read_together(asked.train, weighing=chosen_weights(asked))
    facts, matrix = read_items(asked.items, data.item_ids), data.matrix()
    fitted = timed_fit(model, matrix, Context(data.matrix_times(), facts))
    digest = save_artifact(
        asked.out, model, user_ids=data.user_ids, item_ids=data.item_ids, seen=matrix, facts=facts
    )
    kept = load_artifact(asked.out, digest)
    print(f"{'algorithm':20} {model.name}")
    print(f"{'learned from':20} {matrix.nnz:,} interactions of {matrix.shape[0]:,} × {matrix.shape[1]:,}")
    print(f"{'fit seconds':20} {fitted:.3f}")
    print(f"{'peak memory':20} {peak_memory_bytes() / 1e6:.0f} MB")
    print(f"{'size':20} {kept.size_bytes / 1e6:.1f} MB in {asked.out}")
    print(f"{'digest':20} {digest}")
    return 0


def check_new_folder(folder: Path) -> None:
    """Raise ValueError when there is something in the way of a new folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already; name a new folder")
