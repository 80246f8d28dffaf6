"""Pages of placements: what is live, how it came, the way back, keys and how to call it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from deployments_app import rollout_words as words
from deployments_app import selectors
from deployments_app.forms import DeploymentForm, ServingKeyForm
from deployments_app.models import Deployment, ServingKey
from deployments_app.services import environments, keys
from portal.core.errors import Conflict, InvalidInput
from portal.core.permissions import authorize, refusal
from portal.core.requests import ShopRequest
from portal.core.snippets import curl

HISTORY = 15


@require_safe
def deployment_list(request: ShopRequest) -> HttpResponse:
    authorize(request.actor, "rollouts.read", request.shop)
    rows = list(selectors.deployments(request.shop))
    context = {
        "deployments": [
            (row, words.placement_headline(row), words.arms(row), row.stable or row.canary) for row in rows
        ],
        "cannot_make": refusal(request.actor, "deployments.write", request.shop),
        "curl": curl("deployments"),
    }
    return render(request, "deployments_app/deployment_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def deployment_new(request: ShopRequest) -> HttpResponse:
    """Make a placement, and the shop's first environment with it."""
    authorize(request.actor, "deployments.write", request.shop)
    version = request.POST.get("version") or request.GET.get("version", "")
    form = DeploymentForm(
        selectors.environments(request.shop),
        request.POST or None,
        initial={} if selectors.deployments(request.shop).exists() else _FIRST,
    )
    if request.method == "POST" and form.is_valid():
        try:
            deployment = _make(request, form)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.detail)
        else:
            messages.success(request, f"{deployment.name} is ready for its first release.")
            if version:
                new_url = reverse("promotion_new", args=[request.shop.slug])
                return redirect(f"{new_url}?version={version}&deployment={deployment.pk}")
            return redirect("deployment_detail", request.shop.slug, deployment.pk)
    context = {
        "form": form,
        "version": version,
        "gateway_url": f"{settings.GATEWAY_URL}/{request.shop.slug}/",
        "curl": curl(
            "deployments", body='{"environment": "production", "slug": "home", "name": "Home page"}'
        ),
    }
    return render(request, "deployments_app/deployment_new.html", context, status=422 if form.errors else 200)


_FIRST = {"name": "Home page", "slug": "home"}


def _make(request: ShopRequest, form: DeploymentForm) -> Deployment:
    asked = form.cleaned_data
    environment = asked.get("environment") or environments.create_environment(
        request.actor,
        request.shop,
        slug="production",
        name=asked["environment_name"],
        min_approvals=asked["min_approvals"],
    )
    return environments.create_deployment(
        request.actor,
        request.shop,
        environment,
        slug=asked["slug"],
        name=asked["name"],
        is_open=asked["is_open"],
    )


@require_safe
def deployment_detail(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """A placement: live and history."""
    authorize(request.actor, "rollouts.read", request.shop)
    deployment = selectors.deployment(request.shop, deployment_id)
    return _detail(request, deployment, ServingKeyForm())


@require_safe
def deployment_status(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """The part of a placement's page that changes by itself."""
    authorize(request.actor, "rollouts.read", request.shop)
    deployment = selectors.deployment(request.shop, deployment_id)
    context = _status(request, deployment)
    context["sends_bar"] = request.GET.get("bar") != context["bar_key"]
    return render(request, "deployments_app/_deployment_status.html", context)


@require_POST
def key_new(request: ShopRequest, deployment_id: str) -> HttpResponse:
    """Make a serving key; its text is on the answer, and nowhere else."""
    deployment = selectors.deployment(request.shop, deployment_id)
    form, text = ServingKeyForm(request.POST), ""
    if form.is_valid():
        try:
            _, text = keys.issue_serving_key(request.actor, request.shop, deployment, **form.cleaned_data)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.detail)
        else:
            form = ServingKeyForm()
    return _detail(request, deployment, form, text)


@require_POST
def key_revoke(request: ShopRequest, deployment_id: str, key_id: str) -> HttpResponse:
    deployment = selectors.bare_deployment(request.shop, deployment_id)
    key = keys.revoke_serving_key(request.actor, request.shop, deployment, key_id)
    messages.success(request, f"Key {key.name} is revoked. Every gateway refuses it within a second.")
    return redirect("deployment_detail", request.shop.slug, deployment.pk)


def _detail(
    request: ShopRequest, deployment: Deployment, form: ServingKeyForm, key_text: str = ""
) -> HttpResponse:
    history = selectors.rollouts(request.shop).filter(deployment=deployment)
    rehearsal = selectors.last_rehearsal(deployment)
    page = Paginator(history, HISTORY).get_page(request.GET.get("page"))
    context = {
        **_status(request, deployment),
        "page": page,
        "lines": [_history_line(deployment, each) for each in page],
        "keys": [(key, _key_state(key)) for key in selectors.serving_keys(deployment)],
        "key_form": form,
        "key_text": key_text,
        "cannot_restore": refusal(request.actor, "rollouts.rollback", request.shop),
        "cannot_issue": refusal(request.actor, "keys.write", request.shop),
        "rehearsal": rehearsal,
        "rehearsed_ms": words.took_ms(rehearsal) if rehearsal is not None else None,
        "cannot_rehearse": refusal(request.actor, "rollouts.rollback", request.shop),
        "gateways": list(selectors.live_gateways(deployment.environment)),
        "call": _call(request, deployment),
        "curl": curl(f"deployments/{deployment.pk}"),
    }
    response = render(
        request, "deployments_app/deployment_detail.html", context, status=422 if form.errors else 200
    )
    if key_text:
        response["Cache-Control"] = "no-store"
    return response


def _status(request: ShopRequest, deployment: Deployment) -> dict[str, Any]:
    seen = selectors.last_rollouts(deployment)
    target = selectors.rollback_target(deployment, seen)
    cannot = refusal(request.actor, "rollouts.rollback", request.shop) or words.cannot_roll_back(
        deployment, target
    )
    shoppers = deployment.known_shoppers
    return {
        "deployment": deployment,
        "headline": words.placement_headline(deployment),
        "arms": words.arms(deployment, shoppers),
        "troubles": words.troubles(deployment.stable, deployment.canary),
        "target": target,
        "cannot_roll_back": cannot,
        "effect": cannot or words.rollback_effect(deployment, target, shoppers, seen.measured),
        "bar_key": f"{target.release}-{deployment.canary_weight_pct}-{target.is_warm}",
        "sends_bar": False,
    }


def _history_line(deployment: Deployment, rollout: Any) -> dict[str, Any]:
    line = words.history_line(rollout)
    served = rollout.status == "succeeded"
    line["can_restore"] = served and rollout.release_id not in (deployment.stable_id, deployment.canary_id)
    return line


def _key_state(key: ServingKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at <= timezone.now() else "active"


def _call(request: ShopRequest, deployment: Deployment) -> str:
    gateway = deployment.environment.gateways_address or settings.GATEWAY_URL
    url = f"{gateway}/{request.shop.slug}/{deployment.slug}/recommendations?user=u42&k=10"
    key = "" if deployment.is_open else ' \\\n  -H "Authorization: Bearer $SERVING_KEY"'
    return f"curl '{url}'{key}"
