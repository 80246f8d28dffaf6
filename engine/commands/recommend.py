"""Print the best items for some users, without what they have: user, place, item, score, by tabs.

Examples:
  python -m engine recommend --model model --user u42 --user u43 --k 5
  python -m engine recommend --train train.csv --algorithm item_knn --user u42
"""

import argparse

from engine.commands.files import positions_of
from engine.commands.options import add_model, open_model
from engine.estimators.base import check_k


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--user", action="append", required=True, help="an id of the file; may be repeated")
    parser.add_argument("--k", type=int, default=10, help="list length (10)")


def run(asked: argparse.Namespace) -> int:
    """Print each asked user's list."""
    check_k(asked.k)  # before a fit
    model, user_ids, item_ids, seen = open_model(asked)
    users = positions_of(asked.user, user_ids, "user")
    found = model.recommend(users, asked.k, seen=seen[users])
    for user, items, scores in zip(asked.user, found.items.tolist(), found.scores.tolist(), strict=True):
        for place, (item, score) in enumerate(zip(items, scores, strict=True), 1):
            if item >= 0:
                print(f"{user}\t{place}\t{item_ids[item]}\t{score:.6f}")
    return 0
