"""Pages of requests: who sees what, why a button is dark, and that pressing one acts."""

import re
from dataclasses import fields

import pytest
from django.urls import reverse

from deployments_app.models import Deployment, Promotion, Rollout
from deployments_app.plan_form import PlanForm
from deployments_app.plan_rules import Checks
from deployments_app.plan_templates import TEMPLATES
from deployments_app.request_words import shelves
from deployments_app.tests.factories import BETTER, days_ago, make_world, verbs
from models_app.models import DatasetVersion
from portal.core.models import Role
from portal.core.testing import make_actor

LIVE = {**BETTER, "relative": 0.084, "relative_low": 0.053, "relative_high": 0.115}
WEAK = {"difference": 0.0, "low": -0.02, "high": 0.02, "verdict": "no difference", "n_users": 500}


@pytest.fixture
def asked(world):
    return world.request()


ROLES = ["viewer", "analyst", "approver", "operator", "admin"]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_reads_every_page(world, visit, role):
    world.make_live()
    promotion = world.request(world.version("item_knn"))
    rollout = Rollout.objects.get(deployment=world.deployment)
    for tab in ("needs", "open", "decided"):
        visit(role, "approvals", query=f"?tab={tab}")
    visit(role, "promotion_detail", promotion.pk)
    visit(role, "deployment_list")
    visit(role, "deployment_detail", world.deployment.pk)
    visit(role, "deployment_status", world.deployment.pk)
    visit(role, "rollout_detail", rollout.pk)
    visit(role, "rollout_status", rollout.pk)


@pytest.mark.parametrize("name", ["promotion_detail", "deployment_detail", "rollout_detail"])
def test_what_another_shop_has_does_not_exist(world, visit, told, name):
    other = make_world()
    theirs = {
        "promotion_detail": other.request().pk,
        "deployment_detail": other.deployment.pk,
        "rollout_detail": other.start().pk,
    }
    visit("admin", name, theirs[name], status=404)


def test_a_request_says_its_verdict_with_the_interval(world, visit):
    world.make_live()
    version = world.version(verdicts={"popularity": BETTER, "live": {**LIVE, "model_version": "other"}})
    live = Deployment.objects.get(pk=world.deployment.pk).stable.model_version_id
    version.run.verdicts["live"]["model_version"] = live
    version.run.save(update_fields=["verdicts"])
    page = visit("approver", "promotion_detail", world.request(version).pk).text_
    assert "Shoppers should find what they want 8.4 % ± 3.1 better than today." in page
    assert f"Promote {version} to Home page" in page


def test_shelves_show_what_is_new_and_what_goes(world, visit):
    world.make_live(world.version("popularity"))
    promotion = world.request(world.version("als"))
    shoppers = promotion.evidence["shelves"]["shoppers"]
    changed = next(
        at for at, each in enumerate(shoppers, 1) if any(x["change"] == "new" for x in each["new"])
    )
    page = visit("approver", "promotion_detail", promotion.pk, query=f"?shopper={changed}").text_
    assert 'data-move="new"' in page
    assert 'data-move="lost"' in page
    assert "Live now" in page
    assert "With this version" in page
    assert 'class="why">Because of ' in page
    for line in (shoppers[0]["live"][0], shoppers[0]["new"][0]):
        del line["reason"], line["contributions"]  # as a request of an earlier program has it
    assert [shelf["items"][0]["why"] for shelf in shelves(shoppers[0])] == [None, None, None]


def test_approving_on_the_page_starts_the_rollout_and_leads_there(world, visit, asked):
    answer = visit("approver", "promotion_decide", asked.pk, data=decision("approve", asked), status=302)
    rollout = Rollout.objects.get(promotion=asked)
    assert answer.url == reverse("rollout_detail", args=[world.shop.slug, rollout.pk])
    assert verbs(asked) == ["promotion.requested", "promotion.approved"]


def test_who_asked_sees_a_dark_button_that_says_why(world, visit):
    promotion = world.request(actor=world.approver)
    page = visit("approver", "promotion_detail", promotion.pk).text_
    why = "You asked for this promotion: somebody else has to approve it."
    assert f'disabled title="{why}">' in page
    assert why in re.search(r'<p id="effect">(.*?)</p>', page)[1]
    assert 'value="withdraw"' in page
    visit("approver", "promotion_decide", promotion.pk, data=decision("approve", promotion), status=403)
    promotion.refresh_from_db()
    assert promotion.status == "open"


@pytest.mark.parametrize("role", ["viewer", "analyst", "operator"])
def test_who_may_not_approve_reads_whom_to_ask(world, visit, role):
    promotion = world.request(actor=world.admin)
    page = visit(role, "promotion_detail", promotion.pk).text_
    assert (
        f"You may not approve or reject a promotion: you are {role} here. Ask one of: admin, approver."
        in page
    )
    assert re.search(r'value="approve"[^>]* disabled', page)
    visit(role, "promotion_decide", promotion.pk, data=decision("approve", promotion), status=403)


