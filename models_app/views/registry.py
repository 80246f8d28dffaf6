"""Registered models and their versions."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from models_app import charts
from models_app.selectors import rows
from models_app.selectors.comparisons import metric_groups
from models_app.selectors.gaps import compare_gaps, exposures_of
from models_app.selectors.previews import preview, sample_users
from models_app.selectors.segments import compare_segments, segment_groups
from models_app.views.training import MAIN_METRIC, TITLES, run_name, verdict_of
from portal.core.permissions import authorize, is_permitted
from portal.core.requests import ShopRequest


@require_safe
def model_list(request: ShopRequest) -> HttpResponse:
    authorize(request.actor, "models.read", request.shop)
    page = Paginator(rows.registered_models(request.shop), 50).get_page(request.GET.get("page"))
    newest = rows.model_versions(request.shop).in_bulk([model.newest_version_id for model in page])
    table = [(model, newest.get(model.newest_version_id)) for model in page]
    return render(request, "models_app/model_list.html", {"page": page, "table": table, "titles": TITLES})


@require_safe
def model_detail(request: ShopRequest, model_id: str) -> HttpResponse:
    """A model's versions, and its main metric across them."""
    authorize(request.actor, "models.read", request.shop)
    model = rows.registered_model(request.shop, model_id)
    page = Paginator(rows.model_versions(request.shop, model), 50).get_page(request.GET.get("page"))
    bars = [
        {
            "name": f"{version.number} · {TITLES[version.algorithm]}",
            "value": version.metrics[MAIN_METRIC]["value"],
            "low": version.metrics[MAIN_METRIC]["low"],
            "high": version.metrics[MAIN_METRIC]["high"],
            "colour": "--accent",
        }
        for version in reversed(page.object_list[:20])
        if MAIN_METRIC in version.metrics
    ]
    chart = charts.metric_figure(bars, "NDCG@10", None) if len(bars) > 1 else None
    context = {"model": model, "page": page, "chart": chart, "titles": TITLES}
    return render(request, "models_app/model_detail.html", context)


@require_safe
def version_detail(request: ShopRequest, version_id: str) -> HttpResponse:
    """One version: what it is made of, how good it is, what a shopper would see."""
    authorize(request.actor, "models.read", request.shop)
    version = rows.model_version(request.shop, version_id)
    people = sample_users(version, 6)
    shopper = request.GET.get("user", "")[:256] or (people[len(people) // 2] if people else "")
    context: dict[str, Any] = {
        "version": version,
        "run": version.run,
        "name": run_name(version.run),
        "verdict": verdict_of(version.run),
        "metrics": version.metrics,
        "groups": metric_groups(version.metrics),
        "segments": segment_groups(compare_segments([version.run])),
        "gaps": compare_gaps([version.run]),
        "exposures": exposures_of(version.run),
        "people": people,
        "shopper": shopper,
        "shown": preview(version, shopper, 10, explain=True, at_once="why" not in request.GET)
        if shopper
        else None,
        "may_ask": is_permitted(request.actor, "promotions.request", request.shop),
    }
    return render(request, "models_app/version_detail.html", context)


@require_safe
def version_card(request: ShopRequest, version_id: str) -> HttpResponse:
    """The model card as Markdown, to keep beside the model."""
    authorize(request.actor, "models.read", request.shop)
    version = rows.model_version(request.shop, version_id)
    name = f"{version.registered_model.name}-{version.number}.md"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(version.card, content_type="text/markdown; charset=utf-8", headers=headers)
