"""The servers of releases: make those exist that should, note what was seen, remove the others.

One code for rollouts and for the time outside them, on every backend.
"""

from dataclasses import fields
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from deployments_app.artifact_keys import artifact_url
from deployments_app.backends.base import Autoscale, DeploymentBackend, ReleaseSpec, WorkloadStatus
from deployments_app.models import Deployment, Environment, Release, Rollout, Workload
from deployments_app.models.rollouts import ACTIVE
from deployments_app.plan_rules import Servers
from deployments_app.recommendation_keys import recommendation_key
from deployments_app.services.expiry import close_outdated_requests
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import BackendError
from portal.core.jobs import claim, release, wake_fields
from portal.core.storage import tree_path

LOOK_EVERY_S = 2.0
LOOK_SOON_S = 0.3  # while something wanted is not ready
SOON_FOR_S = 30.0
IDLE_EVERY_S = 60.0  # nothing runs, but somebody's request may expire
LEASE_S = 6.0  # of one look; a dead worker's placement is taken over after that
OUT_OF_ROUTES_AFTER_S = 5.0  # requests under way end first
REMOVED_AFTER_S = 10.0


def backend_for(environment: Environment) -> DeploymentBackend:
    """Make the backend an environment names. Raises BackendError when it has no access to its cluster."""
    make = import_string(settings.DEPLOYMENT_BACKENDS[environment.backend])
    backend: DeploymentBackend = make(environment.namespace) if environment.namespace else make()
    return backend


def release_spec(release: Release, servers: Workload | None = None) -> ReleaseSpec:
    """Describe a release to a backend; without servers of its own its artifact has no address yet."""
    version, asked = release.model_version, servers_of(release)
    return ReleaseSpec(
        key=release.pk,
        artifact=tree_path(release.artifact_digest),
        digest=release.artifact_digest,
        release_number=release.number,
        deployment_id=release.deployment_id,
        shop=release.deployment.shop.slug,
        model=version.registered_model.name,
        model_version=version.number,
        algorithm=version.algorithm,
        signing_key=recommendation_key(release.pk),
        artifact_url=artifact_url(release, servers) if servers is not None else "",
        environment=release.deployment.environment_id,
        change_request=str(release.config.get("promotion", "")),
        replicas=asked.replicas,
        memory_mb=asked.memory_mb,
        cpu_s=asked.cpu_s,
        autoscale=Autoscale(asked.max_replicas, asked.target_pct)
        if asked.max_replicas > asked.replicas
        else None,
    )


def servers_of(release: Release) -> Servers:
    """Read how many servers a release gets, and what each may use; older releases say nothing of it."""
    known = {each.name for each in fields(Servers)}
    return Servers(**{name: int(value) for name, value in release.config.items() if name in known})


def wake_deployment(deployment: Deployment) -> None:
    """Have the deployment's servers looked after as soon as this transaction is committed."""
    Deployment.objects.filter(pk=deployment.pk).update(**wake_fields())
    enqueue_on_commit(deployment)


def look_after(released: Release) -> Workload:
    """Make a release's servers exist and note what the backend sees of them. Call it outside transactions.

    The row comes first: servers of which no row tells would never be removed.
    """
    servers, _ = Workload.objects.get_or_create(release=released)
    spec = release_spec(released, servers)
    Workload.objects.filter(release=released).exclude(is_wanted=True, unwanted_since=None).update(
        is_wanted=True, unwanted_since=None
    )
    try:
        backend = backend_for(released.deployment.environment)
        backend.apply(spec)
        status = backend.observe(spec.key)
    except BackendError as error:
        return note_silence(servers, error.detail)
    return note_status(released, status, replicas=spec.replicas)


def note_silence(servers: Workload, reason: str) -> Workload:
    """Write why nothing could be seen: what was last seen still stands, for the servers may well be fine."""
    Workload.objects.filter(pk=servers.pk).update(reason=reason[:300])
    servers.refresh_from_db()
    return servers


