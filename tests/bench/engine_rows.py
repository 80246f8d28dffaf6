"""The engine's rows of the report: each asks both sides in turn and gives the ratio beside its goal."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from data import TEST_DATA, Parts, generated, ndcg_at_20, ratings, read_split
from files import write_matrix
from pairs import INTERPRETERS, ROOT, Row, Side, in_turn

GRID = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15)
BLINK_S = 0.1
CLOSE = 0.995  # both stop as soon as they are this near to what both reach on validation
# The best by NDCG@20 on each set's validation split, with 8 iterations of ours and 12 of implicit's.
OURS = {
    "gowalla": {"regularization": 0.003, "unobserved_weight": 45.0},
    "amazon-beauty": {"regularization": 0.02, "unobserved_weight": 30.0},
}
BEST_512 = [
    "--set",
    "regularization=0.003",
    "--set",
    "unobserved_weight=30",
    "--set",
    "iterations=10",
]  # by validation too
BEST_GRAPH = ["item_graph", "--set", "alpha=0.5", "--set", "beta=0.2", "--set", "sharpness=0.9"]  # as well
TUNED = {"gowalla": {"alpha": 30.0, "reg": 5.0}, "amazon-beauty": {"alpha": 30.0, "reg": 2.0}}


def rows(folder: Path, *, everything: bool) -> Iterator[Row]:
    with Side("ours") as ours, Side("peers") as peers:
        if (TEST_DATA / "gowalla").exists():
            gowalla = read_split("gowalla")
            yield from factors_on_gowalla(folder, gowalla, ours, peers, everything=everything)
            rivals = Rivals(folder, "amazon-beauty", read_split("amazon-beauty"), ours, peers)
            yield from rivals.rows(64, *rivals.enough(64))
            yield from graph_on_gowalla(folder, gowalla, ours, peers)
            yield from answers(folder, gowalla, ours, peers)
            yield from quality()
        yield from explicit(folder, ours, peers)
        yield from estimates(ours)
    yield from large(folder)


class Rivals:
    """iALS and implicit's, each with its settings for a set."""

    def __init__(self, folder: Path, name: str, parts: Parts, ours: Side, peers: Side) -> None:
        self.name, self.parts, self.ours, self.peers = name, parts, ours, peers
        self.out = str(folder / f"{name}-factors")
        self.train, self.inner = (
            write_matrix(folder / f"{name}-{part}.npz", getattr(parts, part)) for part in ("train", "inner")
        )

    def mine(self, matrix: str, factors: int, iterations: int) -> dict[str, Any]:
        config = {**OURS[self.name], "factors": factors, "iterations": iterations}
        return self.ours.ask("fit", algorithm="als", matrix=matrix, config=config, out=self.out + ".ours.npz")

    def theirs(self, matrix: str, factors: int, iterations: int, **settings: Any) -> dict[str, Any]:
        settings = {**TUNED[self.name], **settings, "factors": factors, "iterations": iterations}
        return self.peers.ask("implicit_als", matrix=matrix, out=self.out + ".peer.npz", **settings)

    def enough(self, factors: int) -> tuple[int, int]:
        """Find the iterations by which each comes near to what both reach on validation."""
        found = [
            [
                ndcg_at_20(ask(self.inner, factors, n)["out"], self.parts.inner, self.parts.validation)
                for n in GRID
            ]
            for ask in (self.mine, self.theirs)
        ]
        enough = CLOSE * min(max(each) for each in found)
        n, m = (next(n for n, at in zip(GRID, each, strict=True) if at >= enough) for each in found)
        return n, m

    def rows(self, factors: int, n: int, m: int) -> Iterator[Row]:
        pair = in_turn(
            lambda: self.mine(self.train, factors, n), lambda: self.theirs(self.train, factors, m), "seconds"
        )
        quality = [
            ndcg_at_20(side["out"], self.parts.train, self.parts.test) for side in (pair.ours, pair.peer)
        ]
        note = f"{n} and {m} iterations; NDCG@20 {quality[0]:.4f} and {quality[1]:.4f}"
        what = f"{self.name}, d={factors}"
        yield Row(f"iALS fit / implicit ALS (CG), tuned, {what}", "≤", 1 / 2.5, "0.30", pair.ratio, note)
        yield Row(f"its NDCG@20 / theirs, {what}", "≥", 0.99, "–", quality[0] / quality[1])


