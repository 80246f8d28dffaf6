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
