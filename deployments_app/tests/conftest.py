"""Worlds to tell stories in; `told` for servers that are as the test says, `run_dir` for real ones."""

import re

import pytest
from django.urls import reverse


@pytest.fixture(autouse=True)
def no_broker(monkeypatch, request):
    """Wake-ups are hints: these tests call the loops themselves, and nothing is sent."""
    monkeypatch.setattr("portal.core.dispatch.enqueue", lambda model, pk: False)


@pytest.fixture
def told(monkeypatch, settings):
    from deployments_app.tests.told_backend import Told, ToldBackend

    settings.DEPLOYMENT_BACKENDS = {"local": "deployments_app.tests.told_backend.ToldBackend"}
    fresh = Told()
    monkeypatch.setattr(ToldBackend, "told", fresh)
    return fresh


@pytest.fixture
def world(db, told):
    """A shop with people and a placement; servers are ready at once unless told otherwise."""
    from deployments_app.tests.factories import make_world

    return make_world()


@pytest.fixture
def gateway(tmp_path):
    """A gateway's folder and ports; whoever asks for it starts its Envoy, which ends with the test."""
    from deployments_app.tests.gateway_rig import Gateway

    gateway = Gateway(tmp_path / "gateway")
    yield gateway
    gateway.stop()


@pytest.fixture
def run_dir(tmp_path, settings):
    """A run directory of its own for real model servers, which end with the test."""
    from deployments_app.backends.local import LocalBackend
    from deployments_app.testing import wait_until

    settings.RUN_DIR = tmp_path / "run"
    yield settings.RUN_DIR
    backend = LocalBackend()

    def all_gone():
        for key in backend.loaded():
            backend.remove(key)
        return not backend.loaded()

    wait_until(all_gone, within_s=30, what="all servers have ended")


@pytest.fixture
def visit(client, world):
    """Open a page of the world's shop, or send its form, as a person of a role.

    Returns the answer with its words on one line as `text_`; role None is whoever came last.
    """

    def open_page(role, name, *args, data=None, status=200, query="", **headers):
        actor = getattr(world, role) if isinstance(role, str) else role
        if actor is not None:
            client.force_login(actor.user)
        url = reverse(name, args=[world.shop.slug, *args]) + query
        answer = client.post(url, data) if data is not None else client.get(url, headers=headers)
        assert status in (None, answer.status_code), answer.content.decode()[-3000:]
        answer.text_ = re.sub(r"\s+", " ", answer.content.decode())
        return answer

    return open_page
