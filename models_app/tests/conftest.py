"""People and shops of this stage's tests; models are imported late, once Django is set up."""

import pytest


@pytest.fixture
def shop():
    from models_app.tests.factories import make_shop

    return make_shop()


@pytest.fixture
def analyst(shop):
    from models_app.tests.factories import make_person

    return make_person(shop)
