"""A search finds good settings, keeps what it tried, and goes on where it was stopped."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from engine.estimators import ALGORITHMS
from engine.estimators.als import ALS, ALSConfig
from engine.estimators.base import Context, Progress
from engine.estimators.biased_mf import BiasedMF
from engine.estimators.popularity import Popularity
from engine.evaluation import compare
from engine.folds import random_folds
from engine.parameters import ConfigError, Settings, Value, config_fields, make_config, option
from engine.search import (
    Findings,
    SearchConfig,
    Trial,
    best_of,
    judge_winner,
    pareto_front,
    search,
    search_space,
    validation_folds,
)
from engine.search.scoring import judge, sample_users
from engine.search.space import distribution, grid, tidy
from engine.splitting import Split, SplitConfig, split, training_part
from engine.synthetic import make_shop
from engine.testing import Cancelled

HELD_OUT = SplitConfig()


@pytest.fixture(scope="module")
def shop() -> tuple[list[Split], Split]:
    """Give one validation fold and the test split of a small planted shop."""
    data = make_shop(n_users=500, n_items=200, n_interactions=12_000).interactions
    return list(validation_folds(training_part(data, HELD_OUT), HELD_OUT)), split(data, HELD_OUT)


@dataclass(frozen=True)
class PlantedConfig(Settings):
    near: float = option(0.9, title="Near", help="Best at 0.3.", minimum=0.0, maximum=1.0, search=(0.0, 1.0))
    idle: float = option(0.5, title="Idle", help="Matters not.", minimum=0.0, maximum=1.0, search=(0.0, 1.0))
    iterations: int = option(
        9, title="Iterations", help="More are better.", minimum=1, maximum=9, search=(1, 9)
    )


class Planted(Popularity):
    """Popularity with the best sellers of a share of the users: the further from 0.3, the more is wrong."""

    name = "planted"
    Config = PlantedConfig
    fits = 0

    def _fit(self, matrix, context: Context, progress) -> None:  # type: ignore[no-untyped-def]
        Planted.fits += 1
        config = self.config
        assert isinstance(config, PlantedConfig)
        if 0.6 < config.near < 0.7:
            raise ValueError("does not converge")
        counts = np.bincount(matrix.indices, minlength=self.n_items_).astype(np.float32)
        wrong = np.random.default_rng(0).random(self.n_items_) < abs(config.near - 0.3)
        self.popularity_ = np.where(wrong, np.float32(0.5), counts)


def clock(step: float = 0.0) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: next(ticks) * step


def look(folds: Sequence[Split], **options: object) -> Findings:
    own = {name: options.pop(name) for name in ("journal", "progress", "now") if name in options}
    return search(Planted, folds, SearchConfig(**options), **({"now": clock()} | own))  # type: ignore[arg-type]


def told(findings: Findings) -> list[Trial]:
    return [replace(trial, fit_seconds=0, latency_ms=None) for trial in findings.trials]


def test_the_space_follows_the_options() -> None:
    space = search_space(ALSConfig, {"iterations": 5})
    assert list(space) == ["factors", "regularization", "unobserved_weight", "values"]
    assert space["regularization"].log  # type: ignore[attr-defined]
    assert (space["factors"].low, space["factors"].high) == (16, 256)  # type: ignore[attr-defined]
    assert tidy({"factors": 37, "regularization": 0.0123456}, ALSConfig) == {
        "factors": 40,
        "regularization": 0.0123,
    }
    assert len(grid(space)) == 3 * 3 * 3 * 2
    assert [each["factors"] for each in grid({"factors": space["factors"]})] == [16, 64, 256]


def test_every_number_is_searched_in_a_range_or_left_alone_on_purpose() -> None:
    left_alone = {
        f"{name}.{each.name}"
        for name, kind in ALGORITHMS.items()
        for each in config_fields(kind.Config)
        if distribution(each) is None
    }
    assert left_alone == {"ease.max_items", "content.min_items", "hybrid.held_out", "hybrid.content"}
    for kind in ALGORITHMS.values():
        for each in config_fields(kind.Config):
            if each.search:
                assert each.minimum is not None
                assert each.maximum is not None
                assert each.minimum <= each.search[0] <= each.default <= each.search[1] <= each.maximum


def test_a_search_for_the_smallest_error_keeps_the_least_and_needs_predictions(
    shop: tuple[list[Split], Split],
) -> None:
    config = SearchConfig(metric="rmse", trials=6, method="random", seed=2)
    fixed: dict[str, Value] = {"solver": "sgd", "factors": 8}
    found = search(BiasedMF, shop[0], config, now=clock(), fixed=fixed)
    complete = [trial for trial in found.trials if trial.state == "complete"]
    assert len({trial.quality for trial in complete}) > 1
    assert best_of(found.trials, "rmse") is min(complete, key=lambda trial: trial.quality or 0)
    assert found.front[0] is best_of(found.trials, "rmse")
    final = judge_winner(BiasedMF, found, shop[1])
    assert final.winner.metrics["rmse"].value <= 1.02 * final.default.metrics["rmse"].value
    with pytest.raises(ConfigError, match="predicts no values"):
        search(ALS, shop[0], config, now=clock())


@pytest.mark.parametrize("method", ["bayes", "random", "grid"])
@pytest.mark.parametrize("halving", [True, False])
def test_a_search_beats_the_worst_quarter_and_the_default(
    shop: tuple[list[Split], Split], method: str, halving: bool
) -> None:
    found = look(shop[0], method=method, halving=halving, trials=16)
    qualities = [trial.quality for trial in found.trials if trial.quality is not None]
    assert found.winner.quality is not None
    assert found.winner.quality > np.quantile(qualities, 0.25)
    assert abs(found.winner.settings["near"] - 0.3) < abs(0.9 - 0.3)  # type: ignore[operator]
    assert found.winner.quality >= found.default.quality  # type: ignore[operator]
    verdict = judge_winner(Planted, found, shop[1])
    assert verdict.comparison.high >= 0
    assert json.loads(json.dumps(found.summary()))["measured_on"] == "validation"


def test_halving_stops_poor_settings_on_part_of_the_iterations(shop: tuple[list[Split], Split]) -> None:
    found = look(shop[0], method="random", trials=16)
    stopped = [trial for trial in found.trials if trial.state == "stopped early"]
    assert len(stopped) >= 5
    assert "iterations" not in found.winner.settings
    for trial in stopped:
        assert set(trial.at_resource) < {"1", "2", "4"}
        assert trial.size_bytes is None


def test_a_sample_of_shoppers_keeps_positions_and_times(shop: tuple[list[Split], Split]) -> None:
    fold = shop[0][0]
    part = sample_users(fold, 1 / 3, 0)
    assert part.train.shape == fold.train.shape
    kept = np.flatnonzero(np.diff(part.train.indptr))
    assert 0.2 < len(kept) / 500 < 0.45
    assert (part.train[kept] != fold.train[kept]).nnz == 0
    assert part.context.times is not None
    assert len(part.context.times) == part.train.nnz
    assert sample_users(fold, 1 / 90, 0) is fold


def test_the_same_seed_tries_the_same_and_another_seed_does_not(shop: tuple[list[Split], Split]) -> None:
    first = look(shop[0], trials=12, seed=3)
    assert told(first) == told(look(shop[0], trials=12, seed=3))
    assert told(first) != told(look(shop[0], trials=12, seed=4))


def test_a_search_goes_on_as_if_it_had_never_stopped(shop: tuple[list[Split], Split], tmp_path: Path) -> None:
    whole = look(shop[0], trials=14)
    journal = tmp_path / "journal"

    def stop(report: Progress) -> None:
        if report.done == 5 and "50%" in report.message:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        look(shop[0], trials=14, journal=journal, progress=stop)
    look(shop[0], trials=9, journal=journal)
    with journal.open("ab") as file:
        file.write(b'{"number": 9, "sett')  # what a crash leaves
    before = journal.read_bytes()
    Planted.fits = 0
    resumed = look(shop[0], trials=14, journal=journal)
    assert told(resumed) == told(whole)
    assert journal.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    Planted.fits = 0
    assert told(look(shop[0], trials=14, journal=journal)) == told(whole)
    assert Planted.fits == 2  # the best and the default are compared again


def test_a_journal_of_another_question_or_of_nothing_is_refused(
    shop: tuple[list[Split], Split], tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    look(shop[0], trials=2, journal=journal)
    with pytest.raises(ValueError, match=r"another search \(search differ"):
        look(shop[0], trials=2, journal=journal, seed=1)
    with pytest.raises(ValueError, match=r"another search \(data differ"):
        look([shop[1]], trials=2, journal=journal)
    journal.write_text("user,item\na,b\n")
    with pytest.raises(ValueError, match="not the journal"):
        look(shop[0], trials=2, journal=journal)


def test_a_setting_that_fails_is_kept_with_its_reason(shop: tuple[list[Split], Split]) -> None:
    found = look(shop[0], method="random", trials=25)
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed
    assert {trial.reason for trial in failed} == {"does not converge"}
    assert all(trial.quality is None for trial in failed)
    assert len(found.trials) == 25

    class Broken(Planted):
        def _fit(self, matrix, context: Context, progress) -> None:  # type: ignore[no-untyped-def]
            raise ValueError("does not converge")

    with pytest.raises(ValueError, match=r"No setting could be fitted\. does not converge"):
        search(Broken, shop[0], SearchConfig(trials=3), now=clock())


def test_no_trial_begins_after_the_minutes_are_over(shop: tuple[list[Split], Split]) -> None:
    found = look(shop[0], trials=50, minutes=5.0, now=clock(1.0))  # every look at the clock takes a second
    assert 2 <= len(found.trials) < 50
    assert found.ended.startswith("The 5 minutes were over")


class Slow(Planted):
    """Planted, by a fit of many rounds that tells of each."""

    rounds: ClassVar[list[int]] = []

    def _fit(self, matrix, context: Context, progress) -> None:  # type: ignore[no-untyped-def]
        self.rounds.append(0)
        for at in range(100):
            progress(Progress("fit", at, 100, f"Round {at + 1}"))
            self.rounds[-1] += 1
        super()._fit(matrix, context, progress)


def test_the_end_of_the_minutes_ends_a_fit_under_way_and_keeps_what_was_finished(
    shop: tuple[list[Split], Split], tmp_path: Path
) -> None:
    Slow.rounds.clear()
    journal = tmp_path / "journal"
    config = SearchConfig(trials=50, minutes=8.0, halving=False)  # every look at the clock takes a second
    found = search(Slow, shop[0], config, now=clock(1.0), journal=journal)
    done = len(found.trials)
    assert 2 <= done < 10
    assert Slow.rounds[:-1] == [100] * done  # nothing was fitted again to be compared
    assert 0 < Slow.rounds[-1] < 100
    assert found.ended == f"The 8 minutes were over in trial {done + 1}, which was not finished."
    assert journal.read_bytes().count(b"\n") == 1 + done
    more = search(Slow, shop[0], replace(config, minutes=0.0, trials=done + 1), now=clock(), journal=journal)
    assert told(more)[:done] == told(found)
    short = search(Slow, shop[0], replace(config, minutes=0.01), now=clock(1.0))
    assert [trial.state for trial in short.trials] == [
        "complete"
    ]  # the default, without which nothing is known


def test_to_cancel_a_search_cancels_the_fit_under_way(shop: tuple[list[Split], Split]) -> None:
    Slow.rounds.clear()

    def stop(report: Progress) -> None:
        if report.done == 1 and report.message.startswith("Trial 2, 25% of the resource: Round 7"):
            raise Cancelled

    with pytest.raises(Cancelled):
        search(Slow, shop[0], SearchConfig(trials=5), now=clock(), progress=stop)
    assert Slow.rounds == [100, 100, 100, 6]


def test_the_best_is_compared_by_what_its_trial_measured(shop: tuple[list[Split], Split]) -> None:
    folds = list(random_folds(make_shop(n_users=200, n_items=100, n_interactions=4_000).interactions, 3))
    found = search(Planted, folds, SearchConfig(trials=8, halving=False), now=clock())
    assert found.gain is not None
    per_user = [
        judge(
            lambda config: Planted(config),
            make_config(PlantedConfig, trial.settings),
            folds,
            "ndcg@10",
            now=clock(),
        ).per_user
        for trial in (best_of(found.trials, "ndcg@10"), found.default)
        if trial is not None
    ]
    assert found.gain == compare(*per_user, "ndcg@10")
    assert found.gain.n_users == sum(fold.n_test_users for fold in folds)


def test_a_small_space_ends_when_all_of_it_was_tried(shop: tuple[list[Split], Split]) -> None:
    found = search(Popularity, shop[0], SearchConfig(trials=40, method="random"), now=clock())
    different = {json.dumps(dict(trial.settings)) for trial in found.trials}
    assert len(different) == 2
    assert found.ended == "All 2 settings there are were tried."
    assert sum(trial.same_as is None for trial in found.trials) == 2


def test_importance_sums_to_one_and_names_what_matters(shop: tuple[list[Split], Split]) -> None:
    found = look(shop[0], method="random", halving=False, trials=40)
    assert sum(found.importance.values()) == pytest.approx(1)
    assert next(iter(found.importance)) == "near"
    assert look(shop[0], trials=2).importance == {}


def test_the_front_is_what_brute_force_finds() -> None:
    rng = np.random.default_rng(5)
    trials = [
        Trial(n, {}, "complete", float(q) / 4, size_bytes=int(s), latency_ms=float(t))
        for n, (q, s, t) in enumerate(rng.integers(0, 5, (60, 3)))
    ]
    trials.append(Trial(60, {}, "failed"))

    def beats(a: Trial, b: Trial) -> bool:
        pairs = [(b.quality, a.quality), (a.size_bytes, b.size_bytes), (a.latency_ms, b.latency_ms)]
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)  # type: ignore[operator]

    complete = trials[:-1]
    by_hand = {b.number for b in complete if not any(beats(a, b) for a in complete)}
    front = pareto_front(trials, "ndcg@10")
    assert {trial.number for trial in front} == by_hand
    assert [t.quality for t in front] == sorted((t.quality for t in front), reverse=True)  # type: ignore[type-var]


def test_size_and_latency_are_measured(shop: tuple[list[Split], Split]) -> None:
    quick = {"iterations": 1, "values": "ignore", "unobserved_weight": 30.0}
    config = SearchConfig(method="grid", trials=4, halving=False)
    found = search(ALS, shop[0], config, now=time.perf_counter, fixed=quick)
    widths = {trial.settings["factors"]: trial.size_bytes for trial in found.trials}
    assert widths[16] < widths[64]  # type: ignore[operator]
    assert all(0 < trial.latency_ms < 1000 for trial in found.trials)  # type: ignore[operator]
    assert all(trial.fit_seconds > 0 for trial in found.trials)


def test_folds_divide_the_training_part_as_the_test_was_divided() -> None:
    data = make_shop(n_users=300, n_items=100, n_interactions=5_000).interactions
    assert len(validation_folds(data, HELD_OUT, 3)) == 3
    assert "by date" in validation_folds(data, HELD_OUT, 3)[0].note
    assert "at random" in validation_folds(data, SplitConfig(method="random"), 2)[0].note


@pytest.mark.long
def test_a_search_killed_in_mid_trial_goes_on_after_its_last_trial(tmp_path: Path) -> None:
    shop = make_shop(n_users=500, n_items=200, n_interactions=12_000)
    shop.write_interactions_csv(tmp_path / "train.csv")
    journal = tmp_path / "journal"
    asked = [sys.executable, "-m", "engine", "search", "--train", str(tmp_path / "train.csv")]
    asked += ["--algorithm", "als", "--set", "factors=16", "--journal", str(journal), "--json", "--trials"]
    running = subprocess.Popen([*asked, "500"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 4):
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    lines = journal.read_bytes()
    kept = lines[: lines.rfind(b"\n") + 1]
    done = kept.count(b"\n") - 1
    assert 3 <= done < 400
    told = subprocess.run([*asked, str(done + 2)], capture_output=True, text=True, check=True)
    assert journal.read_bytes().startswith(kept)
    assert len(json.loads(told.stdout)["search"]["trials"]) == done + 2
