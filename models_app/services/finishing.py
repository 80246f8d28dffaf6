"""The end of a run that succeeded: one transaction with its result, its version and the verdicts."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from engine.evaluation import PerUser
from models_app.models import RegisteredModel, RunRole, TrainingRun
from models_app.services.outcomes import NO_LEASE
from models_app.services.registry import KeptArtifact, register
from models_app.services.verdicts import KEYS, judge_pair, pairs
from portal.core.actors import system
from portal.core.jobs import Claim
from portal.core.transitions import transition

Pair = tuple[str, str]  # ids of candidate and reference


def finish_run(
    claim: Claim, artifact: KeptArtifact | None, per_user: PerUser, columns: dict[str, Any]
) -> None:
    """Write the result once, whoever else finishes at the same moment.

    Comparing takes a while and must not happen inside a transaction, so the transaction says which
    comparisons it lacks, they are made outside, and it is tried again.
    """
    verdicts: dict[Pair, dict[str, Any]] = {}
    while missing := _try_to_finish(claim, artifact, columns, verdicts):
        for candidate, reference in missing:
            verdicts[candidate.pk, reference.pk] = judge_pair(claim.job, per_user, candidate, reference)


def _try_to_finish(
    claim: Claim,
    artifact: KeptArtifact | None,
    columns: dict[str, Any],
    verdicts: dict[Pair, dict[str, Any]],
) -> list[tuple[TrainingRun, TrainingRun]]:
    """Finish and return nothing, or change nothing and return the pairs that still need a verdict."""
    run: TrainingRun = claim.job
    with transaction.atomic():
        # The model's row first. It gives out version numbers one by one, and of two runs of a group that
        # finish together the later one sees the earlier, so that no pair stays without its verdict.
        model = RegisteredModel.objects.select_for_update(no_key=True).get(pk=run.registered_model_id)
        finished = list(
            TrainingRun.objects.filter(group=run.group, status="succeeded")
            .exclude(pk=run.pk)
            .select_related("recipe_of__registered_model")
            .order_by("pk")
        )
        due = pairs(run, finished)
        missing = [pair for pair in due if (pair[0].pk, pair[1].pk) not in verdicts]
        if missing:
            return missing
        own: dict[str, Any] = {}
        for candidate, reference in due:
            verdict = {KEYS[RunRole(reference.role)]: verdicts[candidate.pk, reference.pk]}
            if candidate.pk == run.pk:
                own |= verdict
            else:
                merged = {**candidate.verdicts, **verdict}
                TrainingRun.objects.filter(pk=candidate.pk).update(verdicts=merged)
        actor = system("training")
        columns = {**columns, "verdicts": {**run.verdicts, **own}}
        if artifact is not None:
            register(actor, model, run, artifact, columns)
        transition(
            run,
            "succeeded",
            actor=actor,
            shop=run.shop_id,
            attempt=claim.attempt,
            error=None,
            finished_at=timezone.now(),
            **columns,
            **NO_LEASE,
        )
    return []