def note_status(released: Release, status: WorkloadStatus, *, replicas: int) -> Workload:
    """Write what the backend saw into the workload's row."""
    now = database_now()
    with transaction.atomic():
        # Locked: two workers may look at once, and each keeps what it does not know better.
        row, _ = Workload.objects.select_for_update(no_key=True).get_or_create(release=released)
        is_ready = status.ready >= replicas
        row.replicas = replicas
        row.ready = status.ready
        row.endpoints = list(status.endpoints) or row.endpoints
        row.service = status.service or row.service
        row.reason = "" if is_ready else (status.reason or "the servers are starting")[:300]
        row.log = "" if is_ready else status.log
        row.restarts = max(row.restarts, status.restarts)
        row.not_ready_since = None if is_ready else row.not_ready_since or now
        row.observed_at = now
        row.save(
            update_fields=[
                *("replicas", "ready", "endpoints", "service", "reason", "log", "restarts"),
                *("not_ready_since", "observed_at"),
            ]
        )
    return row


def reconcile_deployment(deployment_id: str) -> None:
    """Bring one deployment's servers in line with its row; does nothing while another worker is at it."""
    claimed = claim(Deployment, deployment_id, statuses=(), lease_s=LEASE_S)
    if claimed is None:
        return
    try:
        due_in_s = _reconcile(deployment_id)
    except Exception:
        release(claimed, due_in_s=LOOK_EVERY_S)
        raise
    release(claimed, due_in_s=due_in_s)


def _reconcile(deployment_id: str) -> float | None:
    wanted = [
        *Release.objects.filter(pk__in=_settle_wishes(deployment_id)).select_related(
            "deployment__environment", "deployment__shop", "model_version__registered_model"
        )
    ]
    seen = [look_after(each) for each in wanted]
    left = _remove_unwanted(deployment_id)
    open_requests = close_outdated_requests(deployment_id)
    now = database_now()
    if any(
        row.not_ready_since is not None and now - row.not_ready_since < timedelta(seconds=SOON_FOR_S)
        for row in seen
    ):
        return LOOK_SOON_S
    if wanted or left:
        return LOOK_EVERY_S
    return IDLE_EVERY_S if open_requests else None


def wanted_releases(deployment: Deployment) -> set[str]:
    """Name the releases whose servers should run: live, canary, warm, and where a rollout leads."""
    now = database_now()
    wanted = {deployment.stable_id, deployment.canary_id}
    if deployment.last_good_until is not None and deployment.last_good_until > now:
        wanted.add(deployment.last_good_id)
    targets = Rollout.objects.filter(deployment=deployment, status__in=ACTIVE)
    wanted.update(targets.values_list("release_id", flat=True))
    return {each for each in wanted if each is not None}


def _settle_wishes(deployment_id: str) -> set[str]:
    """Write which servers are wanted; a release without wish leaves the routes a few seconds later."""
    now = database_now()
    with transaction.atomic():
        # Locked: a rollback that makes a release live must not find it marked for removal just then.
        deployment = Deployment.objects.select_for_update(no_key=True).get(pk=deployment_id)
        wanted = wanted_releases(deployment)
        rows = Workload.objects.filter(release__deployment=deployment)
        rows.filter(release__in=wanted).exclude(is_wanted=True, unwanted_since=None).update(
            is_wanted=True, unwanted_since=None
        )
        others = rows.exclude(release__in=wanted)
        others.filter(unwanted_since=None).update(unwanted_since=now)
        limit = now - timedelta(seconds=OUT_OF_ROUTES_AFTER_S)
        others.filter(is_wanted=True, unwanted_since__lt=limit).update(is_wanted=False)
    return wanted


def _remove_unwanted(deployment_id: str) -> int:
    """Remove servers that have been out of the routes for a while; return how many are still there."""
    limit = database_now() - timedelta(seconds=REMOVED_AFTER_S)
    going = Workload.objects.filter(release__deployment_id=deployment_id, unwanted_since__isnull=False)
    for row in going.filter(is_wanted=False, unwanted_since__lt=limit).select_related(
        "release__deployment__environment"
    ):
        _remove(row)
    return going.count()


def _remove(row: Workload) -> None:
    try:
        backend = backend_for(row.release.deployment.environment)
        backend.remove(row.release_id)
        status = backend.observe(row.release_id)
    except BackendError as error:
        Workload.objects.filter(pk=row.pk).update(reason=error.detail[:300])
        return
    gone = Q(pk=row.pk, is_wanted=False)
    if status.exists:
        Workload.objects.filter(gone).update(
            ready=0, endpoints=[], reason=(status.reason or "stopping")[:300], observed_at=database_now()
        )
    else:
        Workload.objects.filter(gone).delete()