def factors_on_gowalla(
    folder: Path, parts: Parts, ours: Side, peers: Side, *, everything: bool
) -> Iterator[Row]:
    rivals = Rivals(folder, "gowalla", parts, ours, peers)
    mine, theirs, train, out = rivals.mine, rivals.theirs, rivals.train, rivals.out
    for factors in (128, 64):
        first, second = rivals.enough(factors)
        yield from rivals.rows(factors, first, second)
    pair = in_turn(lambda: mine(train, 64, first), lambda: theirs(train, 64, 15), "seconds")
    yield Row("the same / its default 15 iterations", "≤", 1 / 4, "0.17", pair.ratio)
    pair = in_turn(lambda: mine(train, 128, 4), lambda: theirs(train, 128, 1, use_cg=False), "seconds")
    note = "seconds an iteration; ours of four, with its exact last half sweep"
    yield Row("iALS iteration / implicit exact solver, d=128", "≤", 1 / 10, "0.045", pair.ratio / 4, note)
    pair = in_turn(
        lambda: mine(train, 64, first),
        lambda: peers.ask("lenskit_als", matrix=train, factors=64, out=out + ".peer.npz"), "seconds",
    )  # fmt: skip
    quality = [ndcg_at_20(side["out"], parts.train, parts.test) for side in (pair.ours, pair.peer)]
    note = f"NDCG@20 {quality[0]:.4f} and {quality[1]:.4f}"
    yield Row("iALS fit / lenskit ImplicitMF, d=64", "≤", 1 / 12, "0.033", pair.ratio, note)
    if everything:
        spark = {"matrix": train, "factors": 64, "iterations": 15, **TUNED["gowalla"]}
        pair = in_turn(
            lambda: mine(train, 64, first), lambda: peers.ask("spark_als", **spark), "seconds", pairs=1
        )
        yield Row("iALS fit / Spark ALS local[2], d=64", "≤", 1 / 50, "0.0067", pair.ratio)


def graph_on_gowalla(folder: Path, parts: Parts, ours: Side, peers: Side) -> Iterator[Row]:
    train = write_matrix(folder / "train.npz", parts.train)
    pair = in_turn(
        lambda: ours.ask("fit", algorithm="item_graph", matrix=train, config={"neighbours": 500}),
        lambda: peers.ask("implicit_tfidf", matrix=train, neighbours=500), "seconds",
    )  # fmt: skip
    yield Row("item graph fit / implicit TF-IDF, 500 neighbours", "≤", 0.7, "0.46", pair.ratio)


def answers(folder: Path, parts: Parts, ours: Side, peers: Side) -> Iterator[Row]:
    seen, factors = str(folder / "train.npz"), str(folder / "answers.npz")
    config = {**OURS["gowalla"], "factors": 64, "iterations": 5}
    ours.ask("fit", algorithm="als", matrix=seen, config=config, out=factors)
    ask = {"factors": factors, "seen": seen, "k": 10}
    pair = in_turn(
        lambda: ours.ask("recommend_all", **ask), lambda: peers.ask("recommend_all", **ask), "per_second"
    )
    yield Row("recommend for all, users/s / implicit at its best, k=10, d=64", "≥", 2, "2.2–3", pair.ratio)
    users = np.random.default_rng(2).choice(parts.train.shape[0], 2_000, replace=False).tolist()
    ask |= {"users": users}
    pair = in_turn(
        lambda: ours.ask("recommend_one", **ask), lambda: peers.ask("recommend_one", **ask), "seconds"
    )
    yield Row("one user, p99 / implicit.recommend", "≤", 0.7, "0.5", pair.ratio)


def quality() -> Iterator[Row]:
    """Ask the command line, as a data scientist would."""
    wanted = (
        ("iALS, d=512", 0.146, ".148–.150", ["als", "--set", "factors=512", *BEST_512]),
        ("item graph, by validation", 0.157, "–", BEST_GRAPH),
        ("item graph's default, the best on test without sharpness", 0.157, ".158", ["item_graph"]),
    )
    files = [TEST_DATA / "gowalla" / f"{part}.csv.gz" for part in ("train", "test")]
    for name, must, reach, (algorithm, *settings) in wanted:
        command = [INTERPRETERS["ours"], "-m", "engine", "evaluate", "--train", files[0], "--test", files[1]]
        command += ["--algorithm", algorithm, *settings, "--k", "20", "--json"]
        answer = json.loads(
            subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        )
        note = f"fit {answer['fit_seconds']:.1f} s, peak {answer['peak_memory_bytes'] / 1e6:.0f} MB"
        yield Row(
            f"NDCG@20 on Gowalla: {name}", "≥", must, reach, answer["metrics"]["ndcg@20"]["value"], note
        )


