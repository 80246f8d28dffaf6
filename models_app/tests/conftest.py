"""People and shops of this stage's tests; models are imported late, once Django is set up."""

import pytest


@pytest.fixture
def shop():
    from portal.core.testing import make_shop

    return make_shop()


@pytest.fixture
def analyst(shop):
    from portal.core.testing import make_actor

    return make_actor(shop, "analyst", "Ana")


@pytest.fixture
def api(shop, analyst):
    from models_app.tests.api_client import Api

    return Api(analyst, shop)


@pytest.fixture
def open_version(api):
    """The id of a version that waits for its file."""
    dataset = api.post("datasets", {"name": "ratings"}).json()
    return api.post(f"datasets/{dataset['id']}/versions").json()["id"]
