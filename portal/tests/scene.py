"""The shop that the route table is tried on: objects in every state that a route acts on."""

from dataclasses import dataclass, field, replace
from typing import Any

from django.forms import Form
from django.test import Client, override_settings
from django.utils import timezone

from deployments_app.models import Deployment
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services.environments import create_deployment, create_environment
from deployments_app.services.keys import issue_serving_key
from deployments_app.services.rollouts import abort_rollout, pause_rollout
from deployments_app.tests.factories import World, make_world
from deployments_app.tests.told_backend import Told, ToldBackend
from models_app.forms import TrainingForm
from models_app.selectors.plans import plan_training
from models_app.services.datasets import cancel_version
from models_app.tests.factories import items_csv, make_version, ratings_csv, start_runs, train
from monitoring_app.models import Rating
from monitoring_app.services.alerts import raise_alert
from portal.core.actors import Actor
from portal.core.models import Membership, Role, Shop
from portal.core.people import sign_in_links
from portal.core.permissions import SCOPES
from portal.core.testing import make_actor, make_shop
from portal.core.tokens import create_token

ROLES = ("viewer", "analyst", "approver", "operator", "admin")
PEOPLE = (*ROLES, "outsider")
BY_SCOPE = {f"token {scope}": scope for scope in SCOPES}
CALLERS = ("anonymous", *PEOPLE, *BY_SCOPE, "outsider's token")


@dataclass
class Scene:
    shop: Shop
    other_shop: Shop
    world: World
    actors: dict[str, Actor]
    clients: dict[str, Client] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)  # of API calls
    ids: dict[str, Any] = field(default_factory=dict)  # what stands for @name in the table

    def csrf(self, caller: str) -> str:
        """Return the CSRF token that the caller's next form would carry."""
        return self.clients[caller].cookies["aisle_csrf"].value


def build_scene() -> Scene:
    told = Told()
    ToldBackend.told = told
    with override_settings(DEPLOYMENT_BACKENDS={"local": "deployments_app.tests.told_backend.ToldBackend"}):
        world = make_world(keep_warm_s=86_400)
        other_shop = make_shop()
        actors = {str(role): getattr(world, role) for role in Role.values}
        actors["outsider"] = make_actor(other_shop, Role.ADMIN, "Olga")
        scene = Scene(world.shop, other_shop, world, actors)
        _fill_data(scene)
        _fill_deployments(scene)
        _fill_people(scene)
        _sign_in(scene)
    return scene


def _fill_data(scene: Scene) -> None:
    shop, analyst, ids = scene.shop, scene.actors["analyst"], scene.ids
    ready = make_version(analyst, shop, items=items_csv(), checked=True)
    runs = start_runs(analyst, ready)
    train(*runs)
    queued = start_runs(analyst, ready, "als")
    canceled = make_version(analyst, shop)
    cancel_version(analyst, canceled)
    uploading = make_version(analyst, shop)
    Rating.objects.create(shop=shop, user_id="u1", item_id="i1", value=4, rated_at=timezone.now())
    ids |= {
        "dataset": ready.dataset_id,
        "version": ready.pk,
        "uploading": uploading.pk,
        "uploading version": str(uploading.lock_version),
        "canceled": canceled.pk,
        "run": runs[-1].pk,
        "queued run": queued[-1].pk,
        "runs": ",".join(run.pk for run in runs),
        "group": runs[0].group,
        "model": runs[-1].registered_model_id,
        "model version": runs[-1].model_version.pk,
        "training form": _form_values(TrainingForm(plan_training(ready))) | {"algorithms": ["item_knn"]},
    }


def _form_values(form: Form) -> dict[str, Any]:
    """What a browser sends when nobody touches the form."""
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def _fill_deployments(scene: Scene) -> None:
    world, ids = scene.world, scene.ids
    world.make_live()
    live = world.make_live()
    open_request = world.request()
    key, _ = issue_serving_key(world.admin, scene.shop, world.deployment, "the site")
    empty = create_environment(world.admin, scene.shop, "empty", "Empty")
    create_deployment(world.admin, scene.shop, empty, "unused", "Unused")
    ids |= {
        "environment": world.environment.pk,
        "empty environment": empty.pk,
        "deployment": world.deployment.pk,
        "release": world.deployment.stable_id or "",
        "request": open_request.pk,
        "key": key.pk,
        "alert": raise_alert(world.deployment, live, "consistency", "A server answers another list.").pk,
    }
    for name in ("progressing", "paused", "waiting", "testing"):
        place = _place(world, name)
        place.make_live()
        plan = TEMPLATES["ab"].plan.to_json() if name == "testing" else None
        rollout = place.advance(place.start(plan=plan), 3)
        assert rollout.status == "progressing", (rollout.status, rollout.reason)
        ids[name] = rollout.pk
        if name == "paused":
            pause_rollout(world.operator, scene.shop, rollout)
        if name == "waiting":
            # Approved while another rollout was under way, which then failed: it waits for its start.
            promotion = rollout.promotion
            assert promotion is not None
            abort_rollout(world.operator, scene.shop, rollout, reason="to wait")
            promotion.refresh_from_db()
            assert promotion.status == "approved", promotion.status
            ids["approved request"] = promotion.pk


def _place(world: World, slug: str) -> World:
    deployment = Deployment.objects.create(
        shop=world.shop, environment=world.environment, slug=slug, name=slug.title(), is_open=True
    )
    return replace(world, deployment=deployment)


def _fill_people(scene: Scene) -> None:
    shop, ids = scene.shop, scene.ids
    spare = make_actor(shop, Role.VIEWER, "Spare")
    assert spare.user is not None
    ids["member"] = Membership.objects.get(shop=shop, user=spare.user).pk
    ids["user"] = spare.user.pk
    ids["link"] = sign_in_links.make_token(spare.user)
    token, _ = create_token(actor=scene.actors["admin"], shop=shop, name="spare", scopes=["models:read"])
    ids["token"] = token.pk


def _sign_in(scene: Scene) -> None:
    """Give every caller a client; a person's has a session and a CSRF cookie, a token's its header."""
    slug = scene.shop.slug
    for caller in CALLERS:
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        scene.clients[caller] = client
        client.get("/sign-in")
        headers: dict[str, str] = {}
        if caller in PEOPLE:
            user = scene.actors[caller].user
            assert user is not None
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            headers = {"X-Aisle-Shop": slug} if caller != "outsider" else {}
        elif caller != "anonymous":
            scopes = [BY_SCOPE[caller]] if caller in BY_SCOPE else list(SCOPES)
            owner = "admin" if caller in BY_SCOPE else "outsider"
            shop = scene.shop if caller in BY_SCOPE else scene.other_shop
            _, text = create_token(actor=scene.actors[owner], shop=shop, name=caller, scopes=scopes)
            headers = {"Authorization": f"Bearer {text}"}
        scene.headers[caller] = headers


def upload() -> Any:
    """A file as a browser's form sends it."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    return SimpleUploadedFile("ratings.csv", ratings_csv(), "text/csv")
