"""Every page, in both themes: readable on a small phone, to a screen reader, and within its policy."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from django.urls import Resolver404, URLPattern, resolve
from playwright.sync_api import Browser, Page

from portal.demo.client import ApiError
from portal.urls import shop_pages
from tests.accessibility import OF_COLOURS, serious
from tests.browser import open_window, refusals, settle_charts
from tests.journeys.ratings import broken
from tests.pages import NAMES, find_pages
from tests.shops import QUICK, LiveShop

pytestmark = pytest.mark.journey

STATES = ["dataset-waiting", "request-superseded", "rollout-under-way"]
SIGNED_OUT = ["sign-in", "sign-in-link", "link-void", "not-found-signed-out"]
CALM = {**QUICK, "checks": {"max_error_ratio": 0.01, "p95_ratio": 50}}  # other tests may slow the canary
SLOW = {"steps": [{"weight_pct": 10, "hold_s": 3600, "min_answers": 100}, {"weight_pct": 100}]}
CHARTS = {"dataset", "run", "compare", "model", "live-numbers"}
NOT_PAGES = {
    # parts of pages, fetched by them
    "jobs", "dataset_version_status", "run_status", "run_estimate", "compare_status",
    "deployment_status", "rollout_status",
    # files
    "sample_file", "version_file", "version_card",
    # answers to a press, which lead back to a page
    "person_change", "token_revoke", "version_columns", "version_cancel", "version_retry", "run_cancel",
    "promotion_decide", "deployment_rollback", "deployment_key_new", "deployment_key_revoke", "rollout_act",
    "rollout_note", "alert_acknowledge", "deployment_rehearse", "data_from_ratings", "environment_remove",
}  # fmt: skip
UNNAMED_CONTROLS = """[...document.querySelectorAll('input:not([type=hidden]), select, textarea, button')]
    .filter((each) => !each.labels?.length && !each.getAttribute('aria-label') && !each.title)
    .filter((each) => !each.textContent.trim())
    .map((each) => each.outerHTML.slice(0, 120))"""
EMPTY_HELP = """[...document.querySelectorAll('.help')].filter((each) => !each.textContent.trim())
    .map((each) => each.id || each.outerHTML)"""
DESCRIBED = """(each) => [each, each.closest('fieldset')]
    .map((part) => part?.getAttribute('aria-describedby') ?? '').join(' ')"""
LOOSE_TABLES = """[...document.querySelectorAll('main table')]
    .filter((table) => !['auto', 'scroll'].includes(getComputedStyle(table.parentElement).overflowX))
    .map((table) => table.caption?.innerText ?? table.outerHTML.slice(0, 80))"""
TOO_WIDE = """() => { const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= room) return [];
    return [...document.querySelectorAll('body *')]
        .filter((each) => each.getBoundingClientRect().right > room + 1)
        .map((each) => `${each.tagName} ${each.className} ${each.innerText?.slice(0, 40)}`).slice(-4) }"""


@pytest.fixture(scope="module")
def live(shop: LiveShop, files, tmp_path_factory) -> LiveShop:
    """A shop with something in every state that a page shows."""
    shop.reports_before = csp_reports(shop)
    shop.data = data = shop.upload(*files)
    popular, best, other = shop.train(data, "popularity", "als", "item_knn")
    shop.go_live(popular)
    shoppers = shop.program.get(f"model-versions/{best}/shoppers", n=100)["shoppers"]
    traffic = shop.traffic(shoppers, rate=60)
    traffic.start()
    shop.go_live(best, CALM)
    superseded = shop.ask(other, CALM)
    back = shop.people["operator"].post(f"deployments/{shop.deployment}/rollback", {"to_release": None})
    shop.wait_rollout(back["id"], "succeeded")
    slow = shop.ask(best, SLOW)
    approved = shop.people["approver"].post(f"promotions/{slow['id']}/approve", {"comment": "Slowly."})
    shop.wait_rollout(approved["rollouts"][-1], "progressing")
    traffic.stop()
    shop.ask(other, CALM)
    shop.states = {
        "request-superseded": f"approvals/{superseded['id']}",
        "rollout-under-way": f"rollouts/{approved['rollouts'][-1]}",
        "dataset-waiting": f"data/{new_version(shop, 'waits for its file')}",
    }
    leave_data_in_every_state(shop, files[0], tmp_path_factory.mktemp("every-page"))
    shop.people["operator"].post(f"deployments/{shop.deployment}/keys", {"name": "site"})
    return shop


def leave_data_in_every_state(shop: LiveShop, ratings: Path, folder: Path) -> None:
    for name, file in (
        ("columns", ratings),
        ("failed", broken(ratings, folder / "broken.csv")),
        ("off", ratings),
    ):
        version = new_version(shop, name)
        shop.program.put_file(f"dataset-versions/{version}/file", file)
        if name == "failed":
            shop.program.post(f"dataset-versions/{version}/check")
            with pytest.raises(ApiError):
                shop.program.wait(version, timeout_s=60)
        elif name == "off":
            shop.program.post(f"dataset-versions/{version}/cancel")


def new_version(shop: LiveShop, name: str) -> str:
    dataset = shop.program.post("datasets", {"name": name})
    version: str = shop.program.post(f"datasets/{dataset['id']}/versions")["id"]
    return version


@pytest.fixture(scope="module")
def page(browser: Browser, live: LiveShop) -> Iterator[Page]:
    with open_window(browser, live.session("admin"), width=360, height=740) as opened:
        opened.refused = refusals(opened)
        yield opened


@pytest.fixture(scope="module")
def stranger(browser: Browser, live: LiveShop) -> Iterator[Page]:
    with open_window(browser, width=360, height=740) as opened:
        opened.refused = refusals(opened)
        yield opened


@pytest.fixture(scope="module")
def addresses(page: Page, live: LiveShop) -> dict[str, str]:
    base = live.stack.portal_url
    link = live.link("viewer")
    return {
        **find_pages(page, base, live.slug),
        **{name: f"{base}/{live.slug}/{path}" for name, path in live.states.items()},
        "sign-in": f"{base}/sign-in",
        "sign-in-link": link,
        "link-void": link[:-4] + "0000",
        "not-found-signed-out": f"{base}/nothing/here",
    }


def look_at(page: Page, address: str, *, charts: bool) -> None:
    """Assert everything that holds for every page, at the widths of a phone, in both themes."""
    page.refused.clear()
    page.emulate_media(color_scheme="light")
    page.goto(address)
    if charts:
        page.locator("svg.main-svg").first.wait_for()
    if address.endswith("/api/docs"):
        page.locator(".opblock").first.wait_for()
    settle_charts(page)
    wrong = {
        "headings": page.locator("h1:visible").count() - 1,
        "language": page.get_attribute("html", "lang") != "en",
        "title": not page.title().endswith("Aisle"),
        "controls without a name": page.evaluate(UNNAMED_CONTROLS),
        "help without words": page.evaluate(EMPTY_HELP),
        "tables that push the page": page.evaluate(LOOSE_TABLES),
        "charts not drawn": page.locator("[data-chart]:not(:has(svg.main-svg))").count(),
    }
    for width in (320, 1440, 360):
        page.set_viewport_size({"width": width, "height": 740})
        wrong[f"wider than {width}"] = too_wide(page)
    wrong["axe, light"] = serious(page)
    page.emulate_media(color_scheme="dark")
    settle_charts(page)
    wrong["axe, dark"] = serious(page, runOnly=OF_COLOURS)
    wrong["refused"] = list(page.refused)
    assert {what: found for what, found in wrong.items() if found} == {}


def too_wide(page: Page) -> list[str]:
    """Name what sticks out to the right; charts get a moment to take the new width."""
    for _ in range(400):
        found: list[str] = page.evaluate(TOO_WIDE)
        if not found:
            break
        page.wait_for_timeout(50)
    return found


@pytest.mark.parametrize("name", [*NAMES, *STATES])
def test_every_page_can_be_read_by_everybody(page, addresses, name):
    look_at(page, addresses[name], charts=name in CHARTS)


@pytest.mark.parametrize("name", SIGNED_OUT)
def test_every_page_before_signing_in_can_be_read_by_everybody(stranger, addresses, name):
    look_at(stranger, addresses[name], charts=False)


def test_pages_of_work_under_way_can_be_read_by_everybody(page, live, files):
    with live.stack.held("worker-train"):
        version = new_version(live, "checking")
        live.program.put_file(f"dataset-versions/{version}/file", files[0])
        live.program.post(f"dataset-versions/{version}/check")
        body = {"dataset_version": live.data, "model": "main", "algorithms": [{"algorithm": "als"}]}
        runs = live.program.post("training-runs", body)["runs"]
        root = f"{live.stack.portal_url}/{live.slug}"
        for path in (
            f"data/{version}",
            f"train/runs/{runs[0]['id']}",
            f"train/compare?group={runs[0]['group']}",
        ):
            look_at(page, f"{root}/{path}", charts=False)


@pytest.mark.parametrize(
    ("name", "button"),
    [("upload", "Upload"), ("tokens", "Make"), ("people", "Add"), ("new-placement", "Make the placement")],
)
def test_a_refused_form_says_at_each_field_what_to_change(page, addresses, name, button):
    page.goto(addresses[name])
    page.evaluate("document.querySelectorAll('form').forEach((each) => { each.noValidate = true })")
    page.get_by_role("main").get_by_role("button", name=button).first.click()
    page.get_by_role("alert").first.wait_for()
    marked = page.locator("[aria-invalid=true]")
    assert marked.count() > 0
    for control in marked.all():
        said = control.evaluate(DESCRIBED)
        assert any(page.locator(f"[id='{each}'].error").count() for each in said.split()), said
    assert serious(page) == []


def test_no_page_was_forgotten(addresses):
    seen = set()
    for address in addresses.values():
        with contextlib.suppress(Resolver404):
            seen.add(resolve(urlsplit(address).path).url_name)
    wanted = {each.name for each in shop_pages if isinstance(each, URLPattern)} - NOT_PAGES
    assert wanted - seen == set()
    assert set(addresses) >= {*NAMES, *STATES, *SIGNED_OUT}


def test_no_browser_reported_a_breach_of_the_policy(live, page):
    page.wait_for_timeout(500)
    assert csp_reports(live) == live.reports_before


def csp_reports(shop: LiveShop) -> float:
    """Read how many breaches of the policy browsers have reported to this portal."""
    with urlopen(f"{shop.stack.portal_url}/metrics") as answer:
        found = re.search(r"^aisle_csp_reports_total (\S+)", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])
