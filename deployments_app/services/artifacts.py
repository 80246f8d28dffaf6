"""Who may fetch a release's artifact, and taking that back."""

import logging
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from deployments_app.artifact_keys import artifact_path, is_signed
from deployments_app.models import Release, Workload
from deployments_app.models.deployments import new_nonce
from deployments_app.services.workloads import wake_deployment
from models_app.artifact_archive import archive_files
from models_app.artifact_store import stored_artifact_url
from portal.core.actors import Actor
from portal.core.errors import BackendError, NotFound
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.storage import tree_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """Where an artifact is to be had: at an address in the S3 store, else in these files."""

    url: str | None
    files: list[Path]


def open_artifact(release_id: str, digest: str, signature: str, *, from_store: bool = True) -> Opened:
    """Find an artifact for whoever holds its address; NotFound for everybody else."""
    servers = (
        Workload.objects.filter(release_id=release_id, release__artifact_digest=digest)
        .select_related("release")
        .first()
    )
    if servers is None or not is_signed(signature, servers.release, servers):
        raise NotFound("This address opens no artifact: its release is retired, or it was taken back.")
    if from_store and (url := _find_in_store(digest)):
        return Opened(url, [])
    try:
        return Opened(None, archive_files(tree_path(digest)))
    except OSError as error:
        raise NotFound("The store has lost this artifact. Restore it from a backup.") from error


def _find_in_store(digest: str) -> str | None:
    try:
        return stored_artifact_url(digest)
    except BackendError as error:
        log.warning("The portal sends an artifact itself. %s", error.detail)
        return None


def addresses_to_keep(environment_id: str) -> list[str]:
    """List where the artifacts of an environment's releases are fetched, without the portal's own address."""
    rows = Workload.objects.filter(release__deployment__environment=environment_id, is_wanted=True)
    found = [artifact_path(row.release, row) for row in rows.select_related("release")]
    return sorted(found)


def revoke_artifact_addresses(actor: Actor, shop: Shop, release: Release) -> None:
    """Take back every address of a release's artifact; servers that start later get a new one."""
    authorize(actor, "deployments.write", shop)
    with transaction.atomic():
        Workload.objects.filter(release=release).update(artifact_nonce=new_nonce())
        record("release.artifact_address_revoked", release, actor=actor, shop=shop)
        wake_deployment(release.deployment)
