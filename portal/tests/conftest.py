"""One shop with everything in it, built once a module by real services; every request is undone."""

import pytest


@pytest.fixture(scope="module")
def scene(django_db_setup, django_db_blocker):
    """A shop with objects in every state that a route acts on; rolled back at the module's end."""
    from django.db import transaction

    from portal.tests.scene import build_scene

    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("portal.core.dispatch.enqueue", lambda model, pk: False)
        with transaction.atomic():
            yield build_scene()
            transaction.set_rollback(True)


@pytest.fixture
def no_broker(monkeypatch):
    """Wake-ups are hints: nothing is sent."""
    monkeypatch.setattr("portal.core.dispatch.enqueue", lambda model, pk: False)


@pytest.fixture
def shop(db):
    from portal.core.testing import make_shop

    return make_shop()


@pytest.fixture
def admin(shop):
    from portal.core.testing import make_actor

    return make_actor(shop, "admin", "Ada")


@pytest.fixture
def program(shop, admin):
    """An integrator with a token of every scope."""
    from portal.tests.calls import Program

    return Program(admin, shop)


@pytest.fixture
def person(shop, admin):
    """The admin, signed in, calling the API from a browser."""
    from portal.tests.calls import Person

    return Person(admin, shop)
