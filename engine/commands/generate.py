"""Write a made-up shop with tastes planted in it: everything here can be tried on it.

interactions.csv holds all choices of a year, train.csv the first four fifths by date and test.csv the
rest, of shoppers who are in train.csv; items.csv holds titles, categories, prices and
sellers.

Examples:
  python -m engine generate --users 5000 --items 2000 --interactions 200000 --out shop
"""

import argparse
from pathlib import Path

import numpy as np

from engine.interactions import Interactions
from engine.splitting import SplitConfig, training_part
from engine.synthetic import make_shop, write_interactions_csv


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=5_000, help="how many shoppers (5000)")
    parser.add_argument("--items", type=int, default=2_000, help="how many items (2000)")
    parser.add_argument("--interactions", type=int, default=200_000, help="how many choices (200000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made if missing")


def run(asked: argparse.Namespace) -> int:
    """Print each file with its number of lines."""
    if min(asked.users, asked.items, asked.interactions) < 2:
        raise ValueError("a shop needs at least two users, two items and two interactions")
    shop = make_shop(
        n_users=asked.users, n_items=asked.items, n_interactions=asked.interactions, seed=asked.seed
    )
    data = shop.interactions
    train = training_part(data, SplitConfig())
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, part in (("interactions", data), ("train", train), ("test", _rest(data, train))):
        write_interactions_csv(asked.out / f"{name}.csv", part)
        print(f"{asked.out / name}.csv\t{len(part):,} interactions")
    shop.write_items_csv(asked.out / "items.csv")
    print(f"{asked.out / 'items'}.csv\t{asked.items:,} items")
    return 0


def _rest(data: Interactions, train: Interactions) -> Interactions:
    """Give what comes after the last choice to learn from, of shoppers who have history."""
    assert data.times is not None
    assert train.times is not None
    known = np.bincount(train.users, minlength=data.shape[0]) > 0
    return data.part((data.times > train.times.max()) & known[data.users])