def explicit(folder: Path, ours: Side, peers: Side) -> Iterator[Row]:
    settings = {"factors": 100, "epochs": 20}
    own = {**settings, "solver": "sgd", "learning_rate": 0.005, "regularization": 0.02}
    for size, (train, test) in ratings(folder).items():
        pair = in_turn(
            lambda: ours.ask("predict", algorithm="biased_mf", matrix=train, test=test, config=own),  # noqa: B023
            lambda: peers.ask("surprise_svd", matrix=train, test=test, **settings),  # noqa: B023
            "seconds",
        )  # fmt: skip
        must, reach = (1 / 10, "0.06") if size == "100 k" else (1 / 4, "0.2")
        errors = pair.ours["rmse"], pair.peer["rmse"]
        note = f"RMSE {errors[0]:.4f} and {errors[1]:.4f}"
        yield Row(f"biased MF fit / Surprise SVD, {size} ratings", "≤", must, reach, pair.ratio, note)
        yield Row(f"its RMSE − theirs, {size} ratings", "≤", 0.002, "–", errors[0] - errors[1])


def estimates(ours: Side) -> Iterator[Row]:
    """By what factor each algorithm's time misses its estimate; below a blink both are nothing."""
    for name, (expected, taken) in ours.ask("estimates")["seconds"].items():
        said, was = max(expected, BLINK_S), max(taken, BLINK_S)
        note = f"estimated {expected:.2f} s, took {taken:.2f} s"
        yield Row(f"time of a fit off its estimate: {name}", "≤", 2, "–", max(said / was, was / said), note)


def large(folder: Path) -> Iterator[Row]:
    """Matrices of 4, 5 and 17 million interactions: speed, growth and, in fresh processes, memory."""
    config = {"factors": 64, "iterations": 2}
    middle, big, small = (generated(folder, n) for n in (5_000_000, 17_000_000, 4_000_000))
    with Side("ours") as ours, Side("peers") as peers:

        def mine(matrix: str, iterations: int) -> dict[str, Any]:
            return ours.ask(
                "fit", algorithm="als", matrix=matrix, config={**config, "iterations": iterations}
            )

        def theirs(iterations: int) -> dict[str, Any]:
            return peers.ask("implicit_als", matrix=middle, factors=64, iterations=iterations)

        pair = in_turn(
            lambda: {"seconds": mine(middle, 3)["seconds"] - mine(middle, 1)["seconds"]},
            lambda: {"seconds": theirs(3)["seconds"] - theirs(1)["seconds"]}, "seconds",
        )  # fmt: skip
        yield Row("iALS iteration / implicit CG, 5 M interactions, d=64", "≤", 1 / 2.5, "0.30", pair.ratio)
        growth = in_turn(lambda: mine(big, 2), lambda: mine(small, 2), "seconds")
        yield Row("growth: time an interaction, 17 M / 4 M", "≤", 1.2, "1.1", growth.ratio * 4 / 17)
    yield memory(big)


def memory(matrix: str) -> Row:
    """Fit once in a fresh process a side."""
    peaks = []
    for name in ("ours", "peers"):
        with Side(name) as side:
            job: dict[str, Any] = {"matrix": matrix, "factors": 64, "iterations": 1}
            if name == "ours":
                job = {"matrix": matrix, "algorithm": "als", "config": {"factors": 64, "iterations": 1}}
            peaks.append(side.ask("fit" if name == "ours" else "implicit_als", **job)["peak_bytes"])
    note = f"{peaks[0] / 1e9:.2f} and {peaks[1] / 1e9:.2f} GB, the matrix included"
    return Row("peak memory of an iALS fit / implicit, 17 M", "≤", 1.0, "0.85", peaks[0] / peaks[1], note)
