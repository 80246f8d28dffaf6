"""Environments go only while nothing was ever asked for in them; in a cluster their gateways go first."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from deployments_app.backends.base import GatewayStatus
from deployments_app.models import Deployment, Environment, Gateway
from deployments_app.services.cluster_gateways import reconcile_environment
from deployments_app.services.environments import create_deployment, create_environment
from deployments_app.services.keys import issue_serving_key
from deployments_app.services.promotions import request_promotion
from deployments_app.services.removals import remove_environment
from deployments_app.tests.factories import verbs
from deployments_app.tests.told_backend import ToldBackend
from portal.core.errors import Conflict, NotFound, NotPermitted


class GatewayBackend(ToldBackend):
    """Also has gateways; they need a look to be gone."""

    stopping: list[str] = []

    def __init__(self, namespace=""):
        super().__init__()

    def apply_gateway(self, spec):
        raise AssertionError("nobody makes the gateways of an environment that goes")

    def remove_gateway(self, key):
        self.stopping.append(key)

    def observe_gateway(self, key):
        return GatewayStatus(exists=self.stopping.count(key) < 2)


@pytest.fixture
def stage(world):
    """An environment with one placement, which has a key and never served."""
    made = create_environment(world.admin, world.shop, "stage", "Stage")
    placement = create_deployment(world.admin, world.shop, made, "cart", "Cart")
    issue_serving_key(world.admin, world.shop, placement, "site")
    return made


def test_an_unused_environment_goes_with_its_placements(world, stage):
    remove_environment(world.operator, world.shop, stage)
    assert not Environment.objects.filter(slug="stage").exists()
    assert not Deployment.objects.filter(slug="cart").exists()
    assert verbs(stage) == ["environment.created", "environment.removed"]
    with pytest.raises(NotFound):
        create_deployment(world.admin, world.shop, stage, "cart", "Cart")
    create_environment(world.admin, world.shop, "stage", "Stage again")


@pytest.mark.parametrize("used", ["live", "asked for"])
def test_an_environment_where_something_was_asked_for_stays(world, used):
    world.make_live() if used == "live" else world.request()
    with pytest.raises(Conflict, match="Home page, which has releases or requests"):
        remove_environment(world.admin, world.shop, world.environment)
    assert Environment.objects.filter(pk=world.environment.pk, removed_at=None).exists()
    assert "environment.removed" not in verbs(world.environment)


def test_who_may_not_make_environments_removes_none(world, stage):
    with pytest.raises(NotPermitted):
        remove_environment(world.approver, world.shop, stage)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("what", "end"),
    [("a placement is made", "removed"), ("a key is issued", "removed"), ("something is asked for", "kept")],
)
def test_a_removal_waits_for_what_is_being_made_there(world, stage, what, end):
    """And then takes it along, or leaves all as it is; whoever comes after it finds nothing."""
    # As in a cluster: the row outlives the removal, so nothing but the locks keeps a placement out of it.
    Environment.objects.filter(pk=stage.pk).update(backend="local", namespace="aisle")
    cart = Deployment.objects.get(slug="cart")
    version = world.version()
    make = {
        "a placement is made": lambda: create_deployment(world.admin, world.shop, stage, "shelf", "Shelf"),
        "a key is issued": lambda: issue_serving_key(world.admin, world.shop, cart, "app"),
        "something is asked for": lambda: request_promotion(world.analyst, world.shop, version, cart),
    }[what]

    def remove():
        try:
            remove_environment(world.admin, world.shop, stage)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            make()
            removal = pool.submit(remove)
            with pytest.raises(TimeoutError):
                removal.result(timeout=0.5)
        if end == "kept":
            with pytest.raises(Conflict):
                removal.result(timeout=10)
        else:
            removal.result(timeout=10)
    assert Environment.objects.filter(pk=stage.pk, removed_at=None).exists() is (end == "kept")
    assert Deployment.objects.filter(environment=stage).exists() is (end == "kept")
    if end == "removed":
        with pytest.raises(NotFound):
            make()


def test_in_a_cluster_the_row_goes_after_the_gateways(world, stage, settings):
    settings.DEPLOYMENT_BACKENDS["kubernetes"] = f"{__name__}.GatewayBackend"
    Environment.objects.filter(pk=stage.pk).update(backend="kubernetes", namespace="aisle")
    stage.refresh_from_db()
    Gateway.objects.create(agent_id="gw-1", scope=stage.pk)
    remove_environment(world.admin, world.shop, stage)
    with pytest.raises(NotFound):
        remove_environment(world.admin, world.shop, stage)
    with pytest.raises(NotFound):
        create_deployment(world.admin, world.shop, stage, "cart", "Cart")
    create_environment(world.admin, world.shop, "stage", "Stage again")
    reconcile_environment(stage.pk)
    stage.refresh_from_db()
    assert stage.removed_at is not None
    assert stage.due_at is not None
    reconcile_environment(stage.pk)
    assert not Environment.objects.filter(pk=stage.pk).exists()
    assert not Gateway.objects.filter(scope=stage.pk).exists()
    reconcile_environment(stage.pk)


def test_the_page_removes_it_or_says_what_keeps_it(visit, world, stage):
    page = visit("viewer", "environment_detail", stage.pk)
    assert "You may not create or change deployments and environments" in page.text_
    page = visit("admin", "environment_detail", world.environment.pk)
    assert "It has no placements" not in page.text_
    page = visit("admin", "environment_detail", stage.pk)
    assert "Nobody was ever served at Cart: this placement and the serving keys go with it." in page.text_
    visit("admin", "environment_remove", stage.pk, data={}, status=302)
    visit("admin", "environment_detail", stage.pk, status=404)
