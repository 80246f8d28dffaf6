"""New training, runs as they go, and their comparison."""

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from engine.estimators import ALGORITHMS
from engine.parameters import config_fields
from models_app import charts
from models_app.forms import TrainingForm
from models_app.live import live_version
from models_app.models import RunRole, TrainingRun
from models_app.selectors import rows
from models_app.selectors.comparisons import (
    MAX_RUNS,
    RunComparison,
    compare_runs,
    metric_groups,
    weighing_text,
)
from models_app.selectors.gaps import compare_gaps, exposures_of
from models_app.selectors.plans import forecast, plan_training
from models_app.selectors.previews import preview, sample_users
from models_app.selectors.segments import compare_segments, segment_groups
from models_app.services import training as service
from portal.core.errors import Conflict, InvalidInput, PortalError
from portal.core.permissions import authorize, is_permitted
from portal.core.requests import ShopRequest

MAIN_METRIC = "ndcg@10"
TITLES = {name: each.title for name, each in ALGORITHMS.items()}
STAGE_LABELS = {
    "load": "Load",
    "split": "Split",
    "fit": "Fit",
    "evaluate": "Evaluate",
    "refit": "Fit on all",
    "register": "Register",
}


@require_safe
def run_list(request: ShopRequest) -> HttpResponse:
    authorize(request.actor, "training.read", request.shop)
    page = Paginator(rows.training_runs(request.shop), 50).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "titles": TITLES,
        "may_train": is_permitted(request.actor, "training.run", request.shop),
    }
    return render(request, "models_app/run_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def run_new(request: ShopRequest) -> HttpResponse:
    """Choose data, algorithms, their settings and the split; everything has a sensible default."""
    authorize(request.actor, "training.run", request.shop)
    versions = rows.dataset_versions(request.shop).filter(status="ready")
    chosen = versions.filter(pk=request.GET.get("data", "")).first() or versions.first()
    if chosen is None:
        return render(request, "models_app/run_new.html", {"plan": None})
    plan = plan_training(chosen)
    form = TrainingForm(plan, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            runs = service.start_training(
                request.actor, request.shop, chosen, champion=live_version(request.shop), **form.training()
            )
        except PortalError as error:
            form.add_problems(error)
        else:
            return redirect(f"{reverse('compare', args=[request.shop.slug])}?group={runs[0].group}")
    return _new_training(request, form, "models_app/run_new.html")


@require_POST
def run_estimate(request: ShopRequest) -> HttpResponse:
    """What the training in the form would cost: the part of the page that says so, or the whole page."""
    authorize(request.actor, "training.run", request.shop)
    chosen = rows.dataset_version(request.shop, request.GET.get("data", ""))
    if chosen.status != "ready":
        raise Conflict(f"{chosen} is {chosen.status}; only data that is ready can be trained on.")
    form = TrainingForm(plan_training(chosen), request.POST)
    if request.headers.get("HX-Request"):
        return _new_training(request, form, "models_app/_forecast.html")
    return _new_training(request, form, "models_app/run_new.html")


def _new_training(request: ShopRequest, form: TrainingForm, template: str) -> HttpResponse:
    version = form.plan.dataset_version
    every = {each.name: each for each in forecast(version, form.recipes()).algorithms}
    form.plan = replace(form.plan, algorithms=[every.get(each.name, each) for each in form.plan.algorithms])
    chosen = form["algorithms"].value() or []
    context = {
        "plan": form.plan,
        "form": form,
        "forecast": forecast(version, [each for each in form.recipes() if each[0] in chosen]),
        "unclear": [
            each.title for each in form.plan.algorithms if each.name in chosen and each.name not in every
        ],
        "versions": rows.dataset_versions(request.shop).filter(status="ready")[:50],
        "live": live_version(request.shop),
        "is_fragment": template.startswith("models_app/_"),
    }
    is_refused = bool(form.errors) and not context["is_fragment"]  # a fragment says itself what is wrong
    return render(request, template, context, status=422 if is_refused else 200)


@require_safe
def run_detail(request: ShopRequest, run_id: str) -> HttpResponse:
    authorize(request.actor, "training.read", request.shop)
    run = rows.training_run(request.shop, run_id)
    return render(request, "models_app/run_detail.html", _run_context(request, run))


@require_safe
def run_status(request: ShopRequest, run_id: str) -> HttpResponse:
    """The part of a run's page that changes while it works; a finished run loads the whole page again."""
    authorize(request.actor, "training.read", request.shop)
    run = rows.training_run(request.shop, run_id)
    response = render(request, "models_app/_run_status.html", _run_context(request, run))
    if run.finished_at is not None:
        response["HX-Refresh"] = "true"
    return response


@require_POST
def run_cancel(request: ShopRequest, run_id: str) -> HttpResponse:
    run = service.cancel_run(request.actor, rows.training_run(request.shop, run_id))
    messages.success(request, f"{run} is {run.status}. Nothing is registered; the data and other runs stay.")
    return redirect("run_detail", request.shop.slug, run.pk)


@require_safe
def compare(request: ShopRequest) -> HttpResponse:
    """Runs side by side: those started together, or those named in `runs`."""
    authorize(request.actor, "training.read", request.shop)
    return render(request, "models_app/compare.html", _comparison_context(request))


@require_safe
def compare_status(request: ShopRequest) -> HttpResponse:
    """The comparison while its runs are under way."""
    authorize(request.actor, "training.read", request.shop)
    context = _comparison_context(request)
    response = render(request, "models_app/_compare_status.html", context)
    if not context["unfinished"]:
        response["HX-Refresh"] = "true"
    return response


def _comparison_context(request: ShopRequest) -> dict[str, Any]:
    runs = _chosen_runs(request)
    done = [run for run in runs if run.status == "succeeded"]
    unfinished = [run for run in runs if run.finished_at is None]
    context: dict[str, Any] = {
        "runs": runs,
        "unfinished": unfinished,
        "query": request.GET.urlencode(),
        "names": {run.pk: run_name(run) for run in runs},
        "comparison": None,
    }
    if len(done) > 1 and not unfinished:
        comparison = compare_runs(done)
        baseline = next((run for run in done if run.role == RunRole.BASELINE), None)
        best = max(
            (run for run in done if run.role == RunRole.CANDIDATE),
            key=lambda run: run.metrics[MAIN_METRIC]["value"],
            default=None,
        )
        context |= {
            "comparison": comparison,
            "groups": metric_groups(row.name for row in comparison.metrics),
            "cells": {row.name: row.cells for row in comparison.metrics},
            "segments": segment_groups(comparison.segments),
            "gaps": comparison.gaps,
            "chart": _metric_chart(comparison, baseline),
            "best": best,
            "verdict": verdict_of(best),
            "may_ask": is_permitted(request.actor, "promotions.request", request.shop),
            **_try_a_shopper(request, done),
        }
    return context


def _chosen_runs(request: ShopRequest) -> list[TrainingRun]:
    group = request.GET.get("group", "")[:40]
    if group:
        return list(rows.group_runs(request.shop, group))
    named = [each for part in request.GET.getlist("runs") for each in part.split(",") if each][: MAX_RUNS + 1]
    if len(named) > MAX_RUNS:
        raise InvalidInput(f"Compare at most {MAX_RUNS} runs at a time.")
    return [rows.training_run(request.shop, each) for each in dict.fromkeys(named)]


def _try_a_shopper(request: ShopRequest, runs: list[TrainingRun]) -> dict[str, Any]:
    """One shopper's history, and what each registered run would show them."""
    versions = [
        run.model_version for run in runs if run.role == RunRole.CANDIDATE and hasattr(run, "model_version")
    ]
    if not versions:
        return {"shopper": None}
    people = sample_users(versions[0], 6)
    shopper = request.GET.get("user", "")[:256] or (people[len(people) // 2] if people else "")
    at_once = "why" not in request.GET
    lists = [(each, preview(each, shopper, 5, explain=True, at_once=at_once)) for each in versions]
    return {"shopper": shopper, "people": people, "history": lists[0][1], "lists": lists}


def _metric_chart(comparison: RunComparison, baseline: TrainingRun | None) -> dict[str, Any]:
    metric = next(row for row in comparison.metrics if row.name == MAIN_METRIC)
    bars = [
        {
            "name": run_name(run),
            "value": cell.value,
            "low": cell.value if cell.low is None else cell.low,
            "high": cell.value if cell.high is None else cell.high,
            "colour": "--baseline" if run == baseline else "--accent",
        }
        for run, cell in zip(comparison.runs, metric.cells, strict=True)
        if cell is not None
    ]
    line = None
    if baseline is not None:
        line = {"name": "popularity", "value": baseline.metrics[MAIN_METRIC]["value"]}
    return charts.metric_figure(bars, metric.title, line)


def run_name(run: TrainingRun) -> str:
    """Name a run as a legend does: the algorithm, and what it is for unless it is a candidate."""
    name = ALGORITHMS[run.algorithm].title
    return {"baseline": f"{name} (baseline)", "champion": "Live version’s recipe"}.get(run.role, name)


def verdict_of(run: TrainingRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    against, live = run.verdicts.get("popularity"), run.verdicts.get("live")
    first = against or live
    if first is None:
        return None
    is_baseline = live is None and first.get("is_itself")
    outcome = "baseline" if is_baseline else str((live or first)["verdict"]).replace(" ", "_")
    return {
        "lead": first["sentence"],
        "rest": live["sentence"] if live and against else "",
        "outcome": outcome,
    }


def _run_context(request: ShopRequest, run: TrainingRun) -> dict[str, Any]:
    version = getattr(run, "model_version", None)
    return {
        "run": run,
        "name": run_name(run),
        "version": version,
        "steps": _stages(run),
        "verdict": verdict_of(run),
        "curve": charts.curve_figure(run.curve) if len(run.curve) > 1 else None,
        "metrics": run.metrics,
        "groups": metric_groups(run.metrics),
        "segments": segment_groups(compare_segments([run])),
        "gaps": compare_gaps([run]),
        "exposures": exposures_of(run),
        "log": run.log.splitlines()[-200:],
        "may_cancel": is_permitted(request.actor, "training.run", request.shop),
        "may_ask": is_permitted(request.actor, "promotions.request", request.shop),
        "settings": _settings(run),
    }


def _settings(run: TrainingRun) -> list[tuple[str, Any]]:
    titles = {each.name: each.title for each in config_fields(ALGORITHMS[run.algorithm].Config)}
    settings = [(titles.get(name, name), value) for name, value in run.config.items()]
    return [*settings, ("What a row counts", weighing_text(run))] if run.weighing else settings


def _stages(run: TrainingRun) -> list[dict[str, str]]:
    stages = [
        stage for stage in run.STAGES if run.role == RunRole.CANDIDATE or stage not in ("refit", "register")
    ]
    place = stages.index(run.stage) if run.stage in stages else -1
    if run.status == "succeeded":
        place = len(stages)
    broken = run.status in ("failed", "canceled")
    return [
        {
            "label": STAGE_LABELS[stage],
            "state": "done" if at < place else ("bad" if broken else "now") if at == place else "",
        }
        for at, stage in enumerate(stages)
    ]
