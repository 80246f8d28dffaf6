"""Collect the model servers' own counters, one deployment at a time."""

from django.db.models.functions import Now

from deployments_app.models import Workload
from monitoring_app.models import Collector
from monitoring_app.services.consistency import notice_change
from monitoring_app.services.metrics import store_totals
from monitoring_app.services.sweeping import prune_events, prune_points
from monitoring_app.silence import still_silent
from monitoring_app.sources.embedded import EmbeddedSource
from monitoring_app.sources.servers import ServerAway
from portal.core.clock import database_now
from portal.core.jobs import claim, release

INTERVAL_S = 2.0
PRUNE_EVERY = 500  # collections


def collect(collector_id: str) -> None:
    """Ask every server of the deployment once, store the growth, and come again in two seconds."""
    claimed = claim(Collector, collector_id, statuses=())
    if claimed is None:
        return
    deployment_id = claimed.job.deployment_id
    source = EmbeddedSource()
    totals, silent = [], []
    rows = Workload.objects.filter(release__deployment_id=deployment_id, is_wanted=True)
    for release_id, endpoints in rows.values_list("release_id", "endpoints"):
        for endpoint in endpoints:
            try:
                totals.append(source.read(release_id, endpoint))
            except (ServerAway, ValueError) as error:
                silent.append((release_id, endpoint, str(error)))
    now = database_now()
    store_totals(totals, {each.release_id: deployment_id for each in totals}, now=now)
    if claimed.attempt % PRUNE_EVERY == 0:
        prune_points(deployment_id, now)
        prune_events(now)
    notice_change(deployment_id)
    claimed.rows().update(collected_at=Now(), silent=still_silent(claimed.job.silent, silent, now))
    release(claimed, due_in_s=INTERVAL_S)
