"""Pages of promotion requests: the list, a new one, and the one that somebody decides on."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from deployments_app import plan_words, selectors
from deployments_app import request_words as words
from deployments_app.change_words import ShownChange, shown_changes
from deployments_app.forms import PressForm, PromotionForm
from deployments_app.models import Promotion
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services import promotions, reviews, starts
from deployments_app.services.evidence import preview_gates
from deployments_app.services.previews import PromotionPreview, preview_promotion, preview_request
from models_app.models import ModelVersion
from models_app.selectors import model_version, model_versions
from portal.core import figures
from portal.core.errors import Conflict, InvalidInput
from portal.core.permissions import authorize, refusal
from portal.core.requests import ShopRequest
from portal.core.snippets import curl

TABS = (("needs", "Needs me"), ("open", "All open"), ("decided", "Decided"))
VERSIONS_TO_CHOOSE = 30


@require_safe
def approvals(request: ShopRequest) -> HttpResponse:
    """Requests that wait for this person, all open ones, and those decided."""
    authorize(request.actor, "promotions.read", request.shop)
    tab = request.GET.get("tab", "needs")
    tab = tab if tab in dict(TABS) else "needs"
    page = Paginator(selectors.request_list(request.actor, request.shop, tab), 50).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "lines": [_line(promotion) for promotion in page],
        "tab": tab,
        "tabs": [
            {"label": label, "url": f"?tab={name}", "is_current": name == tab, "count": None}
            for name, label in TABS
        ],
        "curl": curl("promotions?status=open"),
    }
    return render(request, "deployments_app/approvals.html", context)


def _line(promotion: Any) -> dict[str, Any]:
    return {
        "promotion": promotion,
        "outcome": words.outcome(promotion.verdicts or {}),
        "gates": words.gates_summary(promotion.gates or []),
        "is_stale": selectors.is_stale(promotion),
        "is_expired": selectors.is_expired(promotion),
    }


@require_http_methods(["GET", "HEAD", "POST"])
def promotion_new(request: ShopRequest) -> HttpResponse:
    """Ask that a version goes live: where, in which steps, and why."""
    authorize(request.actor, "promotions.request", request.shop)
    deployments = list(selectors.deployments(request.shop))
    chosen = request.POST.get("version") or request.GET.get("version", "")
    if not chosen or not deployments:
        return _nothing_to_ask(request, chosen, bool(deployments))
    version = model_version(request.shop, chosen)
    form = PromotionForm(
        deployments,
        request.POST or None,
        initial={"deployment": _wanted(request)},
        edit=_plan_to_edit(request, deployments),
    )
    preview = None
    if request.method == "POST" and form.is_valid():
        try:
            if "preview" in request.POST:
                preview = _preview(request, version, form)
            else:
                target = form.chosen_deployment()
                promotion = promotions.request_promotion(
                    request.actor,
                    request.shop,
                    version,
                    target,
                    plan=form.chosen_plan(target),
                    comment=form.cleaned_data["comment"],
                )
                messages.success(request, "Sent. The evidence is frozen; somebody else decides.")
                return redirect("promotion_detail", request.shop.slug, promotion.pk)
        except (InvalidInput, Conflict) as error:
            form.add_problems(error)
    if request.method != "POST":
        preview = _preview(request, version, form)
    return render(
        request,
        "deployments_app/promotion_new.html",
        {**_new_context(version, form), "preview": preview, "backend_changes": _changes(preview)},
        status=422 if form.errors and "preview" not in request.POST else 200,
    )


def _plan_to_edit(request: ShopRequest, deployments: list[Any]) -> dict[str, Any] | None:
    """Find the plan that the rows begin with: a template's, or the placement's own."""
    name = request.GET.get("edit", "")
    if name in TEMPLATES:
        return TEMPLATES[name].plan.to_json()
    if name == "default":
        target = next((each for each in deployments if each.pk == _wanted(request)), deployments[0])
        plan: dict[str, Any] = target.environment.plan
        return plan
    return None


def _preview(request: ShopRequest, version: ModelVersion, form: PromotionForm) -> PromotionPreview:
    """Show what the chosen plan would do; a page that was just opened shows what it begins with."""
    if form.is_bound:
        target = form.chosen_deployment()
        plan = form.chosen_plan(target)
    else:
        named = form["deployment"].value()
        target = next((each for each in form.deployments if each.pk == named), form.deployments[0])
        plan = _plan_to_edit(request, form.deployments)
    return preview_promotion(request.actor, request.shop, version, target, plan)


def _changes(preview: PromotionPreview | None) -> list[ShownChange]:
    if preview is None or preview.backend is None:
        return []
    return shown_changes(preview.backend.changes, preview.live_number)


def _wanted(request: ShopRequest) -> str | None:
    return request.GET.get("deployment") or None


def _new_context(version: ModelVersion, form: PromotionForm) -> dict[str, Any]:
    named = form["deployment"].value()
    target = next((each for each in form.deployments if each.pk == named), form.deployments[0])
    live = target.stable.model_version if target.stable is not None else None
    is_live = live is not None and live.pk == version.pk
    verdicts, gates = ({}, []) if is_live else preview_gates(target, version)
    body = f'{{"model_version": "{version.pk}", "deployment": "{target.pk}", "comment": "…"}}'
    return {
        "version": version,
        "form": form,
        "target": target,
        "is_live": is_live,
        "tiles": form.tiles(target),
        "verdict": words.verdict(
            {
                "verdicts": verdicts,
                "champion": live and {"id": live.pk},
                "metrics": version.metrics,
                "live_metrics": live.metrics if live is not None else None,
            }
        ),
        "gates": words.gate_lines(gates, verdicts, target.environment.blocking_gates),
        "summary": words.gates_summary(gates),
        "curl": curl("promotions", body=body),
    }


def _nothing_to_ask(request: ShopRequest, chosen: str, has_placement: bool) -> HttpResponse:
    """Let somebody choose a version, or make the first placement."""
    new_url = reverse("deployment_new", args=[request.shop.slug])
    context = {
        "has_placement": has_placement,
        "versions": model_versions(request.shop)[:VERSIONS_TO_CHOOSE] if has_placement else [],
        "cannot_make": refusal(request.actor, "deployments.write", request.shop),
        "new_url": f"{new_url}?version={chosen}" if chosen else new_url,
        "curl": curl("promotions", body='{"model_version": "mv_…", "deployment": "dep_…"}'),
    }
    return render(request, "deployments_app/promotion_start.html", context)


@require_safe
def promotion_detail(request: ShopRequest, promotion_id: str) -> HttpResponse:
    """A request with its frozen evidence, and what this person may do about it."""
    authorize(request.actor, "promotions.read", request.shop)
    promotion = selectors.promotion(request.shop, promotion_id)
    return render(request, "deployments_app/promotion_detail.html", _context(request, promotion))


@require_safe
def promotion_changes(request: ShopRequest, promotion_id: str) -> HttpResponse:
    """What a request would change on the servers, line by line, and whether a dry run takes it."""
    promotion = selectors.promotion(request.shop, promotion_id)
    try:
        preview = preview_request(request.actor, request.shop, promotion)
    except Conflict as error:
        messages.error(request, error.detail)
        return redirect("promotion_detail", request.shop.slug, promotion.pk)
    context = {
        "promotion": promotion,
        "preview": preview,
        "changes": _changes(preview),
        "curl": curl(f"promotions/{promotion.pk}/changes"),
    }
    return render(request, "deployments_app/promotion_changes.html", context)


@require_POST
def promotion_decide(request: ShopRequest, promotion_id: str) -> HttpResponse:
    """Approve, reject, comment, withdraw or start; `do` says which."""
    promotion = selectors.promotion(request.shop, promotion_id)
    here = redirect("promotion_detail", request.shop.slug, promotion.pk)
    try:
        pressed = PressForm(request.POST).read()
        do, comment, seen = pressed["do"], pressed["comment"], pressed["lock_version"]
        if do == "withdraw":
            promotions.withdraw_promotion(request.actor, request.shop, promotion, seen, comment)
        elif do == "start":
            rollout = starts.start_rollout(request.actor, request.shop, promotion, seen)
            return redirect("rollout_detail", request.shop.slug, rollout.pk)
        else:
            reviews.review_promotion(request.actor, request.shop, promotion, do, comment, seen)
    except InvalidInput as error:
        context = {
            **_context(request, promotion),
            "problem": error.detail,
            "said": request.POST.get("comment", "").replace("\0", ""),
        }
        return render(request, "deployments_app/promotion_detail.html", context, status=422)
    except Conflict as error:
        messages.error(request, error.detail)
        return here
    return _after(request, promotion.pk, do) or here


def _after(request: ShopRequest, pk: str, do: str) -> HttpResponse | None:
    """Tell what came of it; an approval that started a rollout leads there."""
    promotion = selectors.promotion(request.shop, pk)
    rollouts = sorted(promotion.rollouts.all(), key=lambda each: each.created_at)
    if do == "approve" and rollouts:
        messages.success(request, "Approved. The rollout has begun; you can stop it or roll back here.")
        return redirect("rollout_detail", request.shop.slug, rollouts[-1].pk)
    told = {
        "approve": f"Approved. {_approvals(request, promotion)}",
        "reject": "Rejected. Nothing changes for shoppers.",
        "comment": "Your comment is on the page for everybody here.",
        "withdraw": "Withdrawn. Nothing changes for shoppers.",
    }
    messages.success(request, told.get(do, "Done."))
    return None


def _approvals(request: ShopRequest, promotion: Promotion) -> str:
    standing = selectors.standing(promotion, request.actor)
    if promotion.status == "open":
        return f"{standing.approvals} of {figures.counted(standing.needed, 'approval')}."
    return "It starts when the rollout under way has ended."


def _context(request: ShopRequest, promotion: Promotion) -> dict[str, Any]:
    evidence = promotion.evidence
    standing = selectors.standing(promotion, request.actor)
    environment = promotion.deployment.environment
    shoppers = (evidence.get("shelves") or {}).get("shoppers") or []
    shown = request.GET.get("shopper", "1")
    at = min(max(int(shown[:4]), 1), len(shoppers)) if shown[:4].isdecimal() and shoppers else 1
    attempts = sorted(promotion.rollouts.all(), key=lambda each: each.created_at)
    known = (evidence.get("data") or {}).get("users")
    version = promotion.model_version
    return {
        "promotion": promotion,
        "standing": standing,
        "headline": words.headline(promotion),
        "verdict": words.verdict(evidence),
        "gates": words.gate_lines(
            evidence.get("gates", []), evidence.get("verdicts") or {}, environment.blocking_gates
        ),
        "summary": words.gates_summary(evidence.get("gates", [])),
        "shopper": shoppers[at - 1] if shoppers else None,
        "shelves": words.shelves(shoppers[at - 1]) if shoppers else [],
        "shopper_tabs": [
            {"number": number, "user": each["user"], "is_current": number == at}
            for number, each in enumerate(shoppers, 1)
        ],
        "steps": plan_words.plan_steps(promotion.plan, known),
        "servers": plan_words.about_servers(promotion.plan),
        "stop_rule": plan_words.stop_rule(promotion.plan),
        "kind_of_plan": plan_words.kind_of_plan(promotion.plan),
        "is_first": promotion.champion_id is None,
        "metric_rows": words.metric_rows(evidence),
        "evidence": evidence,
        "events": words.discussion(promotion),
        "rollout": attempts[-1] if attempts else None,
        "is_own": request.actor.user is not None and request.actor.user.pk == promotion.requested_by_id,
        "cannot_comment": refusal(request.actor, "promotions.comment", request.shop),
        "new_url": f"{reverse('promotion_new', args=[request.shop.slug])}?version={version.pk}",
        "is_startable": promotion.status == "approved"
        and all(each.status in ("failed", "aborted") for each in attempts),
        "is_to_come": promotion.status in ("open", "approved"),
        "problem": "",
        "said": "",
        "curl": curl(f"promotions/{promotion.pk}"),
    }