def test_a_failing_gate_asks_for_a_reason_in_place(world, visit):
    promotion = world.request(world.version(verdicts={"popularity": WEAK}))
    page = visit("approver", "promotion_detail", promotion.pk).text_
    assert "1 gate did not pass: approving needs a reason" in page
    refused = visit(
        "approver", "promotion_decide", promotion.pk, data=decision("approve", promotion), status=422
    )
    assert "Write why you approve all the same." in refused.text_
    told = decision("approve", promotion, "It is for the garden season.")
    visit("approver", "promotion_decide", promotion.pk, data=told, status=302)
    promotion.refresh_from_db()
    assert promotion.status == "approved"
    assert "It is for the garden season." in visit("viewer", "promotion_detail", promotion.pk).text_


def test_rejecting_needs_a_reason_and_keeps_what_was_typed(world, visit, asked):
    visit("approver", "promotion_decide", asked.pk, data=decision("reject", asked), status=422)
    visit(
        "approver",
        "promotion_decide",
        asked.pk,
        data=decision("reject", asked, "Not in December."),
        status=302,
    )
    page = visit("analyst", "promotion_detail", asked.pk).text_
    assert "was rejected for Home page" in page
    assert "Not in December." in page
    assert "decide" not in re.findall(r'class="decide"', page)


def test_a_form_from_an_older_state_decides_nothing(world, visit, asked):
    old = decision("approve", asked)
    old["lock_version"] = asked.lock_version + 7
    visit("approver", "promotion_decide", asked.pk, data=old, status=302)
    asked.refresh_from_db()
    assert asked.status == "open"
    assert "has changed since this page was loaded" in visit("approver", "promotion_detail", asked.pk).text_


def test_withdrawing_and_commenting_by_page(world, visit, asked):
    visit(
        "operator", "promotion_decide", asked.pk, data={"do": "comment", "comment": "Looks odd."}, status=302
    )
    visit("analyst", "promotion_decide", asked.pk, data=decision("withdraw", asked), status=302)
    page = visit("viewer", "promotion_detail", asked.pk).text_
    assert "Looks odd." in page
    assert "was withdrawn" in page


def test_a_request_on_old_evidence_says_so_and_offers_a_new_one(world, visit):
    late = world.request(world.version("item_knn"))
    world.make_live()
    Promotion.objects.filter(pk=late.pk).update(champion=None)
    page = visit("approver", "promotion_detail", late.pk).text_
    assert "The champion changed since this evidence" in page
    assert f"{reverse('promotion_new', args=[world.shop.slug])}?version={late.model_version_id}" in page
    assert re.search(r'value="approve"[^>]* disabled', page)


def test_an_expired_request_says_so(world, visit, asked):
    Promotion.objects.filter(pk=asked.pk).update(expires_at=days_ago(1))
    page = visit("approver", "promotion_detail", asked.pk).text_
    assert "This request has expired" in page


def test_needs_me_lists_only_what_i_could_decide(world, visit, asked):
    mine = world.request(world.version("item_knn"), actor=world.approver)
    page = visit("approver", "approvals").text_
    assert asked.pk in page
    assert mine.pk not in page
    assert "1 request waits for you" in page
    assert "Nothing waits for you" in visit("analyst", "approvals").text_
    both = visit("viewer", "approvals", query="?tab=open").text_
    assert asked.pk in both
    assert mine.pk in both


def test_asking_by_page_freezes_the_request(world, visit):
    version = world.version()
    page = visit("analyst", "promotion_new", query=f"?version={version.pk}").text_
    assert "10 % for 10 min → 50 % for 10 min → everyone" in page
    assert "Better than popularity" in page
    assert "If it were approved now" in page
    form = {"version": version.pk, "deployment": world.deployment.pk, "plan": "careful", "comment": "Please."}
    visit("analyst", "promotion_new", data=form, status=302)
    promotion = Promotion.objects.get()
    assert (promotion.comment, [s["weight_pct"] for s in promotion.plan["steps"]]) == (
        "Please.",
        [5, 25, 50, 100],
    )
    assert verbs(promotion) == ["promotion.requested"]


def test_editing_a_plan_keeps_every_limit():
    checks = {each.name: 0.03 + 0.01 * at for at, each in enumerate(fields(Checks))} | {"p95_ratio": 2.5}
    plan = {**TEMPLATES["careful"].plan.to_json(), "checks": checks}
    shown = PlanForm(edit=plan)
    sent = {name: value for name in shown.fields if (value := shown[name].value()) not in (None, False)}
    again = PlanForm(sent)
    assert again.is_valid(), again.errors
    assert again.chosen_plan(Deployment())["checks"] == pytest.approx(checks)


