"""Signing in and out, and what a person chooses for themself."""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.views import LoginView, LogoutView
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from portal.core.errors import PortalError
from portal.core.models import User
from portal.core.people import sign_in_links
from portal.core.requests import ShopRequest

LOCK_TIMEOUT = "55P03"  # PostgreSQL: lock not available
THEMES = ("light", "dark", "system")


@contextmanager
def one_guess_at_a_time(request: HttpRequest) -> Iterator[None]:
    """Let one attempt at a name from an address be checked and counted before the next one begins.

    Side by side, all of a burst would be checked before the first failure is counted.
    """
    name = unicodedata.normalize("NFKC", request.POST.get("username", "")).strip()
    with transaction.atomic():
        try:
            with connection.cursor() as cursor:
                key = f"sign-in {request.META.get('REMOTE_ADDR')} {name}"
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != LOCK_TIMEOUT:
                raise
            busy = PortalError("Many attempts at this name are being checked. Try again in a moment.")
            busy.status, busy.code, busy.title = 429, "too_many_attempts", "Too many attempts at once"
            busy.headers["Retry-After"] = "5"
            raise busy from error
        yield


@method_decorator(login_not_required, name="dispatch")
class SignIn(LoginView):
    http_method_names = ["get", "head", "post", "options"]
    template_name = "portal/sign_in.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        with one_guess_at_a_time(request):
            return super().post(request, *args, **options)


class SignOut(LogoutView):
    http_method_names = ["post", "options"]


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_by_link(request: HttpRequest, user_id: str, token: str) -> HttpResponse:
    """Sign in by a one-time link; the GET only shows the button, so a mail scanner does not use it up."""
    with transaction.atomic():
        # The person's row is held: a link that is used twice at once must not sign in twice.
        people = User.objects.select_for_update() if request.method == "POST" else User.objects
        user = people.filter(pk=user_id, is_active=True).first()
        if user is None or not sign_in_links.check_token(user, token):
            return render(request, "portal/sign_in_link.html", {"is_valid": False}, status=410)
        if request.method != "POST":
            return render(request, "portal/sign_in_link.html", {"is_valid": True, "person": user})
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("start")


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: ShopRequest) -> HttpResponse:
    """Set or change one's own password; other sessions of the person end."""
    form_class: Any = PasswordChangeForm if request.user.has_usable_password() else SetPasswordForm
    form = form_class(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        update_session_auth_hash(request, form.save())
        messages.success(request, "Your password is changed. Other sessions of yours have ended.")
        return redirect("start")
    return render(request, "portal/password.html", {"form": form}, status=400 if form.errors else 200)


@login_not_required
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Remember the theme in a cookie, so that the next page arrives in it."""
    chosen = request.POST.get("theme", "")
    target = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
        target = "/"
    response = redirect(target)
    if chosen in THEMES:
        response.set_cookie(
            "aisle_theme", chosen, max_age=365 * 86_400, samesite="Lax", secure=request.is_secure()
        )
    return response
