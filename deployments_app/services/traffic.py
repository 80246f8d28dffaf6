"""Who gets which release: the only code that writes a deployment's routes. Callers hold its lock.

Weights change in the transaction of the decision; every gateway's agent fetches them from the row.
"""

import secrets
from datetime import timedelta

from deployments_app.known_routes import tell_waiting_agents
from deployments_app.models import Deployment, Release, Rollout
from deployments_app.services.workloads import wake_deployment
from portal.core.clock import database_now


def new_salt() -> str:
    """Make the salt of a rollout: other shoppers are its canary than were the last one's."""
    return secrets.token_hex(8)


def give_canary(deployment: Deployment, rollout: Rollout, weight_pct: int, mirror_pct: int = 0) -> None:
    """Give a rollout's release its share, or a copy of a share of requests.

    The salt stays for the whole ramp: nobody changes back.
    """
    _write(
        deployment,
        canary_id=rollout.release_id,
        canary_weight_pct=weight_pct,
        canary_mirror_pct=mirror_pct,
        salt=rollout.salt,
    )


def take_back(deployment: Deployment, rollout: Rollout) -> None:
    """Give everybody the stable release again."""
    if deployment.canary_id == rollout.release_id:
        _write(deployment, canary_id=None, canary_weight_pct=0, canary_mirror_pct=0)
    else:
        wake_deployment(deployment)


def make_stable(deployment: Deployment, release: Release, **also: str) -> None:
    """Make a release the one for everybody; what was stable stays warm, so that one can go back.

    also: further columns of the same write.
    """
    now = database_now()
    fields = {
        **also,
        "stable_id": release.pk,
        "canary_id": None,
        "canary_weight_pct": 0,
        "canary_mirror_pct": 0,
        "live_since": now,
    }
    if deployment.stable_id is not None and deployment.stable_id != release.pk:
        warm_s = deployment.environment.keep_warm_s
        fields |= {"last_good_id": deployment.stable_id, "last_good_until": now + timedelta(seconds=warm_s)}
    _write(deployment, **fields)


def switch_at_once(deployment: Deployment, rollout: Rollout) -> None:
    """Make a rollback's release the one for everybody, with a salt of its own."""
    make_stable(deployment, rollout.release, salt=rollout.salt)


def _write(deployment: Deployment, **fields: object) -> None:
    for name, value in fields.items():
        setattr(deployment, name, value)
    deployment.save(update_fields=[name.removesuffix("_id") for name in fields])
    tell_waiting_agents()  # first: whoever is to look after the servers can wait for shoppers
    wake_deployment(deployment)
