"""Small files, and versions and runs brought to where a test begins."""

from itertools import count
from typing import Any

import numpy as np

from models_app.models import Dataset, DatasetVersion, TrainingRun
from models_app.services import datasets, training
from models_app.services.checking import check_version
from models_app.services.fitting import run_training
from portal.core.actors import Actor
from portal.core.models import Shop

numbers = count(1)


def ratings_csv(users: int = 60, items: int = 40, each: int = 12, seed: int = 1) -> bytes:
    """Ratings with two planted tastes: even users like the first half of the items, odd users the second."""
    rng = np.random.default_rng(seed)
    lines = ["user_id,item_id,rating,timestamp"]
    for user in range(users):
        half = np.arange(items // 2) + (user % 2) * (items // 2)
        weights = 1 / (1 + np.arange(items // 2))
        chosen = rng.choice(half, min(each, items // 2 - 1), replace=False, p=weights / weights.sum())
        lines += [
            f"u{user},i{item},{rng.integers(3, 6)},{1_700_000_000 + 86_400 * at + 60 * user}"
            for at, item in enumerate(chosen)
        ]
    return "\n".join(lines).encode() + b"\n"


def items_csv(items: int = 40) -> bytes:
    rows = [
        f"i{item},Product number {item},{half},{item}.50,seller{item % 3}"
        for item in range(items)
        for half in ["first" if item < items // 2 else "second"]
    ]
    return "\n".join(["item_id,title,category,price,seller", *rows]).encode() + b"\n"


def make_dataset(actor: Actor, shop: Shop) -> Dataset:
    return datasets.create_dataset(actor, shop, f"ratings {next(numbers)}")


def make_version(
    actor: Actor, shop: Shop, body: bytes | None = None, *, items: bytes | None = None, checked: bool = False
) -> DatasetVersion:
    """Upload a version; checked: and let it be read."""
    version = datasets.start_version(actor, make_dataset(actor, shop))
    datasets.attach_file(actor, version, [ratings_csv() if body is None else body], "ratings.csv")
    if items is not None:
        datasets.attach_file(actor, version, [items], "items.csv")
    if checked:
        datasets.start_check(actor, version)
        check_version(version.pk)
        version.refresh_from_db()
    return version


def start_runs(actor: Actor, version: DatasetVersion, *names: str, **options: Any) -> list[TrainingRun]:
    """Queue the algorithms named (default: item_knn) with small settings, the baseline first."""
    small = {"als": {"factors": 8, "iterations": 3}}
    chosen = [{"algorithm": name, "config": small.get(name, {})} for name in names or ("item_knn",)]
    return training.start_training(actor, version.shop, version, "shop-main", chosen, **options)


def train(*runs: TrainingRun) -> None:
    """Let a worker work on the runs, one after the other."""
    for run in runs:
        run_training(run.pk)
        run.refresh_from_db()
