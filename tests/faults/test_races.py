"""Many clicks at once: one wins, the others get 409, one event is written."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from portal.demo.client import ApiError, Client
from tests.shops import AT_ONCE, LiveShop

CLICKS = 24
pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def live(shop: LiveShop, files) -> LiveShop:
    shop.versions = shop.train(shop.upload(*files), "popularity", "item_knn")
    shop.go_live(shop.versions[0])
    return shop


def click_at_once(live: LiveShop, role: str, path: str, body: dict) -> list[int]:
    """Send the same POST from as many connections, each with an Idempotency-Key of its own."""
    person = live.people[role]
    barrier = Barrier(CLICKS)

    def click(_: int) -> int:
        client = Client(live.stack.portal_url, shop=live.slug)
        client._cookies = person._cookies  # the same session in 24 tabs
        barrier.wait(timeout=60)
        try:
            client.post(path, body)
        except ApiError as refused:
            return refused.status
        finally:
            client.close()
        return 200

    with ThreadPoolExecutor(CLICKS) as pool:
        return sorted(pool.map(click, range(CLICKS)))


def events(live: LiveShop, object_id: str, verb: str) -> int:
    found = live.people["admin"].get("audit-events", object_id=object_id, verb=verb)["results"]
    return len(found)


def test_of_24_approvals_one_wins_and_one_event_is_written(live):
    asked = live.ask(live.versions[1], AT_ONCE)
    statuses = click_at_once(live, "approver", f"promotions/{asked['id']}/approve", {"comment": "Go."})
    assert statuses == [200] + [409] * (CLICKS - 1)
    assert events(live, asked["id"], "promotion.approved") == 1
    rollouts = live.program.get(f"promotions/{asked['id']}")["rollouts"]
    assert len(rollouts) == 1
    live.wait_rollout(rollouts[0], "succeeded")


def test_of_24_rollbacks_one_wins_and_the_right_release_serves(live):
    before = live.program.get(f"deployments/{live.deployment}")["stable"]["number"]
    statuses = click_at_once(
        live, "operator", f"deployments/{live.deployment}/rollback", {"to_release": None}
    )
    assert statuses == [200] + [409] * (CLICKS - 1)
    after = live.program.get(f"deployments/{live.deployment}")["stable"]["number"]
    assert (before, after) == (2, 1)
    assert len(live.program.get("rollouts", kind="rollback")["results"]) == 1
