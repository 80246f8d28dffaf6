"""The worker's part of a training: load, split, fit, evaluate, fit again on everything, register."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy.sparse as sp
from django.utils import timezone

from engine.artifacts import ArtifactError
from engine.estimators import ALGORITHMS, Estimator
from engine.estimators.base import Context, Progress, ProgressCallback
from engine.evaluation import Evaluation, evaluate
from engine.gaps import Gaps, measure_gaps
from engine.parameters import make_config
from engine.segments import Segment, by_segment
from engine.splitting import Split, SplitConfig, split
from models_app.artifact_store import store_artifact
from models_app.models import RunRole, TrainingRun
from models_app.services.finishing import finish_run
from models_app.services.outcomes import JobFailed, settled
from models_app.services.registry import KeptArtifact, keep_artifact
from models_app.services.reporting import RunReport, peak_memory_bytes
from models_app.services.weighing import read_weighing
from models_app.snapshots import Snapshot, keep_per_user, load_snapshot
from portal.core.actors import system
from portal.core.errors import BackendError, Canceled
from portal.core.jobs import Claim, leased
from portal.core.storage import scratch_folder
from portal.core.transitions import transition

WORKER = "training"
THREADS = 2


def run_training(run_id: str) -> None:
    """Work on one run, if it still waits for that; safe to call twice, late or never."""
    with leased(TrainingRun, run_id) as claim:
        if claim is None:
            return
        with settled(claim, WORKER):
            _begin(claim)
            report = RunReport(claim)
            try:
                _work(claim, report)
            except (Canceled, JobFailed) as error:
                report.say(error.detail, "info" if isinstance(error, Canceled) else "error")
                report.flush()
                raise


@dataclass(frozen=True)
class Judged:
    """An evaluated model: what it scored, how long it took."""

    evaluation: Evaluation
    segments: list[Segment]
    gaps: Gaps
    split: Split
    fit_s: float
    evaluate_s: float


def _begin(claim: Claim) -> None:
    run: TrainingRun = claim.job
    claim.check()  # a run canceled before its worker came ends here
    if run.status == "queued":
        transition(
            run,
            "running",
            actor=system(WORKER),
            shop=run.shop_id,
            attempt=claim.attempt,
            started_at=timezone.now(),
        )


def _work(claim: Claim, report: RunReport) -> None:
    run: TrainingRun = claim.job
    if claim.attempt > 1:
        report.say(f"Attempt {claim.attempt}: the worker before was lost; starting afresh", "warning")
    report.enter("load", f"Loading {run.dataset_version}")
    snapshot = _weigh(run, load_snapshot(run.dataset_version.interactions_digest), report)
    judged = _judge(run, snapshot, report)
    with scratch_folder(f"{run.pk}-{claim.attempt}") as scratch:
        artifact = None
        if run.role == RunRole.CANDIDATE:
            artifact = _refit(claim, snapshot, judged, report, scratch / "artifact")
        report.enter("register", "Writing down the result")
        if artifact is not None:
            _put_into_store(artifact, report)
        folder = scratch / "per_user"
        folder.mkdir()
        per_user_digest = keep_per_user(folder, judged.evaluation.per_user)
    report.say("Done")
    columns: dict[str, Any] = {
        "metrics": measured(judged.evaluation),
        "segments": [each.summary() for each in judged.segments],
        "gaps": judged.gaps.summary(),
        "split_note": f"{run.split_note} {judged.split.note}".strip(),
        "per_user_digest": per_user_digest,
        "fit_s": judged.fit_s,
        "evaluate_s": judged.evaluate_s,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    report.flush()
    finish_run(claim, artifact, judged.evaluation.per_user, columns)


def _weigh(run: TrainingRun, snapshot: Snapshot, report: RunReport) -> Snapshot:
    """Let each row count what the run says; without that, each pair counts its value."""
    weighing = read_weighing(run.weighing)
    if weighing is None:
        return snapshot
    report.say(f"Weighing the rows: {weighing.text}")
    try:
        return snapshot.weighed(weighing)
    except ValueError as error:
        raise JobFailed(str(error), title="The rows cannot be weighed so", code="weighing_refused") from error


def _judge(run: TrainingRun, snapshot: Snapshot, report: RunReport) -> Judged:
    """Fit on the training part and measure on what was held out."""
    report.enter("split", "Dividing into training and test")
    try:
        config = make_config(SplitConfig, run.split)
        divided = split(snapshot.interactions, config, run.seed, snapshot.item_facts())
    except ValueError as error:
        raise JobFailed(
            str(error), title="This split leaves nothing to test on", code="empty_test"
        ) from error
    report.say(divided.note)
    report.enter("fit", f"Fitting {run.algorithm} on {divided.train.nnz:,} interactions")
    started = time.perf_counter()
    estimator = _fit(run, divided.train, divided.context, report.follow("fit", "iterations"))
    fit_s = time.perf_counter() - started
    report.enter("evaluate", f"Fitted in {fit_s:.2f} s; ranking for {divided.n_test_users:,} test shoppers")
    started = time.perf_counter()
    evaluation = evaluate(estimator, divided, progress=report.follow("evaluate", "shoppers"), seed=run.seed)
    segments, gaps = by_segment(evaluation, divided), measure_gaps(evaluation, divided)
    evaluate_s = time.perf_counter() - started
    report.say(f"Evaluated in {evaluate_s:.2f} s: NDCG@10 {evaluation.metrics['ndcg@10'].value:.4f}")
    return Judged(evaluation, segments, gaps, divided, fit_s, evaluate_s)


def _refit(claim: Claim, snapshot: Snapshot, judged: Judged, report: RunReport, folder: Path) -> KeptArtifact:
    """Fit the same recipe on all interactions: this is the model that will serve."""
    run: TrainingRun = claim.job
    everything = snapshot.interactions.matrix()
    report.enter("refit", f"Fitting again on all {everything.nnz:,} interactions, for serving")
    context = Context(snapshot.interactions.matrix_times(), snapshot.item_facts())
    final = _fit(run, everything, context, report.follow("refit", "iterations"))
    claim.check()
    try:
        return keep_artifact(
            folder, final, snapshot, seen=everything, metrics=judged.evaluation.summary(),
            dataset_digest=run.dataset_version.interactions_digest,
        )  # fmt: skip
    except ArtifactError as error:
        raise JobFailed(str(error), title="This model cannot be kept", code="artifact_refused") from error


def _put_into_store(artifact: KeptArtifact, report: RunReport) -> None:
    """Put the model where servers in a cluster fetch it; a version can do without that."""
    follow = report.follow("register", "bytes")
    try:
        is_there = store_artifact(
            artifact.digest, lambda done, total: follow(Progress("register", done, total))
        )
    except BackendError as error:
        again = "The portal sends this model itself; `manage.py store_artifacts` tries again."
        report.say(f"{error.detail}. {again}", "warning")
    else:
        if is_there:
            report.say("The model is in the S3 store")


def _fit(run: TrainingRun, matrix: sp.csr_matrix, context: Context, progress: ProgressCallback) -> Estimator:
    algorithm = ALGORITHMS[run.algorithm]
    estimator = algorithm(make_config(algorithm.Config, run.config), seed=run.seed, threads=THREADS)
    try:
        return estimator.fit(matrix, context=context, progress=progress)
    except ValueError as error:
        raise JobFailed(str(error), title="The model could not be fitted", code="fit_refused") from error


def measured(evaluation: Evaluation) -> dict[str, Any]:
    """Give each metric with its interval and the number of shoppers behind it."""
    n = len(evaluation.per_user.users)
    return {name: {**each, "n": n} for name, each in evaluation.summary().items()}
