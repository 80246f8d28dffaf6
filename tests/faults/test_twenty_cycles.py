"""Twenty promotions and twenty rollbacks under load, half of it POSTs, which no proxy may retry unseen."""

import time

import pytest

from tests.shops import AT_ONCE, LiveShop

pytestmark = [pytest.mark.fault, pytest.mark.long]

CYCLES, REQUESTS, RATE_PER_S = 20, 40_000, 260
CYCLE_S = REQUESTS / RATE_PER_S / CYCLES


def test_twenty_promotions_and_rollbacks_fail_no_request(shop: LiveShop, files):
    data = shop.upload(*files)
    first, second = shop.train(data, "popularity", "item_knn")
    shop.go_live(first)
    users = shop.program.get(f"model-versions/{first}/shoppers", n=500)["shoppers"]
    traffic = shop.traffic(users, rate=RATE_PER_S)
    traffic.start()
    took_ms = []
    try:
        for _ in range(CYCLES):
            began = time.monotonic()
            shop.go_live(second, AT_ONCE)
            back = shop.people["operator"].post(
                f"deployments/{shop.deployment}/rollback", {"to_release": None}
            )
            told = shop.wait_rollout(back["id"], "succeeded")
            if told["measured"].get("routes_running_ms") is not None:
                took_ms.append(told["measured"]["routes_running_ms"])
            time.sleep(max(0.0, began + CYCLE_S - time.monotonic()))
        while traffic.total < REQUESTS:
            time.sleep(0.5)
    finally:
        traffic.stop()
    took_ms.sort()
    print(f"{traffic}; half of them POST")
    middle = took_ms[len(took_ms) // 2]
    print(
        f"{len(took_ms)} rollbacks measured: routes after {middle:.0f} ms (median), {took_ms[-1]:.0f} (most)"
    )
    assert not traffic.failures
    assert traffic.total >= REQUESTS
    assert set(traffic.answers) == {1, *range(2, CYCLES + 2)}
