"""The gallery as a small site: the components, an upload, the theme form and where browsers report to."""

import json
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from portal.context_processors import THEME_COOKIE
from tests.look.gallery import SampleFrame, person, sample

reports: list[dict[str, Any]] = []  # what browsers said about the Content-Security-Policy


@login_not_required
def gallery(request: HttpRequest) -> HttpResponse:
    if "message" in request.GET:
        messages.success(request, "Promotion 31 is approved. Release 18 starts at 10 %.")
    return render(
        request, "portal/gallery.html", {"gallery": sample(), "user": person(), "shell": SampleFrame(request)}
    )


@login_not_required
def frameless(request: HttpRequest, page: str) -> HttpResponse:
    known = {
        "sign_in": "portal/sign_in.html",
        "locked_out": "portal/locked_out.html",
        "404": "errors/404.html",
        "403": "errors/403.html",
        "500": "errors/500.html",
        "problem": "errors/problem.html",
    }
    problem = {
        "title": "Somebody else changed this first",
        "detail": "Rollout 12 is already succeeded; roll back instead.",
        "request_id": "req_01",
        "code": "stale_state",
    }
    return render(request, known[page], {"form": _sign_in_form(request), "problem": problem, "next": "/"})


def _sign_in_form(request: HttpRequest) -> Any:
    from django.contrib.auth.forms import AuthenticationForm

    return AuthenticationForm(request)


ticks = {"seen": 0, "broken": 0}


@login_not_required
def ticking(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "look/ticking.html",
        {"tick": 0, "stage": "fit", "user": person(), "shell": SampleFrame(request)},
    )


@login_not_required
def tick(request: HttpRequest) -> HttpResponse:
    if ticks["broken"]:
        return HttpResponse("down", status=503)
    ticks["seen"] += 1
    stage = "evaluate" if ticks["seen"] > 3 else "fit"
    return render(request, "look/_tick.html", {"tick": ticks["seen"], "stage": stage})


@login_not_required
def theme(request: HttpRequest) -> HttpResponse:
    response = redirect(request.POST.get("next", "/"))
    response.set_cookie(THEME_COOKIE, request.POST["theme"], samesite="Lax")
    return response


@csrf_exempt
@login_not_required
def upload(request: HttpRequest) -> HttpResponse:
    if request.FILES["file"].size == 3:
        return JsonResponse(
            {"detail": "The file has no rows."}, status=400, content_type="application/problem+json"
        )
    return redirect("/?message=1")


@csrf_exempt
@login_not_required
def csp_report(request: HttpRequest) -> HttpResponse:
    reports.append(json.loads(request.body))
    return HttpResponse(status=204)


@login_not_required
def anywhere(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return redirect("/")


NAMES = (
    *("home", "data_list", "run_list", "model_list", "approvals", "deployment_list"),
    *("integrate", "activity", "settings", "people", "tokens"),
)
urlpatterns: list[URLPattern] = [
    path("", gallery, name="rollout_detail"),
    path("", gallery, name="start"),
    path("page/<str:page>", frameless),
    path("ticking", ticking),
    path("tick", tick),
    path("theme", theme, name="theme"),
    path("upload", upload),
    path("csp-report", csp_report),
    path("sign-out", anywhere, name="sign_out"),
    path("sign-in", anywhere, name="sign_in"),
    *[path(f"<slug:shop>/{name}", anywhere, name=name) for name in NAMES],
]
