"""Print the items most like some items: item, place, similar item, score, separated by tabs.

Examples:
  python -m engine similar --model model --item i7 --k 5
  python -m engine similar --train train.csv --algorithm item_knn --item i7 --item i8
"""

import argparse

from engine.commands.files import positions_of
from engine.commands.options import add_model, open_model
from engine.estimators.base import check_k


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--item", action="append", required=True, help="an id of the file; may be repeated")
    parser.add_argument("--k", type=int, default=10, help="list length (10)")


def run(asked: argparse.Namespace) -> int:
    """Print each asked item's list."""
    check_k(asked.k)  # before a fit
    model, _, item_ids, _ = open_model(asked)
    found = model.similar_items(positions_of(asked.item, item_ids, "item"), asked.k)
    for item, others, scores in zip(asked.item, found.items.tolist(), found.scores.tolist(), strict=True):
        for place, (other, score) in enumerate(zip(others, scores, strict=True), 1):
            if other >= 0:
                print(f"{item}\t{place}\t{item_ids[other]}\t{score:.6f}")
    return 0
