"""The shell's pages: where a person starts, who may do what, what happened."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal import home as home_page
from portal.core import people as people_service
from portal.core import tokens as token_service
from portal.core.errors import Conflict, InvalidInput
from portal.core.models import Membership, Role
from portal.core.permissions import ACTIONS, SCOPES, is_permitted, refusal
from portal.core.requests import ShopRequest
from portal.core.selectors import visible_events, visible_members
from portal.forms import NewMemberForm, NewTokenForm, RoleForm
from portal.snippets import curl, first_calls

EVENTS_A_PAGE = 50


@require_safe
def start(request: ShopRequest) -> HttpResponse:
    """Send a person to their shop; whoever belongs to none is told what to do."""
    membership = (
        Membership.objects.filter(user=request.user).select_related("shop").order_by("created_at").first()
    )
    if membership is None:
        return render(request, "portal/no_shop.html", status=200)
    return redirect("home", membership.shop.slug)


@require_safe
def home(request: ShopRequest) -> HttpResponse:
    deployments = home_page.live_deployments(request.shop)
    title, why = home_page.headline(deployments)
    steps = home_page.first_steps(request.shop)
    context = {
        "title": title,
        "why": why,
        "deployments": deployments,
        "steps": steps,
        "done_count": sum(step["state"] == "done" for step in steps),
        "waiting": home_page.waiting_promotions(request.actor, request.shop),
        "lately": home_page.lately(request.actor, request.shop),
        "freshness": home_page.freshness(request.shop),
        "curl": curl("deployments"),
    }
    return render(request, "portal/home.html", context)


@require_safe
def jobs(request: ShopRequest) -> HttpResponse:
    """The tray of running jobs, which the frame asks for again and again."""
    return render(request, "shell/_jobs.html")


@require_safe
def settings_page(request: ShopRequest) -> HttpResponse:
    """What can be set, and what the person may do here."""
    rules = [(rule.sentence, refusal(request.actor, name, request.shop)) for name, rule in ACTIONS.items()]
    return render(request, "portal/settings.html", {"rules": rules})


@require_safe
def activity(request: ShopRequest) -> HttpResponse:
    events = visible_events(request.actor, request.shop)
    verb = request.GET.get("verb", "")[:60]
    if verb:
        events = events.filter(verb=verb)
    page = Paginator(events, EVENTS_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "verb": verb,
        "curl": curl("audit-events"),
        "sees_all": is_permitted(request.actor, "events.read_all", request.shop),
    }
    return render(request, "portal/activity.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def people(request: ShopRequest) -> HttpResponse:
    """Who belongs to the shop; an admin adds people, whose one-time sign-in link is shown once."""
    form = NewMemberForm(request.POST or None)
    link = None
    if request.method == "POST" and form.is_valid():
        try:
            user = people_service.add_person(actor=request.actor, shop=request.shop, **form.cleaned_data)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.detail)
        else:
            if not user.has_usable_password():
                link = request.build_absolute_uri(
                    reverse("sign_in_by_link", args=[user.pk, people_service.sign_in_links.make_token(user)])
                )
            messages.success(request, f"{user.label} now belongs to {request.shop.name}.")
            form = NewMemberForm()
    members = visible_members(request.actor, request.shop).order_by("user__first_name", "user__username")
    context: dict[str, Any] = {
        "members": [(member, RoleForm(initial={"role": member.role})) for member in members],
        "form": form,
        "link": link,
        "may_change": is_permitted(request.actor, "people.write", request.shop),
        "roles": Role.choices,
        "settings_url": reverse("settings", args=[request.shop.slug]),
        "curl": curl("members"),
    }
    return render(request, "portal/people.html", context, status=400 if form.errors else 200)


@require_POST
def person_change(request: ShopRequest, membership_id: str) -> HttpResponse:
    """Change a role, or remove a person."""
    if request.POST.get("action") == "remove":
        people_service.remove_person(actor=request.actor, shop=request.shop, membership_id=membership_id)
        messages.success(request, "Removed. Their tokens for this shop no longer work.")
    else:
        membership = people_service.change_role(
            actor=request.actor,
            shop=request.shop,
            membership_id=membership_id,
            role=request.POST.get("role", ""),
        )
        messages.success(request, f"{membership.user.label} is {membership.role} now.")
    return redirect("people", request.shop.slug)


@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: ShopRequest) -> HttpResponse:
    """The person's tokens; a new one's text is shown once, on this page."""
    form = NewTokenForm(request.POST or None)
    text = None
    if request.method == "POST" and form.is_valid():
        try:
            _, text = token_service.create_token(actor=request.actor, shop=request.shop, **form.cleaned_data)
        except (InvalidInput, Conflict) as error:
            form.add_error(None, error.detail)
        else:
            form = NewTokenForm()
    context = {
        "tokens": token_service.visible_tokens(request.actor, request.shop),
        "form": form,
        "text": text,
        "scopes": SCOPES,
        "settings_url": reverse("settings", args=[request.shop.slug]),
        "curl": curl("tokens"),
        "may_create": is_permitted(request.actor, "tokens.write", request.shop),
    }
    response = render(request, "portal/tokens.html", context, status=400 if form.errors else 200)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def token_revoke(request: ShopRequest, token_id: str) -> HttpResponse:
    token = token_service.revoke_token(actor=request.actor, shop=request.shop, token_id=token_id)
    messages.success(request, f"Token {token.name} is revoked. Requests that use it are refused from now on.")
    return redirect("tokens", request.shop.slug)


@require_safe
def integrate(request: ShopRequest) -> HttpResponse:
    """From a token to a recommendation, with this shop's own addresses."""
    deployments = home_page.live_deployments(request.shop)
    steps = first_calls(request.shop, deployments[0] if deployments else None)
    return render(request, "portal/integrate.html", {"steps": steps})


@login_not_required
@require_safe
def gallery(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/gallery.html")
