"""What a request is decided on, frozen when it is asked: figures, gates, shelves, data, and the champion."""

from typing import Any

from deployments_app.gates import Difference, GateFacts, judge
from deployments_app.models import Deployment, Release
from deployments_app.services.shelves import compare_shelves
from engine.artifacts import ArtifactError, load_artifact
from models_app.models import ModelVersion
from models_app.selectors import compare_versions
from portal.core import figures
from portal.core.storage import tree_path

METRICS = ("ndcg", "recall", "precision", "map", "mrr", "hit_rate", "coverage")
MAIN_METRIC = "ndcg@10"


def collect_evidence(deployment: Deployment, version: ModelVersion) -> dict[str, Any]:
    """Collect what is known of a version against what serves; reads every file of the artifact once.

    Everything in it is a copy: figures, names and texts stay as they were, whatever changes later.
    """
    champion = deployment.stable
    live = champion.model_version if champion is not None else None
    problem = verify_artifact(version)
    verdicts = {
        "popularity": version.run.verdicts.get("popularity"),
        "live": versus_live(version, live) if live is not None else None,
    }
    gates = judge(_facts(version, live, verdicts, problem))
    return {
        "model": _describe(version),
        "champion": _describe_release(champion) if champion is not None else None,
        "deployment": {"id": deployment.pk, "name": deployment.name, "slug": deployment.slug},
        "environment": {"id": deployment.environment_id, "name": deployment.environment.name},
        "metrics": version.metrics,
        "live_metrics": live.metrics if live is not None else None,
        "verdicts": verdicts,
        "gates": [gate.to_json() for gate in gates],
        "shelves": compare_shelves(version, live) if problem is None else None,
        "data": _describe_data(version),
        "artifact": {"digest": version.artifact_digest, "size_bytes": version.size_bytes},
    }


def preview_gates(
    deployment: Deployment, version: ModelVersion
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge a version before anybody asks: (verdicts, gates), without the gate that reads its files."""
    live = deployment.stable.model_version if deployment.stable is not None else None
    verdicts = {
        "popularity": version.run.verdicts.get("popularity"),
        "live": versus_live(version, live) if live is not None else None,
    }
    gates = [gate.to_json() for gate in judge(_facts(version, live, verdicts, None))]
    return verdicts, [gate for gate in gates if gate["name"] != "artifact"]


def verify_artifact(version: ModelVersion) -> str | None:
    """Read every file of an artifact and compare digests; return what is wrong, or None."""
    try:
        load_artifact(tree_path(version.artifact_digest), version.artifact_digest, verify=True)
    except (ArtifactError, OSError) as error:
        return str(error)
    return None


def versus_live(version: ModelVersion, live: ModelVersion) -> dict[str, Any] | None:
    """Compare with the live version on the same test shoppers; None if that was never measured.

    Training compares with what was live then. If that still is live, its verdict stands; else the figures
    that were kept for each shopper are compared, if both runs tested the same shoppers.
    """
    known: dict[str, Any] | None = version.run.verdicts.get("live")
    if known is not None and known.get("model_version") == live.pk:
        return known
    found = compare_versions(version, live, MAIN_METRIC)
    if found.comparison is None:
        return {"why_not": found.why_not, "model_version": live.pk}
    return {
        **found.facts,
        "model_version": live.pk,
        "sentence": _sentence(found.facts, str(version), f"the live version ({live})"),
    }


def _facts(
    version: ModelVersion, live: ModelVersion | None, verdicts: dict[str, Any], problem: str | None
) -> GateFacts:
    main = version.metrics.get(MAIN_METRIC) or {}
    return GateFacts(
        test_users=int(main.get("n") or 0),
        versus_popularity=_difference(verdicts["popularity"], "popularity"),
        versus_live=_difference(verdicts["live"], str(live)),
        has_live=live is not None,
        coverage=_value(version, "coverage@10"),
        live_coverage=_value(live, "coverage@10") if live is not None else None,
        artifact_problem=problem,
        size_bytes=version.size_bytes,
    )


def _difference(verdict: dict[str, Any] | None, other: str) -> Difference | None:
    if not verdict or "difference" not in verdict:
        return None
    return Difference(verdict["difference"], verdict["low"], verdict["high"], other)


def _value(version: ModelVersion, metric: str) -> float | None:
    found = version.metrics.get(metric)
    return found["value"] if found else None


def _sentence(facts: dict[str, Any], name: str, other: str) -> str:
    words = {"better": "is better than", "worse": "is worse than"}
    if facts["verdict"] not in words:
        seen = figures.counted(facts["n_users"], "shopper")
        return f"{name} is no different from {other} on NDCG@10, as far as {seen} can show."
    return (
        f"{name} {words[facts['verdict']]} {other} by {abs(facts['difference']):.4f} on NDCG@10 "
        f"(95 % interval {facts['low']:+.4f} to {facts['high']:+.4f})."
    )


def _describe(version: ModelVersion) -> dict[str, Any]:
    return {
        "id": version.pk,
        "name": str(version),
        "algorithm": version.algorithm,
        "config": version.run.config,
        "seed": version.run.seed,
        "split_note": version.run.split_note,
        "created_at": version.created_at.isoformat(),
        "created_by": version.run.created_by.label if version.run.created_by else "Aisle",
    }


def _describe_release(release: Release) -> dict[str, Any]:
    return {
        "id": release.pk,
        "number": release.number,
        "model_version": release.model_version_id,
        "name": str(release.model_version),
        "algorithm": release.model_version.algorithm,
    }


def _describe_data(version: ModelVersion) -> dict[str, Any]:
    data = version.run.dataset_version
    return {
        "dataset": data.dataset.name,
        "dataset_version": data.pk,
        "number": data.number,
        "file_sha256": data.file_sha256,
        "interactions": data.interaction_count,
        "users": data.user_count,
        "items": data.item_count,
        "density": data.density,
        "first_at": data.first_at.isoformat() if data.first_at else None,
        "last_at": data.last_at.isoformat() if data.last_at else None,
    }
