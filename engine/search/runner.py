"""Try settings one after the other, best guess first, and keep every finished trial.

Bayesian search: Bergstra, Bardenet, Bengio & Kégl 2011, "Algorithms for hyper-parameter optimization"
(TPE). Successive halving: Li et al. 2020, "A system for massively parallel hyperparameter tuning" (ASHA).
Both are Optuna's. Each trial has a seed of its own, so that a search that was interrupted and goes on
tries what it would have tried.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from engine.estimators.base import Estimator, Progress, ProgressCallback, Settings
from engine.evaluation import Comparison, PerUser, compare
from engine.metric_meanings import metric_better
from engine.parameters import ConfigError, Value, config_fields, make_config
from engine.search.config import SearchConfig
from engine.search.findings import Findings, best_of, importance_of, pareto_front
from engine.search.journal import Journal, Trial
from engine.search.scoring import Judged, Now, judge
from engine.search.space import RESOURCES, Space, count_settings, grid, search_space, tidy
from engine.splitting import Split

STEPS = (1, 2, 4)  # quarters of the full resource at which halving compares settings
HALF = 2  # of this many settings, one goes on
STARTUP = 6  # trials drawn at random before the sampler trusts what it has seen
STATE = {"complete": TrialState.COMPLETE, "stopped early": TrialState.PRUNED, "failed": TrialState.FAIL}
UNUSABLE = (ValueError, ArithmeticError, MemoryError)  # what a setting, not a mistake of ours, may raise


class _OutOfTime(Exception):
    """The minutes were over while a trial was under way."""


class _Stopped(Exception):
    """Carries what the caller's progress raised past the net for settings that fail."""

    def __init__(self, raised: Exception) -> None:
        super().__init__()
        self.raised = raised


def search(
    algorithm: type[Estimator],
    folds: Sequence[Split],
    config: SearchConfig,
    *,
    now: Now,
    fixed: Mapping[str, Value] | None = None,
    journal: Path | None = None,
    threads: int = 2,
    progress: ProgressCallback | None = None,
) -> Findings:
    """Look for the setting of an algorithm that is best on validation folds; nothing else is looked at.

    fixed: settings held at a value; the others are searched within their options' ranges. now: a clock in
    seconds. journal: a file of finished trials, from which a second call goes on. progress is called between
    trials and fits, and within fits as the algorithm calls it; what it raises stops the search, the fit with
    it, and loses the unfinished trial alone. The end of the minutes does the same, save to the first trial.
    Raises ConfigError for a fixed setting or a metric that is wrong, ValueError when no setting could be
    fitted or the journal belongs to another question.
    """
    make_config(algorithm.Config, fixed or {})
    if config.metric == "rmse" and not algorithm.predicts_values:
        raise ConfigError({"metric": f"{algorithm.title} predicts no values; choose another metric."})
    space = search_space(algorithm.Config, fixed)
    if config.halving:  # then they are the resource, not a question
        space = {name: each for name, each in space.items() if name not in RESOURCES}
    question = _question(algorithm, folds, config, space, fixed or {})
    with Journal(journal, question) as kept:
        run = _Run(
            algorithm, folds, config, space, fixed or {}, now, threads, progress or (lambda _: None), kept
        )
        try:
            ended = run.all_trials()
            winner, gain = run.choose()
        except _Stopped as stopped:
            raise stopped.raised from None
        return Findings(
            config.judged_by, kept.trials, winner, gain, importance_of(run.study, space),
            pareto_front(kept.trials, config.judged_by), ended,
        )  # fmt: skip


