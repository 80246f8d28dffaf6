"""Raise, acknowledge and resolve alerts."""

from django.db import transaction
from django.utils import timezone

from deployments_app.models import Deployment, Release
from monitoring_app.models import Alert
from portal.core.actors import Actor, system
from portal.core.errors import NotFound
from portal.core.events import record
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.transitions import transition

SENTENCE_MAX = 400


def raise_alert(deployment: Deployment, release: Release, kind: str, sentence: str) -> Alert:
    """Fire an alert about a release, or bring the words of the one that is open up to date.

    An open one about another release gives way: who acknowledged that trouble has not seen this one.
    """
    sentence = sentence[:SENTENCE_MAX]
    with transaction.atomic():
        # Locked: two checks of one placement must not fire twice.
        Deployment.objects.select_for_update(no_key=True).get(pk=deployment.pk)
        found = Alert.objects.filter(deployment=deployment, kind=kind).exclude(status="resolved").first()
        if found is not None and found.release_id != release.pk:
            _resolve(found, f"{release} is in trouble now")
            found = None
        if found is not None:
            Alert.objects.filter(pk=found.pk).update(sentence=sentence)
            found.sentence = sentence
            return found
        made = Alert.objects.create(
            shop_id=deployment.shop_id,
            deployment=deployment,
            release=release,
            kind=kind,
            sentence=sentence,
        )
        record(
            "alert.fired", made, actor=system("monitoring"), shop=deployment.shop_id, to_status="firing",
            reason=sentence, deployment=deployment.pk,
        )  # fmt: skip
    return made


def resolve_alert(deployment: Deployment, kind: str, why: str) -> None:
    """Resolve the open alert of this kind, if there is one."""
    found = Alert.objects.filter(deployment=deployment, kind=kind).exclude(status="resolved").first()
    if found is not None:
        _resolve(found, why)


def acknowledge_alert(actor: Actor, shop: Shop, alert_id: str) -> Alert:
    """Note that a person has seen it: it leaves the top of every page and stays open."""
    authorize(actor, "rollouts.operate", shop)
    found = Alert.objects.filter(shop=shop, pk=alert_id).select_related("deployment").first()
    if found is None:
        raise NotFound("There is no such alert in this shop.")
    transition(
        found, "acknowledged", actor=actor, shop=shop, reason=found.sentence,
        event_data={"deployment": found.deployment_id}, acknowledged_by=actor.user,
    )  # fmt: skip
    return found


def _resolve(alert: Alert, why: str) -> None:
    transition(
        alert, "resolved", actor=system("monitoring"), shop=alert.shop_id, reason=why,
        event_data={"deployment": alert.deployment_id}, resolved_at=timezone.now(),
    )  # fmt: skip
