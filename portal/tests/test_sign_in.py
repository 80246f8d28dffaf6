"""Signing in: sessions, lockout, one-time links, passwords, and where one is led afterwards."""

import logging
import re
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import identify_hasher
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.core.models import Event, Membership, User
from portal.core.people import sign_in_links
from portal.core.testing import at_once, make_person
from portal.tests.calls import check_problem

pytestmark = pytest.mark.django_db

PASSWORD = "correct-horse-battery-staple"
WRONG = "wrong-horse-battery-staple"


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    """Spend no time on hashing, save where the hash itself is looked at."""
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.Argon2PasswordHasher",
    ]


@pytest.fixture
def paula(shop):
    user = make_person(shop, "approver", "Paula")
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    return user


def sign_in(username, password=PASSWORD, client=None, **options):
    client = client or Client()
    body = {"username": username, "password": password} | options.pop("body", {})
    return client.post("/sign-in", body, **options)


def test_a_fresh_installation_lets_nobody_in():
    assert not User.objects.exists()
    for name in ("admin", "root", "demo", "postgres", "aisle"):
        assert sign_in(name, name).status_code == 200  # the form again
    assert not Session.objects.exists()


def test_the_session_is_new_at_sign_in_and_gone_at_sign_out(paula, shop):
    client = Client()
    client.cookies["aisle_session"] = "planted-by-somebody-else-000000"
    answer = sign_in(paula.username, client=client)
    assert answer.status_code == 302
    first = client.cookies["aisle_session"].value
    assert first != "planted-by-somebody-else-000000"
    assert client.get(f"/{shop.slug}/").status_code == 200
    client.post("/sign-out")
    assert not Session.objects.filter(session_key=first).exists()
    assert client.get(f"/{shop.slug}/").status_code == 302


def test_an_anonymous_sessions_key_does_not_live_on_after_sign_in(paula):
    client = Client()
    session = client.session
    session["seen"] = 1
    session.save()
    before = client.session.session_key
    sign_in(paula.username, client=client)
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


def test_over_http_cookies_are_lax_and_the_sessions_is_out_of_reach_of_scripts(paula):
    client = Client()
    sign_in(paula.username, client=client)
    session = client.cookies["aisle_session"]
    assert (session["httponly"], session["samesite"], session["secure"]) == (True, "Lax", "")
    assert int(session["max-age"]) == 12 * 3600
    assert client.cookies["aisle_csrf"]["samesite"] == "Lax"


def test_over_https_cookies_are_secure_and_bound_to_the_host():
    import os
    import subprocess
    import sys

    from django.conf import settings

    code = (
        "import django; django.setup(); from django.conf import settings as s; "
        "print(s.SESSION_COOKIE_NAME, s.SESSION_COOKIE_SECURE, s.SESSION_COOKIE_HTTPONLY, "
        "s.CSRF_COOKIE_NAME, s.CSRF_COOKIE_SECURE, s.SECURE_HSTS_SECONDS > 0, s.SECURE_SSL_REDIRECT, "
        "s.SESSION_COOKIE_DOMAIN, s.SESSION_COOKIE_PATH)"
    )
    environment = {**os.environ, "PUBLIC_URL": "https://aisle.example", "ALLOWED_HOSTS": "aisle.example"}
    environment["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=settings.BASE_DIR, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert told.stdout.split() == [
        "__Host-aisle_session", "True", "True", "__Host-aisle_csrf", "True", "True", "True", "None", "/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example",
     "https:evil.example", "http:///evil.example"],
)  # fmt: skip
def test_nobody_is_led_away_after_signing_in_or_choosing_a_theme(paula, target):
    answer = sign_in(paula.username, body={"next": target})
    assert answer.status_code == 302
    assert answer["Location"] == reverse("start")
    assert Client().post("/theme", {"theme": "dark", "next": target})["Location"] == "/"


def test_one_is_led_back_to_the_page_one_came_from(paula, shop):
    asked = Client().get(f"/{shop.slug}/train/new?data=dsv_1")
    assert asked["Location"] == f"/sign-in?next=/{shop.slug}/train/new%3Fdata%3Ddsv_1"
    answer = sign_in(paula.username, body={"next": f"/{shop.slug}/train/new?data=dsv_1"})
    assert answer["Location"] == f"/{shop.slug}/train/new?data=dsv_1"


