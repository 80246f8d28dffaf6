"""The gallery in a real browser: widths, themes, policy, accessibility."""

import pytest
from playwright.sync_api import Browser, Page

from tests.accessibility import OF_COLOURS, serious
from tests.look import urls
from tests.look.waiting import until

PAGES = ["", "page/sign_in", "page/locked_out", "page/404", "page/403", "page/500", "page/problem"]


def settle(page: Page, address: str) -> None:
    """Open a page and wait until its charts are drawn."""
    answer = page.goto(address)
    assert answer is not None
    assert answer.ok, address
    until(page, "[...document.querySelectorAll('[data-chart]')].every((chart) => chart.dataset.drawn)")


@pytest.mark.parametrize("path", PAGES)
def test_no_page_scrolls_sideways_however_narrow_its_window_becomes(page: Page, site: str, path: str) -> None:
    settle(page, f"{site}/{path}")
    for width in (1440, 768, 360, 320):
        page.set_viewport_size({"width": width, "height": 800})
        until(page, "document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(browser: Browser, site: str, path: str, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = context.new_page()
    settle(page, f"{site}/{path}")
    found = {"light": serious(page)}
    page.emulate_media(color_scheme="dark")
    found["dark"] = serious(page, runOnly=OF_COLOURS)
    context.close()
    assert found == {"light": [], "dark": []}


def test_every_page_has_one_heading_its_landmarks_and_nothing_that_the_policy_refuses(
    page: Page, site: str
) -> None:
    urls.reports.clear()
    for path in reversed(PAGES):
        settle(page, f"{site}/{path}")
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == 1, path
    page.emulate_media(color_scheme="dark")
    page.hover(".chart-canvas .nsewdrag", force=True)
    page.wait_for_timeout(300)
    assert urls.reports == []


def test_the_policy_reports_what_it_refuses(page: Page, site: str) -> None:
    urls.reports.clear()
    page.goto(f"{site}/ticking")
    with page.expect_request(f"{site}/csp-report"):
        page.evaluate("document.body.setAttribute('style', 'color: red')")


def test_targets_on_a_phone_are_large_enough_for_a_thumb(browser: Browser, site: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    settle(page, site)
    small = page.evaluate(
        """[...document.querySelectorAll('.btn, .menu > summary, .tabs a, input:not([type=hidden]), select')]
           .filter((part) => part.checkVisibility())
           .filter((part) => !part.matches('[type=checkbox], [type=radio], .snippet .btn, .btn.small'))
           .filter((part) => part.getBoundingClientRect().height < 43.5)
           .map((part) => part.outerHTML.slice(0, 100))"""
    )
    context.close()
    assert small == []


def test_a_chart_follows_the_theme(page: Page, site: str) -> None:
    settle(page, site)
    stroke = "getComputedStyle(document.querySelector('#ctr .scatterlayer .js-line')).stroke"
    assert page.evaluate(stroke) == "rgb(75, 88, 115)"
    page.click(".whoami summary")
    page.click(".whoami button[value=dark]")
    until(page, f"{stroke} === 'rgb(139, 155, 189)'")


def test_a_chart_can_be_read_as_a_table(page: Page, site: str) -> None:
    settle(page, site)
    page.click("figure:has-text('Ratings') summary")
    assert page.locator("figure:has-text('Ratings') tbody tr").count() == 10
    assert "26,818" in page.inner_text("figure:has-text('Ratings') table")


def test_the_theme_is_remembered_and_rendered_by_the_server(page: Page, site: str) -> None:
    page.goto(f"{site}/ticking")
    page.click(".whoami summary")
    page.click(".whoami button[value=dark]")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert 'data-theme="dark"' in page.request.get(f"{site}/ticking").text()


def test_the_theme_changes_without_script(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/ticking")
    page.click(".whoami summary")
    page.click(".whoami button[value=dark]")
    assert page.get_attribute("html", "data-theme") == "dark"
    context.close()


def test_the_menu_of_a_phone_works_without_script(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 800})
    page = context.new_page()
    page.goto(f"{site}/ticking")
    assert not page.is_visible("nav[aria-label='Main, small screen']")
    page.click(".mobile-menu > summary")
    assert page.is_visible("nav[aria-label='Main, small screen'] >> text=Releases")
    context.close()


def test_escape_closes_a_menu_and_returns_the_focus(page: Page, site: str) -> None:
    page.goto(f"{site}/ticking")
    page.click(".whoami summary")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert not page.is_visible(".whoami .menu-sheet")
    assert page.evaluate("document.activeElement.matches('.whoami summary')")


def test_the_first_tab_stop_leads_to_the_content(page: Page, site: str) -> None:
    page.goto(f"{site}/ticking")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