@dataclass
class _Run:
    algorithm: type[Estimator]
    folds: Sequence[Split]
    config: SearchConfig
    space: Space
    fixed: Mapping[str, Value]
    now: Now
    threads: int
    progress: ProgressCallback
    journal: Journal
    study: optuna.Study = field(init=False)
    judged: dict[int, PerUser] = field(default_factory=dict)  # the default and the best, where made here
    deadline: float = float("inf")

    def __post_init__(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        more = metric_better(self.config.judged_by) == "more"
        direction = StudyDirection.MAXIMIZE if more else StudyDirection.MINIMIZE
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=STEPS[0], reduction_factor=HALF)
        self.study = optuna.create_study(direction=direction, pruner=pruner)
        for trial in self.journal.trials:
            self._remember(trial)

    def all_trials(self) -> str:
        """Make trials until a budget is used up; say which."""
        listed = self._listed()
        if self.config.minutes:
            self.deadline = self.now() + 60 * self.config.minutes
        most = min(self.config.trials, len(listed)) if self.config.method == "grid" else self.config.trials
        while len(self.journal.trials) < most:
            number = len(self.journal.trials)
            self._report(number, f"Trial {number + 1}")
            if number and self._tried() >= count_settings(self.space):
                return f"All {self._tried()} settings there are were tried."
            if number and self._is_late():
                return f"The {self.config.minutes:g} minutes were over after {number} trials."
            try:
                trial = self._trial(number, listed[number] if number < len(listed) else None)
            except _OutOfTime:
                over = f"The {self.config.minutes:g} minutes were over in trial {number + 1}"
                return f"{over}, which was not finished."
            self.journal.append(trial)
            self._forget_all_but_the_best()
        done = len(self.journal.trials)
        self._report(done, "Searched")
        return f"All {done} trials were made."

    def _trial(self, number: int, given: Mapping[str, Value] | None) -> Trial:
        self.study.sampler = self._sampler(number)
        if given is not None:
            self.study.enqueue_trial(dict(given))
        asked = self.study.ask(self.space)
        settings = tidy(asked.params, self.algorithm.Config) | dict(self.fixed)
        twin = next((t for t in self.journal.trials if t.settings == settings and t.same_as is None), None)
        if twin is not None:
            trial = replace(twin, number=number, drawn=asked.params, same_as=twin.number, fit_seconds=0.0)
            for step, quality in trial.at_resource.items():
                asked.report(quality, int(step))
        else:
            trial = self._try(asked, number, settings)
        told = trial.quality if trial.state == "complete" else None
        self.study.tell(asked, told, STATE[trial.state])
        return replace(trial, attributes=dict(self.study.trials[number].system_attrs))

    def _try(self, asked: optuna.Trial, number: int, settings: Mapping[str, Value]) -> Trial:
        found: dict[str, float] = {}
        seconds, judged = 0.0, None
        state, reason = "complete", ""
        try:
            config = make_config(self.algorithm.Config, settings)
            for step in STEPS if self.config.halving else STEPS[-1:]:
                judged = self._judge(config, number, step / STEPS[-1])
                found[str(step)] = judged.quality
                seconds += judged.fit_seconds
                asked.report(judged.quality, step)
                if step < STEPS[-1] and asked.should_prune() and number > 0:
                    state, reason = "stopped early", "Others were ahead at this resource."
                    break
        except UNUSABLE as problem:
            state, reason, judged = "failed", str(problem) or type(problem).__name__, None
        whole = judged if state == "complete" else None
        return Trial(
            number,
            settings,
            state,
            quality=judged.quality if judged else None,
            at_resource=found,
            size_bytes=whole.size_bytes if whole else None,
            latency_ms=whole.latency_ms if whole else None,
            fit_seconds=seconds,
            reason=reason,
            drawn=asked.params,
        )

    def _is_late(self) -> bool:
        return self.deadline < float("inf") and self.now() >= self.deadline

    def _forget_all_but_the_best(self) -> None:
        best = best_of(self.journal.trials, self.config.judged_by)
        kept = {0} if best is None else {0, best.number}
        self.judged = {number: each for number, each in self.judged.items() if number in kept}

    def _judge(self, config: Settings, number: int, share: float) -> Judged:
        def tell(doing: str) -> None:
            self._report(number, f"Trial {number + 1}, {share:.0%} of the resource{doing}")
            if number and self._is_late():
                raise _OutOfTime

        judged = judge(
            self._model, config, self.folds, self.config.judged_by,
            share=share, seed=self.config.seed, now=self.now, tell=tell,
        )  # fmt: skip
        if share == 1:
            self.judged[number] = judged.per_user
        return judged

    def _model(self, config: Settings) -> Estimator:
        return self.algorithm(config, seed=self.config.seed, threads=self.threads)

    def _report(self, done: int, message: str) -> None:
        try:
            best = best_of(self.journal.trials, self.config.judged_by)
            known = "" if best is None else f"; best {self.config.judged_by} {best.quality:.4f}"
            self.progress(
                Progress("search", min(done, self.config.trials), self.config.trials, message + known)
            )
        except Exception as raised:
            raise _Stopped(raised) from raised

    def choose(self) -> tuple[Trial, Comparison | None]:
        """Give the best trial and its gain over the default, shopper by shopper on the folds.

        When the folds do not show that it is better, the default wins: the best of many is partly luck.
        """
        best, default = best_of(self.journal.trials, self.config.judged_by), self.journal.trials[0]
        if best is None:
            raise ValueError(f"No setting could be fitted. {default.reason}")
        if best is default or default.state != "complete":
            return best, None
        gain = compare(
            self._per_user(best), self._per_user(default), self.config.judged_by, seed=self.config.seed
        )
        return (best if gain.verdict == "better" else default), gain

    def _per_user(self, trial: Trial) -> PerUser:
        """Give a trial's metric by shopper; of a trial that another process made, by making it again."""
        if trial.number in self.judged:
            return self.judged[trial.number]

        def tell(doing: str) -> None:
            self._report(len(self.journal.trials), f"Comparing the best with the default{doing}")

        config = make_config(self.algorithm.Config, trial.settings)
        metric, seed = self.config.judged_by, self.config.seed
        return judge(self._model, config, self.folds, metric, seed=seed, now=self.now, tell=tell).per_user

    def _listed(self) -> list[Mapping[str, Value]]:
        """Give the settings that are tried whatever the sampler thinks: the default, then a grid's."""
        default = {p.name: p.default for p in config_fields(self.algorithm.Config) if p.name in self.space}
        if self.config.method != "grid":
            return [default]
        others = [each for each in grid(self.space) if each != default]
        mixed = np.random.default_rng(self.config.seed).permutation(len(others))  # a cut grid stays fair
        return [default, *(others[at] for at in mixed)]

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        seed = int(np.random.SeedSequence((self.config.seed, number)).generate_state(1)[0])
        if self.config.method == "bayes":
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
        return optuna.samplers.RandomSampler(seed=seed)

    def _tried(self) -> int:
        return sum(trial.same_as is None for trial in self.journal.trials)

    def _remember(self, trial: Trial) -> None:
        self.study.add_trial(
            create_trial(
                params=dict(trial.drawn),
                distributions=self.space,
                state=STATE[trial.state],
                value=trial.quality if trial.state == "complete" else None,
                intermediate_values={int(step): value for step, value in trial.at_resource.items()},
                system_attrs=dict(trial.attributes),
            )
        )


def _question(
    algorithm: type[Estimator],
    folds: Sequence[Split],
    config: SearchConfig,
    space: Space,
    fixed: Mapping[str, Value],
) -> dict[str, Any]:
    """Say what the trials answer; the budget is left out, since more of it is no other question."""
    digest = hashlib.sha256()
    for fold in folds:
        for matrix in (fold.train, fold.test):
            for array in (matrix.indptr, matrix.indices, matrix.data):
                digest.update(array.tobytes())
        if fold.context.times is not None:
            digest.update(fold.context.times.tobytes())
    budget = ("trials", "minutes")
    return {
        "format_version": 1,
        "algorithm": algorithm.name,
        "search": {name: value for name, value in asdict(config).items() if name not in budget},
        "space": {name: json.loads(distribution_to_json(each)) for name, each in space.items()},
        "fixed": dict(fixed),
        "data": digest.hexdigest(),
    }
