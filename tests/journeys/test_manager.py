"""A manager on a phone: sees the request, decides on its evidence, watches it go live, takes it back."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import open_window, refusals
from tests.shops import QUICK, LiveShop

pytestmark = pytest.mark.journey

PHONE = {"width": 360, "height": 740}
CALM = {**QUICK, "checks": {"max_error_ratio": 0.01, "p95_ratio": 50}}  # other tests may slow the canary
REASON = "Fresher data; I accept what the gate says."


@pytest.fixture(scope="module")
def live(shop: LiveShop, files) -> LiveShop:
    """A shop with ALS live, and a request for popularity, which fails the gates and so needs a reason."""
    data = shop.upload(*files)
    popular, best = shop.train(data, "popularity", "als")
    shop.go_live(best)
    shop.shoppers = shop.program.get(f"model-versions/{best}/shoppers", n=100)["shoppers"]
    shop.asked = shop.ask(popular, CALM)
    return shop


@pytest.fixture
def manager(browser: Browser, live: LiveShop) -> Iterator[Page]:
    with open_window(browser, live.session("approver"), **PHONE) as page:
        yield page


def test_from_the_badge_to_everybody_and_back_on_a_phone(manager, live):
    refused = refusals(manager)
    root = f"{live.stack.portal_url}/{live.slug}"
    manager.goto(f"{root}/")

    # The menu says that something waits, and leads there.
    menu = manager.locator(".mobile-menu > summary")
    expect(menu).to_contain_text("1 waiting for you")
    menu.click()
    manager.get_by_role("navigation", name="Main, small screen").get_by_role("link", name="Approvals").click()
    expect(manager.get_by_role("heading", name="1 request waits for you")).to_be_visible()
    manager.get_by_role("rowheader").get_by_role("link").click()

    # The evidence: a verdict, the gates, and what shoppers would see.
    expect(manager.locator(".verdict")).to_be_visible()
    gates = manager.locator(".gates").first
    expect(gates.locator("[data-tone=bad]").first).to_be_visible()
    expect(manager.get_by_role("heading", name="What shoppers will see")).to_be_visible()

    # A gate fails: without a reason nothing happens, with one it begins.
    manager.get_by_role("button", name="Approve").click()
    expect(manager.get_by_role("alert")).to_contain_text("Not yet")
    assert live.program.get(f"promotions/{live.asked['id']}")["status"] == "open"
    traffic = live.traffic(live.shoppers, rate=150)
    traffic.start()
    try:
        manager.get_by_label("Reason").fill(REASON)
        manager.get_by_role("button", name="Approve").click()
        expect(manager).to_have_url(re.compile(r"/rollouts/rol_\w+$"))
        watch_it_go_to_everybody(manager, live)
        roll_back_once(manager, live)
    finally:
        traffic.stop()
    assert not traffic.failures
    assert set(traffic.answers) == {1, 2}
    assert refused == []


def watch_it_go_to_everybody(page: Page, live: LiveShop) -> None:
    """See the steps pass on the page itself, which nobody reloads."""
    seen = set()
    heading = page.get_by_role("heading", level=1)
    for _ in range(1200):
        words = heading.inner_text()
        seen.add(words)
        if "went live" in words:
            break
        page.wait_for_timeout(100)
    assert any("10" in words for words in seen), seen
    expect(page.get_by_role("heading", name=re.compile("^Release 2 went live"))).to_be_visible()
    assert live.program.get(f"deployments/{live.deployment}")["stable"]["number"] == 2


def roll_back_once(page: Page, live: LiveShop) -> None:
    page.get_by_role("button", name="Roll back to release 1").click()
    expect(page.get_by_role("heading", name="serves everybody at the home page again")).to_be_visible()
    measured = page.get_by_label("How long it took")
    expect(measured).to_contain_text("From the press until every shopper had release 1")
    assert re.search(r"\d+(\.\d+)?\sms|\d+(\.\d+)?\ss", measured.inner_text())
    assert live.program.get(f"deployments/{live.deployment}")["stable"]["number"] == 1


def test_the_history_tells_both_and_a_viewer_reads_it_without_buttons(browser, live, manager):
    address = f"{live.stack.portal_url}/{live.slug}/deployments/{live.deployment}"
    with open_window(browser, live.session("viewer"), **PHONE) as viewer:
        for page in (manager, viewer):
            page.goto(address)
            history = page.get_by_role("region", name="History")
            expect(history.get_by_role("link", name="Back to release 1")).to_be_visible()
            expect(history.get_by_role("link", name="Release 2", exact=True)).to_be_visible()
        button = viewer.get_by_role("button", name=re.compile("^Roll back"))
        expect(button).to_be_disabled()
        expect(button).to_have_attribute("title", re.compile("You may not roll back"))
        assert viewer.get_by_role("button", name=re.compile("^Restore")).count() == 0


def test_a_second_press_on_an_old_page_changes_nothing(browser, live):
    address = f"{live.stack.portal_url}/{live.slug}/deployments/{live.deployment}"
    with (
        open_window(browser, live.session("approver"), script=False, **PHONE) as first,
        open_window(browser, live.session("operator"), script=False, **PHONE) as second,
    ):
        for page in (first, second):
            page.goto(address)
        first.get_by_role("button", name="Restore release 2").first.click()
        live.wait_rollout(first.url.rpartition("/")[2], "succeeded")
        before = rollouts(live)
        second.get_by_role("button", name="Restore release 2").first.click()
        expect(second.get_by_text("serves everybody already")).to_be_visible()
        assert live.program.get(f"deployments/{live.deployment}")["stable"]["number"] == 2
        assert rollouts(live) == before


def rollouts(live: LiveShop) -> list[str]:
    return sorted(each["id"] for each in live.program.get("rollouts", deployment=live.deployment)["results"])
