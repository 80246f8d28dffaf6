"""An agent that prefers to wait hears of a click as soon as it is committed, and never waits for long."""

import threading
import time

import pytest
from django.db import connection
from django.test import Client

from deployments_app import known_routes as memory
from deployments_app.models import Deployment
from deployments_app.services.rollbacks import roll_back

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = "a-token-of-agents"
FOREVER_S = 60.0


class WaitingAgent:
    """Has the present routes and waits for others, in a thread of its own."""

    def __init__(self, settings):
        settings.AGENT_TOKEN = TOKEN
        self.client = Client(HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
        self.has = self.client.get("/gateway/v1/routes")["ETag"]
        self.answer = None
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        headers = {"If-None-Match": self.has, "Prefer": "wait=1"}
        try:
            self.answer = self.client.get("/gateway/v1/routes", headers=headers)
        finally:
            connection.close()

    def wait(self, while_doing=lambda: None):
        """Ask, do something once it waits, and return its answer."""
        self.thread.start()
        time.sleep(0.3)
        while_doing()
        self.thread.join(FOREVER_S / 2)
        assert self.answer is not None, "it still waits"
        return self.answer


@pytest.fixture
def agent(world, settings, monkeypatch):
    monkeypatch.setattr(memory, "_known", {})
    world.make_live()
    world.make_live()
    return WaitingAgent(settings)


def test_a_click_is_heard_without_the_next_look(world, agent, monkeypatch):
    monkeypatch.setattr(memory, "LOOK_S", FOREVER_S)
    monkeypatch.setattr(memory, "HELD_S", FOREVER_S)
    answer = agent.wait(lambda: roll_back(world.operator, world.shop, world.deployment))
    assert answer.status_code == 200
    assert answer["ETag"] != agent.has


def test_what_another_process_did_is_seen_by_looking(agent, monkeypatch):
    monkeypatch.setattr(memory, "HELD_S", FOREVER_S)
    answer = agent.wait(lambda: Deployment.objects.update(salt="written elsewhere"))
    assert answer.status_code == 200


def test_without_news_it_is_told_so_soon_and_holds_no_connection_meanwhile(agent, monkeypatch):
    held = []
    wait = memory._news.wait_for_more

    def wait_for_more(**given):
        held.append(connection.connection)
        wait(**given)

    monkeypatch.setattr(memory._news, "wait_for_more", wait_for_more)
    began = time.monotonic()
    answer = agent.wait()
    assert (answer.status_code, answer.content) == (304, b"")
    assert memory.HELD_S <= time.monotonic() - began < 10 * memory.HELD_S
    assert len(held) >= 2
    assert set(held) == {None}


def test_who_has_other_routes_does_not_wait(agent, monkeypatch):
    monkeypatch.setattr(memory, "HELD_S", FOREVER_S)
    monkeypatch.setattr(memory, "LOOK_S", FOREVER_S)
    agent.has = '"older"'
    assert agent.wait().status_code == 200
