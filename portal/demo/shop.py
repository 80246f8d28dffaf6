"""The demo shop's rows: a shop, its people with random passwords, and where it serves."""

import secrets
from dataclasses import dataclass

from django.db import transaction

from deployments_app.models import Deployment, Environment
from deployments_app.services.environments import create_deployment, create_environment
from portal.core.actors import system
from portal.core.models import Role, Shop, User
from portal.core.people import add_person, open_shop
from portal.sign_in_urls import one_time_link

SLUG, NAME = "nordic-attic", "Nordic Attic"
PEOPLE = {
    Role.ADMIN: ("ada", "Ada Admin"),
    Role.ANALYST: ("ana", "Ana Analyst"),
    Role.APPROVER: ("pia", "Pia Approver"),
    Role.OPERATOR: ("otto", "Otto Operator"),
    Role.VIEWER: ("vera", "Vera Viewer"),
}


@dataclass(frozen=True)
class DemoPerson:
    """A person of the demo, with the password made for this run."""

    user: User
    role: Role
    password: str

    def sign_in_link(self) -> str:
        """Make the one-time link; valid until the person signs in."""
        self.user.refresh_from_db()
        return one_time_link(self.user)


def prepare_shop() -> tuple[Shop, dict[Role, DemoPerson], Deployment]:
    """Make the demo shop, or find it again; every person gets a new random password."""
    setup = system("demo")
    with transaction.atomic():
        shop = Shop.objects.filter(slug=SLUG).first() or open_shop(slug=SLUG, name=NAME)
        people = {role: _person(shop, role) for role in PEOPLE}
        environment = Environment.objects.filter(shop=shop, removed_at=None).first() or create_environment(
            setup, shop, slug="production", name="Production"
        )
        deployment = Deployment.objects.filter(shop=shop, slug="home").first() or create_deployment(
            setup, shop, environment, slug="home", name="the home page", is_open=True
        )
    return shop, people, deployment


def _person(shop: Shop, role: Role) -> DemoPerson:
    username, name = PEOPLE[role]
    password = secrets.token_urlsafe(15)
    email = f"{username}@{SLUG}.example"
    user = User.objects.filter(email=email).first() or add_person(
        actor=system("demo"), shop=shop, username=username, name=name, email=email, role=role
    )
    user.set_password(password)
    user.save(update_fields=["password"])
    return DemoPerson(user, role, password)
