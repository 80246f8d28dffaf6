"""What machines ask: is it alive, what does it measure, what did a browser refuse."""

import json
import logging

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, generate_latest

from portal.core.errors import NotPermitted

log = logging.getLogger(__name__)

CSP_REPORTS = Counter("aisle_csp_reports_total", "Content-Security-Policy violations that browsers reported")
_LOCAL = {"127.0.0.1", "::1", ""}


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Tell whether the process answers and reaches its database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "waiting for the database"}, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})


@login_not_required
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics of this process, to this machine only; a cluster scrapes by the pod's own port."""
    if request.META.get("REMOTE_ADDR", "") not in _LOCAL:
        raise NotPermitted("Metrics are for the monitoring system on the internal network.")
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)


@login_not_required
@csrf_exempt
@require_POST
def csp_report(request: HttpRequest) -> HttpResponse:
    """Count and log what a browser refused to run."""
    CSP_REPORTS.inc()
    try:
        report = json.loads(request.body[:4096])
        inner = report.get("csp-report", {}) if isinstance(report, dict) else {}
        log.warning("csp: %s blocked %s", inner.get("violated-directive"), inner.get("blocked-uri"))
    except (ValueError, AttributeError):
        log.warning("csp: unreadable report")
    return HttpResponse(status=204)
