"""Fragments that refresh themselves: focus, opened details, announcements, a lost connection."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.look import urls
from tests.look.waiting import until


@pytest.fixture
def ticking(page: Page, site: str) -> Iterator[Page]:
    urls.ticks.update(seen=0, broken=0)
    page.goto(f"{site}/ticking")
    until(page, "Number(document.getElementById('count').textContent) >= 1")
    yield page
    urls.ticks["broken"] = 0


def next_tick(page: Page) -> None:
    count = int(page.inner_text("#count"))
    until(page, f"Number(document.getElementById('count').textContent) > {count}")


def test_a_refresh_keeps_the_focus(ticking: Page) -> None:
    ticking.focus("#act")
    next_tick(ticking)
    assert ticking.evaluate("document.activeElement.id") == "act"


def test_a_refresh_keeps_what_was_opened(ticking: Page) -> None:
    ticking.click("#more summary")
    next_tick(ticking)
    assert ticking.is_visible("text=Details")


def test_a_refresh_never_takes_away_what_somebody_types(ticking: Page) -> None:
    ticking.type("#words", "half a sen")
    ticking.wait_for_timeout(700)
    assert ticking.input_value("#words") == "half a sen"


def test_a_new_stage_is_announced_and_a_tick_is_not(ticking: Page) -> None:
    assert ticking.inner_text("#announcer") == ""
    until(ticking, "document.getElementById('announcer').textContent === 'evaluate'")


def test_a_lost_connection_greys_the_figures_and_comes_back_by_itself(ticking: Page) -> None:
    urls.ticks["broken"] = 1
    ticking.wait_for_selector("#offline:not([hidden])")
    assert "Figures are as of" in ticking.inner_text("#offline")
    assert ticking.locator("#ticks.stale").count() == 1
    urls.ticks["broken"] = 0
    ticking.wait_for_selector("#offline", state="hidden")
    assert ticking.locator(".stale").count() == 0


def test_an_upload_shows_its_bytes_and_follows_the_answer(page: Page, site: str) -> None:
    page.goto(site)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000}
    session.send("Network.emulateNetworkConditions", slow)
    body = b"user,item\n" * 300_000
    page.set_input_files("#id_file", {"name": "ratings.csv", "mimeType": "text/csv", "buffer": body})
    page.click("button:has-text('Upload')")
    until(page, "document.querySelector('[data-upload-bytes]').textContent.includes('of 3.0')")
    assert "MB" in page.inner_text("[data-upload-bytes]")
    page.wait_for_url("**/?message=1")
    assert page.is_visible("text=Promotion 31 is approved")


def test_a_refused_upload_says_why(page: Page, site: str) -> None:
    page.goto(site)
    page.set_input_files("#id_file", {"name": "ratings.csv", "mimeType": "text/csv", "buffer": b"abc"})
    page.click("button:has-text('Upload')")
    page.wait_for_selector("[data-upload-problem]")
    assert "The file has no rows." in page.inner_text("[data-upload-problem]")


def test_an_upload_works_without_script(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site)
    page.set_input_files("#id_file", {"name": "r.csv", "mimeType": "text/csv", "buffer": b"user,item\n"})
    page.click("button:has-text('Upload')")
    page.wait_for_url("**/?message=1")
    context.close()