def test_an_unknown_theme_sets_no_cookie():
    assert "aisle_theme" not in Client().post("/theme", {"theme": "<script>"}).cookies


def test_unknown_names_and_wrong_passwords_are_told_apart_by_nothing(paula):
    known = sign_in(paula.username, WRONG)
    unknown = sign_in("nobody-of-that-name", WRONG)
    blank = re.compile(r'value="[^"]*"|nonce="[^"]*"|"X-CSRFToken": "[^"]*"|req_\w{26}')
    assert blank.sub("", known.content.decode()) == blank.sub("", unknown.content.decode())
    assert known.status_code == unknown.status_code == 200


def test_the_sixth_attempt_is_locked_out_even_with_the_right_password(paula):
    for _ in range(4):
        assert sign_in(paula.username, WRONG).status_code == 200
    assert sign_in(paula.username, WRONG).status_code == 429
    locked = sign_in(paula.username)
    assert locked.status_code == 429
    assert b"minutes" in locked.content
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert sign_in(paula.username).status_code == 302


def test_one_persons_lockout_locks_nobody_else_out(paula, shop):
    for _ in range(6):
        sign_in("somebody-else", WRONG)
    assert sign_in(paula.username).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_of_24_guesses_at_once_at_most_5_are_evaluated(paula, monkeypatch):
    evaluated = []
    check = User.check_password

    def counted(self, raw):
        evaluated.append(raw)
        time.sleep(0.05)  # as long as a real hash takes: time enough for all to begin
        return check(self, raw)

    monkeypatch.setattr(User, "check_password", counted)
    answers = at_once(24, lambda number: sign_in(paula.username, f"{WRONG}-{number}"))
    found = [getattr(answer, "status_code", answer) for answer in answers]
    assert len(evaluated) <= 5, found
    assert set(found) == {200, 429}
    assert found.count(200) <= 4


def test_guesses_are_logged_without_the_password(paula, caplog):
    with caplog.at_level(logging.DEBUG):
        sign_in(paula.username, WRONG)
    assert WRONG not in caplog.text


def test_a_deactivated_person_is_out_at_once(paula, shop):
    client = Client()
    sign_in(paula.username, client=client)
    assert client.get(f"/{shop.slug}/").status_code == 200
    User.objects.filter(pk=paula.pk).update(is_active=False)
    assert client.get(f"/{shop.slug}/").status_code == 302
    assert sign_in(paula.username).status_code == 200


def test_a_changed_role_counts_from_the_next_click_on(paula, shop):
    client = Client()
    sign_in(paula.username, client=client)
    assert client.get(f"/{shop.slug}/train/new").status_code == 200
    Membership.objects.filter(user=paula).update(role="viewer")
    assert client.get(f"/{shop.slug}/train/new").status_code == 403
    Membership.objects.filter(user=paula).delete()
    assert client.get(f"/{shop.slug}/").status_code == 404
    check_problem(client.get("/api/v1/me", headers={"X-Aisle-Shop": shop.slug}), 404)


def link_of(user):
    return reverse("sign_in_by_link", args=[user.pk, sign_in_links.make_token(user)])


def test_a_link_signs_in_once(shop):
    user = make_person(shop, "analyst")
    link = link_of(user)
    first, second = Client(), Client()
    assert first.get(link).status_code == 200
    assert first.get(link).status_code == 200, "looking at it, as mail scanners do, does not use it up"
    assert not Session.objects.exists()
    assert first.post(link).status_code == 302
    assert first.get(f"/{shop.slug}/").status_code == 200
    assert second.get(link).status_code == 410
    assert second.post(link).status_code == 410
    assert second.get(f"/{shop.slug}/").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_of_12_uses_of_a_link_at_once_one_signs_in(shop):
    link = link_of(make_person(shop, "analyst"))
    answers = at_once(12, lambda number: Client().post(link))
    assert sorted(answer.status_code for answer in answers) == [302] + [410] * 11
    assert Session.objects.count() == 1


