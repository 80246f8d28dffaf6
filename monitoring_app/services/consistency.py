"""Offline = online: every server of what serves, against the registry's own answer."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from deployments_app.models import Deployment, Release, Workload
from engine.artifacts import ArtifactError
from models_app.selectors import registry_lists
from monitoring_app.consistency import Ranked, difference
from monitoring_app.models import ConsistencyCheck, ConsistencyWatch
from monitoring_app.services.alerts import raise_alert, resolve_alert
from monitoring_app.silence import still_silent
from monitoring_app.sources.servers import Server, ServerAway, connected
from portal.core import figures
from portal.core.actors import Actor
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import NotFound
from portal.core.jobs import claim, release, wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize

EVERY_S = 3600.0
AGAIN_S = 5.0  # a server was away, or still starting
WHILE_WRONG_S = 60.0
KEPT_FOR = timedelta(days=90)
SHOPPERS, K, SPARE = 32, 10, 20
KEPT = 20  # differences told of one check
KIND = "consistency"


@dataclass
class Found:
    """What came of asking the servers of one release."""

    servers: int = 0
    compared: int = 0
    agreeing: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)
    away: list[tuple[str, str]] = field(default_factory=list)  # (server, why)


def ask_for_check(actor: Actor, shop: Shop, deployment_id: str) -> ConsistencyWatch:
    """Have a deployment's servers compared now; the answer is a row of its list of checks."""
    authorize(actor, "rollouts.operate", shop)
    deployment = Deployment.objects.filter(shop=shop, pk=deployment_id).first()
    if deployment is None:
        raise NotFound("There is no such deployment in this shop.")
    watch, _ = ConsistencyWatch.objects.get_or_create(deployment=deployment)
    ConsistencyWatch.objects.filter(pk=watch.pk).update(is_asked=True, **wake_fields())
    enqueue_on_commit(watch)
    return watch


def notice_change(deployment_id: str) -> None:
    """Make a check due when other releases serve than when it was last made."""
    key = _key(Deployment.objects.get(pk=deployment_id))
    if not key:
        return
    watch, made = ConsistencyWatch.objects.get_or_create(deployment_id=deployment_id, defaults=wake_fields())
    if not made and watch.checked_for != key:
        later = Q(due_at__gt=Now() + timedelta(seconds=AGAIN_S))
        ConsistencyWatch.objects.filter(later, pk=watch.pk, lease_until=None).update(**wake_fields())


def check_consistency(watch_id: str) -> None:
    """Compare the servers of the live and of the new release with the registry; come again in an hour."""
    claimed = claim(ConsistencyWatch, watch_id, statuses=())
    if claimed is None:
        return
    watch: ConsistencyWatch = claimed.job
    deployment = Deployment.objects.select_related("shop", "stable", "canary").get(pk=watch.deployment_id)
    key = _key(deployment)
    trigger = "person" if watch.is_asked else "hourly" if watch.checked_for == key else "change"
    complete, found, silent = True, [], []
    for each in _serving(deployment):
        seen = compare_release(each, deployment)
        complete &= seen is not None and not seen.away
        silent += [(each.pk, *away) for away in (seen.away if seen is not None else [])]
        if seen is not None and (seen.compared or seen.differences):
            found.append(_store(deployment, each, trigger, seen))
    _tell(deployment, found)
    done = {"checked_for": key, "is_asked": False} if complete else {}
    claimed.rows().update(silent=still_silent(watch.silent, silent, database_now()), **done)
    is_wrong = not all(each.is_consistent for each in found)
    release(claimed, due_in_s=AGAIN_S if not complete else WHILE_WRONG_S if is_wrong else EVERY_S)
    old = database_now() - KEPT_FOR
    ConsistencyCheck.objects.filter(deployment=deployment, created_at__lt=old).delete()


def compare_release(served: Release, deployment: Deployment) -> Found | None:
    """Ask every server of a release for the same shoppers' lists; None while it has no server."""
    row = Workload.objects.filter(release=served, is_wanted=True).first()
    if row is None or not row.endpoints or row.ready == 0:
        return None
    found = Found()
    try:
        lists = registry_lists(served.model_version, SHOPPERS, K + SPARE)
    except ArtifactError as error:
        found.differences.append(_about("the registry", f"its own copy cannot be read: {error}"))
        return found
    expected = {user: Ranked(items, scores) for user, (items, scores) in lists.items()}
    path = f"{deployment.shop.slug}/{deployment.slug}"
    for endpoint in row.endpoints:
        try:
            with connected(endpoint) as server:
                _compare_server(server, served, path, expected, found)
        except ServerAway as error:
            found.away.append((endpoint, str(error)))
    return found


def _compare_server(
    server: Server, served: Release, path: str, expected: dict[str, Ranked], found: Found
) -> None:
    digest = server.artifact_digest()
    lists = {user: server.list_for(path, user, K) for user in expected}
    found.servers += 1
    if digest != served.artifact_digest:
        said = f"it serves the artifact {digest[:12] or 'none'}, not {served.artifact_digest[:12]}"
        found.differences.append(_about(server.endpoint, said))
    for user, shown in lists.items():
        found.compared += 1
        said = difference(expected[user], shown, K)
        if not said:
            found.agreeing += 1
        elif len(found.differences) < KEPT:
            both = {"expected": list(expected[user].items[:K]), "served": list(shown.items)}
            found.differences.append({**_about(server.endpoint, said), "shopper": user, **both})


def _about(server: str, sentence: str) -> dict[str, Any]:
    return {"server": server, "sentence": sentence, "shopper": None, "expected": [], "served": []}


def _store(deployment: Deployment, served: Release, trigger: str, found: Found) -> ConsistencyCheck:
    return ConsistencyCheck.objects.create(
        deployment=deployment, release=served, trigger=trigger, servers=found.servers, shoppers=SHOPPERS,
        k=K, compared=found.compared, agreeing=found.agreeing, differences=found.differences,
        created_at=database_now(),
    )  # fmt: skip


def _tell(deployment: Deployment, checks: list[ConsistencyCheck]) -> None:
    """Fire an alert when servers disagree with the registry; resolve it when all agree again."""
    bad = [each for each in checks if not each.is_consistent]
    if bad:
        first = bad[0].differences[0]
        raise_alert(
            deployment, bad[0].release, KIND,
            f"Servers of {bad[0].release} at {deployment.name} do not answer as the registry does: "
            f"{bad[0].agreeing} of {bad[0].compared} lists agree. {first['server']}: {first['sentence']}.",
        )  # fmt: skip
    elif checks:
        compared = sum(each.compared for each in checks)
        resolve_alert(deployment, KIND, f"every one of {figures.counted(compared, 'list')} is the registry’s")


def _serving(deployment: Deployment) -> list[Release]:
    return list(
        Release.objects.filter(Q(pk=deployment.stable_id) | Q(pk=deployment.canary_id)).select_related(
            "model_version"
        )
    )


def _key(deployment: Deployment) -> str:
    """Name what serves; empty while nothing does."""
    return " ".join(each for each in (deployment.stable_id, deployment.canary_id) if each)
