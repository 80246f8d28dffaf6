"""Pages of placements and rollouts: what they say, what a press does, and what they cost."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deployments_app.models import Deployment, Environment, Rollout, ServingKey
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import promote_now
from deployments_app.services.verdicts import record_watch
from deployments_app.services.workloads import look_after
from deployments_app.tests.factories import pass_step, verbs
from models_app.models import DatasetVersion
from portal.core.models import Event


@pytest.fixture
def live(world):
    """A first release that serves everybody."""
    release = world.make_live()
    DatasetVersion.objects.update(user_count=21_000)
    return release


@pytest.fixture
def canary(world, live):
    """A second release at 10 %."""
    return world.advance(world.start(world.version("item_knn")))


@pytest.fixture
def two_releases(world, live):
    """Release 2 serves everybody, release 1 is kept warm."""
    world.make_live(world.version("item_knn"))
    return Deployment.objects.get(pk=world.deployment.pk)


def button(page, words):
    """The opening tag of the button that says these words."""
    found = re.search(r"<button([^>]*)>(?:(?!</button>).)*?" + re.escape(words), page)
    assert found, f"no button says {words}"
    return found[1]


def test_the_headline_is_the_state_in_a_sentence(world, visit, canary):
    page = visit("operator", "rollout_detail", canary.pk).text_
    assert re.search(r"<h1>Release 2 serves 10 % of Home page</h1>", page)
    assert "about 2,100 shoppers" in page
    assert "Rolling back moves about 2,100 shoppers from release 2 to release 1 at once." in page


def test_what_a_server_said_last_is_shown_and_runs_nowhere(world, visit, live, told):
    """While it is tried again, after it was given up, and at the placement when it is the live one."""
    rollout = world.start(world.version("item_knn"))
    told.is_ready, told.reason, told.log = (
        False,
        "the server ended",
        "<script>alert(1)</script>\nno such file",
    )
    world.advance(rollout)
    said = "&lt;script&gt;alert(1)&lt;/script&gt; no such file"
    assert said in visit("viewer", "rollout_detail", rollout.pk).text_
    Rollout.objects.filter(pk=rollout.pk).update(started_at=timezone.now() - timedelta(minutes=10))
    world.advance(rollout)
    assert rollout.status == "failed"
    assert said in visit("viewer", "rollout_detail", rollout.pk).text_
    look_after(live)
    page = visit("viewer", "deployment_detail", world.deployment.pk).text_
    assert "Release 1: 0 of 1 servers ready" in page
    assert said in page


def test_steps_count_down(world, visit, live):
    slow = {"steps": [{"weight_pct": 10, "hold_s": 600, "min_answers": 100}, {"weight_pct": 100}]}
    rollout = world.advance(world.start(world.version("item_knn"), plan=slow))
    Rollout.objects.filter(pk=rollout.pk).update(step_started_at=timezone.now() - timedelta(seconds=120))
    page = visit("viewer", "rollout_status", rollout.pk).text_
    assert re.search(r"(8 min|7 min 5\d s) left", page)


def test_checks_of_the_step_are_listed_in_words(world, visit, canary):
    pass_step(canary, "not_enough_data", "needs 60 more answers")
    page = visit("viewer", "rollout_detail", canary.pk).text_
    assert "Needs 60 more answers." in page
    assert "as of" in page


@pytest.mark.parametrize(
    ("press", "becomes", "verb"),
    [("pause", "paused", "rollout.paused"), ("abort", "aborted", "rollout.aborted")],
)
def test_buttons_act_and_leave_an_event(world, visit, canary, press, becomes, verb):
    visit("operator", "rollout_act", canary.pk, data=act(press, canary), status=302)
    canary.refresh_from_db()
    assert canary.status == becomes
    assert verb in verbs(canary)


def test_a_button_from_an_older_page_changes_nothing(world, visit, canary):
    old = act("promote", canary)
    visit("operator", "rollout_act", canary.pk, data=act("pause", canary), status=302)
    visit("operator", "rollout_act", canary.pk, data=old, status=302)
    canary.refresh_from_db()
    assert canary.status == "paused"
    assert "has changed since this page was loaded" in visit("operator", "rollout_detail", canary.pk).text_


@pytest.mark.parametrize(
    ("name", "headline", "buttons", "words"),
    [
        (
            "blue_green",
            "Release 2 can be looked at; nobody at Home page sees it yet",
            ["pause", "promote", "abort"],
            ["/home/preview/recommendations?user=u42", "Nobody sees release 2 yet. Rolling back ends this"],
        ),
        (
            "shadow_first",
            "Release 2 shadows release 1 at Home page",
            ["pause", "step", "promote", "abort"],
            ["copies of 25 % of requests", "Release 2 goes to 10 % of shoppers without waiting."],
        ),
        (
            "ab",
            "Releases 1 and 2 are tested side by side at Home page",
            ["pause", "conclude new", "conclude live"],
            ["Keep release 2", "Keep release 1", "until somebody concludes"],
        ),
    ],
)
def test_each_strategy_says_what_it_does_and_has_its_buttons(
    world, visit, live, name, headline, buttons, words
):
    rollout = world.advance(world.start(world.version("item_knn"), plan=TEMPLATES[name].plan.to_json()), 2)
    page = visit("operator", "rollout_detail", rollout.pk).text_
    assert f"<h1>{headline}</h1>" in page
    assert re.findall(r'name="do" value="([^"]+)"', page) == buttons
    for each in words:
        assert each in page
    last = {"do": buttons[-1], "lock_version": rollout.lock_version}
    visit("operator", "rollout_act", rollout.pk, data=last, status=302)
    rollout.refresh_from_db()
    assert rollout.status == "aborted"


def test_a_release_that_went_live_is_watched_and_says_so(world, visit, canary):
    promote_now(world.operator, world.shop, canary)
    canary.refresh_from_db()
    record_watch(canary, "pass", [{"name": "errors", "verdict": "pass", "sentence": "0 of 90 failed"}])
    page = visit("viewer", "rollout_detail", canary.pk).text_
    more = r"(30 min|29 min [1-5]\d s)"  # a loaded machine takes a moment to show it
    assert re.search(
        rf"Watched for {more} more: if the checks fail, it is rolled back by itself, once\.", page
    )
    assert "Checks since it went live" in page
    assert "0 of 90 failed" in page


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_who_may_not_operate_reads_along_and_learns_why(world, visit, canary, role):
    page = visit(role, "rollout_detail", canary.pk).text_
    for words in ("Pause", "Next step", "Promote now", "Abort", "Roll back to release 1"):
        assert " disabled " in button(page, words)
    assert f"You may not roll back: you are {role} here. Ask one of: admin, approver, operator." in page
    visit(role, "rollout_act", canary.pk, data=act("pause", canary), status=403)
    visit(role, "deployment_rollback", world.deployment.pk, data={"to_release": ""}, status=403)
    canary.refresh_from_db()
    assert canary.status == "progressing"


def test_one_press_rolls_back_and_leads_to_the_rollback(world, visit, two_releases):
    page = visit("approver", "deployment_detail", world.deployment.pk).text_
    assert " disabled " not in button(page, "Roll back to release 1")
    assert "Rolling back moves everybody from release 2 to release 1 at once." in page
    before = timezone.now()
    answer = visit(
        "approver",
        "deployment_rollback",
        world.deployment.pk,
        data={"to_release": two_releases.last_good_id},
        status=302,
    )
    rollback = Rollout.objects.get(kind="rollback")
    assert answer.url == reverse("rollout_detail", args=[world.shop.slug, rollback.pk])
    assert before <= rollback.received_at <= timezone.now()
    two_releases.refresh_from_db()
    assert two_releases.stable_id == rollback.release_id
    assert verbs(rollback) == ["rollout.rolled_back"]


def test_a_second_press_leads_to_the_same_rollback(world, visit, two_releases):
    form = {"to_release": two_releases.last_good_id}
    first = visit("approver", "deployment_rollback", world.deployment.pk, data=form, status=302)
    second = visit("approver", "deployment_rollback", world.deployment.pk, data=form, status=302)
    assert first.url == second.url
    assert Event.objects.filter(verb="rollout.rolled_back").count() == 1


def test_the_measured_time_is_shown_big_and_a_reason_can_follow(world, visit, two_releases):
    rollback = roll_back(world.approver, world.shop, two_releases)
    waiting = visit("approver", "rollout_detail", rollback.pk).text_
    assert "Waiting for the gateways’ word" in waiting
    gateway = {"last_other_answer_ms": 34.0, "routes_running_ms": 61.0, "probes": 41, "errors": 0}
    Rollout.objects.filter(pk=rollback.pk).update(
        status="succeeded", measured={**gateway, "gateways": {"one": gateway}}, finished_at=timezone.now()
    )
    page = visit("approver", "rollout_detail", rollback.pk).text_
    assert re.search(r"From the press until every shopper had release 1</dt>\s*<dd>61 ms</dd>", page)
    visit("approver", "rollout_note", rollback.pk, data={"comment": "Garden lists were empty."}, status=302)
    assert "Garden lists were empty." in visit("viewer", "rollout_detail", rollback.pk).text_
    history = visit("viewer", "deployment_detail", world.deployment.pk).text_
    assert "<b>61 ms</b>" in history
    assert "Garden lists were empty." in history


def test_an_earlier_release_is_restored_from_the_history(world, visit, two_releases):
    roll_back(world.approver, world.shop, two_releases)
    Rollout.objects.filter(kind="rollback").update(status="succeeded", finished_at=timezone.now())
    page = visit("operator", "deployment_detail", world.deployment.pk).text_
    assert "To serve release 2 again, restore it from the history." in page
    assert button(page, "Restore release 2") == ' class="btn small"'
    two_releases.refresh_from_db()
    form = {"to_release": two_releases.last_good_id}
    visit("operator", "deployment_rollback", world.deployment.pk, data=form, status=302)
    two_releases.refresh_from_db()
    assert two_releases.stable.number == 2


def test_an_ended_rollout_stops_asking(world, visit, canary):
    assert "hx-trigger" in visit("viewer", "rollout_status", canary.pk).text_
    visit("operator", "rollout_act", canary.pk, data=act("abort", canary), status=302)
    assert "hx-trigger" not in visit("viewer", "rollout_status", canary.pk).text_


def test_a_refresh_brings_the_buttons_only_when_they_changed(world, visit, canary):
    page = visit("operator", "rollout_detail", canary.pk).text_
    key = re.search(r'status\?bar=([^"]+)"', page)[1]
    assert 'id="rollout-bar"' not in visit("operator", "rollout_status", canary.pk, query=f"?bar={key}").text_
    visit("operator", "rollout_act", canary.pk, data=act("pause", canary), status=302)
    after = visit("operator", "rollout_status", canary.pk, query=f"?bar={key}").text_
    assert 'id="rollout-bar" hx-swap-oob="true"' in after
    assert button(after, "Resume")


def test_a_first_placement_is_made_with_its_environment(world, visit):
    version = world.version()
    world.deployment.delete()
    Environment.objects.all().delete()
    form = {
        "name": "the home page",
        "slug": "home",
        "environment_name": "Production",
        "min_approvals": "2",
        "version": version.pk,
    }
    answer = visit("operator", "deployment_new", data=form, status=302)
    made = Deployment.objects.get()
    assert (made.environment.min_approvals, made.is_open) == (2, False)
    assert answer.url.endswith(f"/approvals/new?version={version.pk}&deployment={made.pk}")
    visit("analyst", "deployment_new", data=form, status=403)


def test_a_short_name_that_is_taken_is_refused_in_place(world, visit):
    form = {"name": "Again", "slug": "home", "environment": world.environment.pk}
    page = visit("operator", "deployment_new", data=form, status=422).text_
    assert "There is a placement home already." in page


def test_a_key_is_shown_once_and_can_be_revoked(world, visit):
    Deployment.objects.update(is_open=False)
    answer = visit(
        "operator", "deployment_key_new", world.deployment.pk, data={"name": "web shop", "days": "30"}
    )
    assert answer["Cache-Control"] == "no-store"
    token = re.search(r"eyJ[\w.-]+", answer.text_)[0]
    key = ServingKey.objects.get()
    page = visit("operator", "deployment_detail", world.deployment.pk).text_
    assert token not in page
    assert "web shop" in page
    assert "Authorization: Bearer $SERVING_KEY" in page
    visit("viewer", "deployment_key_revoke", world.deployment.pk, key.pk, data={}, status=403)
    visit("operator", "deployment_key_revoke", world.deployment.pk, key.pk, data={}, status=302)
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_an_open_placement_says_so(world, visit):
    page = visit("viewer", "deployment_detail", world.deployment.pk).text_
    assert "open: no key needed" in page
    assert "SERVING_KEY" not in page
    assert "You may not issue or revoke serving keys: you are viewer here." in page


# Eight of them are the frame's: session, person, shops with roles, approvals, three kinds of jobs, alerts.
PAGES = [
    ("rollout_detail", "rollout", 12),
    ("rollout_status", "rollout", 7),
    ("deployment_detail", "deployment", 15),
    ("deployment_status", "deployment", 5),
]


@pytest.mark.parametrize(("name", "of", "most"), PAGES)
def test_a_long_history_costs_no_more_queries(
    world, visit, two_releases, django_assert_max_num_queries, name, of, most
):
    roll_back(world.approver, world.shop, two_releases)
    pk = Rollout.objects.get(kind="rollback").pk if of == "rollout" else world.deployment.pk
    visit("approver", name, pk)
    with django_assert_max_num_queries(most):
        visit(None, name, pk)


BUSY_PAGES = (
    "rollout_detail",
    "deployment_detail",
    "live_numbers",
    "consistency",
    "time_machine",
    "approvals",
)


@pytest.mark.parametrize("name", [*BUSY_PAGES, "environment_detail", "deployment_list"])
def test_a_rollout_under_way_costs_at_most_fifteen_queries(
    world, visit, two_releases, django_assert_max_num_queries, name
):
    roll_back(world.approver, world.shop, two_releases)
    Rollout.objects.filter(kind="rollback").update(status="succeeded", measured={"routes_running_ms": 90})
    third = world.advance(world.start(world.version("popularity")))
    assert third.status == "progressing"
    of = {
        "rollout_detail": [third.pk],
        "environment_detail": [world.environment.pk],
        "approvals": [],
        "deployment_list": [],
    }
    visit("approver", name, *of.get(name, [world.deployment.pk]))
    with django_assert_max_num_queries(15):
        visit(None, name, *of.get(name, [world.deployment.pk]))


def test_many_placements_are_listed_in_few_queries(world, visit, live, django_assert_max_num_queries):
    for number in range(5):
        Deployment.objects.create(
            shop=world.shop, environment=world.environment, slug=f"p{number}", name=f"Place {number}",
            stable=live,
        )  # fmt: skip
    visit("approver", "deployment_list")
    with django_assert_max_num_queries(15):
        page = visit(None, "deployment_list").text_
    assert "6 placements" in page


def act(do, rollout):
    rollout.refresh_from_db()
    return {"do": do, "lock_version": rollout.lock_version}


def test_what_no_database_can_hold_is_refused_in_words(world, visit, two_releases):
    rollout = Rollout.objects.filter(deployment=world.deployment).latest("created_at")
    for name, pk, data in (
        ("rollout_note", rollout.pk, {"comment": "a\0b"}),
        ("rollout_act", rollout.pk, {"do": "pause", "lock_version": "9" * 40}),
        ("deployment_rollback", world.deployment.pk, {"to_release": "\0"}),
        ("deployment_key_new", world.deployment.pk, {"name": "a\0b", "days": "9"}),
    ):
        client_answer = visit("operator", name, pk, data=data, status=None)
        assert client_answer.status_code in (302, 400, 422), name
    two_releases.refresh_from_db()
    assert two_releases.stable.number == 2