def test_a_link_ends_after_a_day(shop, settings):
    user = make_person(shop, "analyst")
    link = link_of(user)
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert Client().post(link).status_code == 410


def test_a_link_ends_when_the_password_changes(paula):
    link = link_of(paula)
    paula.set_password("another-long-password-of-paula's")
    paula.save(update_fields=["password"])
    assert Client().post(link).status_code == 410


def test_a_forged_link_and_anothers_link_are_refused(shop):
    one, two = make_person(shop, "analyst"), make_person(shop, "admin")
    token = sign_in_links.make_token(one)
    forged = [
        (two.pk, token),
        (one.pk, token[:-1] + ("0" if token[-1] != "0" else "1")),
        (one.pk, "x"),
        (one.pk, "a-" + "b" * 500),
        ("usr_unknown", token),
        (one.pk, "zzzzzzzzzzzzzzzzzz-" + token.split("-")[1]),
    ]
    for user_id, text in forged:
        link = reverse("sign_in_by_link", args=[user_id, text])
        assert Client().get(link).status_code == 410
        assert Client().post(link).status_code == 410
    assert not Session.objects.exists()


def test_a_password_reset_token_is_no_sign_in_link(shop):
    from django.contrib.auth.tokens import default_token_generator

    user = make_person(shop, "analyst")
    link = reverse("sign_in_by_link", args=[user.pk, default_token_generator.make_token(user)])
    assert Client().post(link).status_code == 410


def test_a_deactivated_persons_link_is_refused(shop):
    user = make_person(shop, "analyst")
    link = link_of(user)
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert Client().post(link).status_code == 410


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short-pass1", "12 characters"),
        ("password1234", "too common"),
        ("Paula-paula-1", "similar"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason(paula, password, why):
    User.objects.filter(pk=paula.pk).update(username="paula-paula-1")
    client = Client()
    client.force_login(User.objects.get(pk=paula.pk), backend="django.contrib.auth.backends.ModelBackend")
    body = {"old_password": PASSWORD, "new_password1": password, "new_password2": password}
    answer = client.post("/password", body)
    assert answer.status_code == 400
    assert why in answer.content.decode()
    assert User.objects.get(pk=paula.pk).check_password(PASSWORD)


def test_a_changed_password_ends_the_other_sessions_and_is_kept_by_argon2(paula, shop, settings):
    settings.PASSWORD_HASHERS = settings.PASSWORD_HASHERS[::-1]
    here, there = Client(), Client()
    sign_in(paula.username, client=here)
    sign_in(paula.username, client=there)
    new = "a-new-and-quite-long-password"
    body = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/password", body).status_code == 302
    assert here.get(f"/{shop.slug}/").status_code == 200
    assert there.get(f"/{shop.slug}/").status_code == 302
    assert identify_hasher(User.objects.get(pk=paula.pk).password).algorithm == "argon2"


def test_the_old_password_is_asked_for(paula):
    client = Client()
    sign_in(paula.username, client=client)
    new = "a-new-and-quite-long-password"
    body = {"old_password": WRONG, "new_password1": new, "new_password2": new}
    assert client.post("/password", body).status_code == 400


@pytest.mark.parametrize("body", [
    {"username": "a\0b", "password": "x"}, {"username": "x" * 100_000, "password": "x"},
    {"username": "", "password": ""}, {}, {"username": "\U0001f6d2", "password": b"\xed\xa0\xbd"},
])  # fmt: skip
def test_strange_names_and_passwords_are_only_wrong(body):
    assert Client().post("/sign-in", body).status_code in (200, 400)


@pytest.mark.django_db(transaction=True)
def test_a_person_added_by_12_at_once_is_added_once(shop, person):
    body = {"name": "New Person", "email": "new@example.com", "username": "new-person", "role": "viewer"}

    def add(number):
        sender = SimpleNamespace(**person.__dict__)
        sender.client = type(person.client)()
        sender.client.cookies = person.client.cookies
        return type(person).call(sender, "POST", "members", body)

    answers = at_once(12, add)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert User.objects.filter(email="new@example.com").count() == 1
    assert Event.objects.filter(verb="membership.added").count() == 1
