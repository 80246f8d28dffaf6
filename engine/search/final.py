"""The one look at the test part: the winner of a search beside the default setting."""

from dataclasses import dataclass

from engine.estimators.base import Estimator
from engine.evaluation import Comparison, Evaluation, compare, evaluate
from engine.parameters import make_config
from engine.search.findings import Findings
from engine.search.scoring import length_of
from engine.splitting import Split


@dataclass(frozen=True)
class FinalTest:
    """Both were trained on all that the test part left; comparison: the winner against the default."""

    model: Estimator
    winner: Evaluation
    default: Evaluation
    comparison: Comparison


def judge_winner(
    algorithm: type[Estimator], findings: Findings, held_out: Split, *, seed: int = 0, threads: int = 2
) -> FinalTest:
    """Fit winner and default on `held_out.train` and measure them on its test part, which no trial saw."""
    measured = []
    for trial in (findings.winner, findings.default):
        config = make_config(algorithm.Config, trial.settings)
        model = algorithm(config, seed=seed, threads=threads)
        model.fit(held_out.train, context=held_out.context)
        measured.append((model, evaluate(model, held_out, (length_of(findings.metric),), seed=seed)))
    (model, winner), (_, default) = measured
    comparison = compare(winner.per_user, default.per_user, findings.metric, seed=seed)
    return FinalTest(model, winner, default, comparison)