def test_a_template_is_edited_previewed_and_sent(world, visit):
    """Own steps are pointed at where they are wrong; the preview says dates, shoppers and what changes."""
    world.make_live()
    DatasetVersion.objects.update(user_count=21_000)
    version = world.version("item_knn")
    page = visit("analyst", "promotion_new", query=f"?version={version.pk}&edit=shadow_first").text_
    rows = dict(re.findall(r'name="(\w+_\d)" value="([^"]+)"', page))
    assert (rows["weight_pct_1"], rows["mirror_pct_1"], rows["hold_min_1"]) == ("0", "25", "30")
    assert re.search(r'value="shadow" selected', page)
    form = {
        "version": version.pk,
        "deployment": world.deployment.pk,
        "plan": "own",
        "strategy": "canary",
        "weight_pct_1": "20",
        "hold_min_1": "1.5",
        "min_answers_1": "50",
        "weight_pct_2": "10",
        "max_error_pct": "2",
        "max_ctr_loss_pct": "25",
        "max_conversion_loss_pct": "100",
        "replicas": "2",
        "memory_mb": "512",
    }
    refused = visit("analyst", "promotion_new", data=form, status=422).text_
    assert "Each step&#x27;s share must be larger than the one before." in refused
    refused = visit(
        "analyst", "promotion_new", data={**form, "mirror_pct_1": "5", "weight_pct_2": "100"}, status=422
    )
    assert "Only the first step of a shadow copies requests, at 0 %." in refused.text_
    form["weight_pct_2"] = "100"
    refused = visit("analyst", "promotion_new", data={**form, "max_ctr_loss_pct": "0.5"}, status=422).text_
    assert "Ensure this value is greater than or equal to 1." in refused
    preview = visit("analyst", "promotion_new", data={**form, "preview": "1"}).text_
    assert "about 4,200 shoppers" in preview
    assert "at the earliest" in preview
    assert "it also stops when clearly more than 25 % of the click rate is lost." in preview
    assert re.search(r"Algorithm</th> <td>als</td> <td class=\"differs\">item_knn", preview)
    assert re.search(r"Servers</th> <td>1</td> <td class=\"differs\">2", preview)
    assert not Promotion.objects.filter(model_version=version).exists()
    visit("analyst", "promotion_new", data=form, status=302)
    plan = Promotion.objects.get(model_version=version).plan
    assert plan["steps"][0] == {
        "weight_pct": 20,
        "hold_s": 90.0,
        "min_answers": 50,
        "mirror_pct": 0,
        "ends_by": "plan",
    }
    checks = [plan["checks"][name] for name in ("max_error_ratio", "max_ctr_loss", "max_conversion_loss")]
    assert checks == [0.02, 0.25, 1]
    assert plan["servers"] == {
        "replicas": 2,
        "memory_mb": 512,
        "cpu_s": 0,
        "max_replicas": 0,
        "target_pct": 70,
    }
    asked = Promotion.objects.get(model_version=version)
    assert "2 servers, each with at most 512 MB" in visit("analyst", "promotion_detail", asked.pk).text_


def test_who_may_not_ask_is_told_so(world, visit):
    page = visit("viewer", "promotion_new", query=f"?version={world.version().pk}", status=403).text_
    assert "You may not ask for a promotion" in page


def test_without_a_placement_the_page_says_who_makes_one(world, visit):
    version = world.version()
    world.deployment.delete()
    page = visit("analyst", "promotion_new", query=f"?version={version.pk}").text_
    assert "Ask one of: admin, operator." in page
    page = visit("admin", "promotion_new", query=f"?version={version.pk}").text_
    assert f"{reverse('deployment_new', args=[world.shop.slug])}?version={version.pk}" in page


def test_the_list_of_requests_reads_as_much_for_many_as_for_few(world, visit, django_assert_max_num_queries):
    for number in range(6):
        world.request(world.version("item_knn" if number % 2 else "als"))
    visit("approver", "approvals", query="?tab=open")
    with django_assert_max_num_queries(15):
        visit(None, "approvals", query="?tab=open")


def test_a_request_is_read_in_few_queries(world, visit, asked, django_assert_max_num_queries):
    visit("approver", "promotion_detail", asked.pk)
    with django_assert_max_num_queries(15):
        visit(None, "promotion_detail", asked.pk)


def decision(do, promotion, comment=""):
    return {"do": do, "comment": comment, "lock_version": promotion.lock_version}


def test_an_outsider_does_not_know_the_shop(world, visit, asked):
    stranger = make_actor(make_world().shop, Role.ADMIN)
    visit(stranger, "promotion_detail", asked.pk, status=404)


def test_a_comment_no_database_can_hold_is_refused_in_place(world, visit, asked):
    page = visit(
        "approver", "promotion_decide", asked.pk, data=decision("comment", asked, "a\0b"), status=422
    )
    assert "Null characters are not allowed." in page.text_
    visit("analyst", "promotion_new", query="?version=%00", status=404)
    visit("approver", "promotion_detail", asked.pk, query="?shopper=٣")


def test_an_environment_says_where_it_runs_and_what_aisle_may_do_there(visit, world, settings):
    page = visit("viewer", "environment_detail", world.environment.pk)
    assert "runs on this machine" in page.text_
    settings.DEPLOYMENT_BACKENDS = {"local": "deployments_app.tests.told_backend.GuardedToldBackend"}
    page = visit("viewer", "environment_detail", world.environment.pk)
    assert "1 right missing" in page.text_
    assert "✖" in page.text_
    assert "not needed" in page.text_
    assert "grant list" in page.text_
