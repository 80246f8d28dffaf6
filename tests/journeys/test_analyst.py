"""An analyst in a browser: from a file of ratings to a request that somebody else decides."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import open_window, refusals, settle_charts, sign_in
from tests.journeys.ratings import ATTACK, broken, hostile, own_names
from tests.shops import LiveShop

pytestmark = pytest.mark.journey

SLOW_BYTES_S = 400_000
COLUMNS = "Is each column what it seems to be?"
REPORT = re.compile(r"[\d,]+ interactions of [\d,]+ shoppers with [\d,]+ items")


@pytest.fixture
def analyst(browser: Browser, shop: LiveShop) -> Iterator[Page]:
    with open_window(browser, shop.session("analyst")) as page:
        yield page


@contextmanager
def slow_upload(page: Page) -> Iterator[None]:
    """Let the browser send as slowly as from a café."""
    network = page.context.new_cdp_session(page)
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
    network.send("Network.emulateNetworkConditions", {**limits, "uploadThroughput": SLOW_BYTES_S})
    yield
    network.send("Network.emulateNetworkConditions", {**limits, "uploadThroughput": -1})


def choose(page: Page, shop: LiveShop, file, items=None, name: str = "ratings") -> None:
    page.goto(f"{shop.stack.portal_url}/{shop.slug}/data/new")
    page.get_by_label("Drop your ratings here").set_input_files(file)
    if items is not None:
        page.get_by_label("Items").set_input_files(items)
    page.get_by_label("Name of the new dataset").fill(name)


def upload(page: Page, shop: LiveShop, file, items=None, name: str = "ratings") -> None:
    choose(page, shop, file, items, name)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name=COLUMNS)).to_be_visible()


def algorithm(page: Page, name: str):
    """The box of an algorithm on the page of a new training."""
    return page.locator(f"input[name=algorithms][value={name}]")


def chosen_algorithms(page: Page) -> set[str]:
    boxes = page.locator("input[name=algorithms]").all()
    return {str(box.get_attribute("value")) for box in boxes if box.is_checked()}


def check(page: Page) -> None:
    page.get_by_role("button", name="Check every line").click()


def test_from_a_file_to_a_request_that_somebody_else_decides(browser, shop, files, tmp_path):
    with open_window(browser) as page:
        follow_the_whole_way(page, shop, files, own_names(files[0], tmp_path / "orders.csv", copies=3))


def follow_the_whole_way(analyst: Page, shop: LiveShop, files, file) -> None:
    refused = refusals(analyst)

    # A one-time link signs in, and home says what comes first.
    sign_in(analyst, shop.link("analyst"))
    expect(analyst.get_by_role("heading", name="Nothing is live yet")).to_be_visible()
    analyst.get_by_role("main").get_by_role("link", name="Upload data").click()

    # The bytes are counted while they go.
    with slow_upload(analyst):
        analyst.get_by_label("Drop your ratings here").set_input_files(file)
        analyst.get_by_label("Items").set_input_files(files[1])
        analyst.get_by_label("Name of the new dataset").fill("orders")
        analyst.get_by_role("button", name="Upload").click()
        assert_bytes_move(analyst)
        expect(analyst.get_by_role("heading", name=COLUMNS)).to_be_visible()

    # One role was guessed wrongly and is set right by hand.
    value = analyst.get_by_label("Rating or value")
    assert value.evaluate("each => each.selectedOptions[0].text") == "quantity"
    value.select_option("opinion")
    check(analyst)

    # Every line is read, and the report says what was found.
    expect(analyst.get_by_role("heading", name=REPORT)).to_be_visible()
    expect(analyst.locator("#values-canvas svg.main-svg").first).to_be_visible()
    figures = analyst.locator("#values-table tbody tr")
    analyst.locator("#values-table summary").click()
    assert [row.split()[0] for row in figures.all_inner_texts()] == ["1", "2", "3", "4", "5"]
    top = analyst.get_by_role("region", name="Most popular items").locator("tbody th").first.inner_text()
    assert top in files[1].read_text()
    assert " " in top  # a title, not an id

    # Training with the defaults, and a comparison that refreshes itself to the verdict.
    analyst.get_by_role("link", name="Train on it").click()
    chosen = chosen_algorithms(analyst)
    assert {"item_knn", "als", "content"} <= chosen
    # What it would cost follows the choice and the settings, before anything starts.
    cost = analyst.locator("#forecast")
    expect(cost).to_contain_text(f"for {len(chosen)} algorithms")
    algorithm(analyst, "content").uncheck()
    expect(cost).to_contain_text(f"for {len(chosen) - 1} algorithm")
    als = analyst.locator("#cost-als .num")
    before = als.inner_text()
    analyst.get_by_text("Settings of ALS").click()
    settings = analyst.get_by_role("group", name="Settings of ALS")
    settings.get_by_label("Factors").fill("512")
    expect(als).not_to_have_text(before)
    settings.get_by_label("Factors").fill("64")
    algorithm(analyst, "content").check()
    analyst.get_by_role("button", name="Start").click()
    expect(analyst.get_by_role("heading", name=f"is the best of {len(chosen) + 1} runs")).to_be_visible()
    assert "group=" in analyst.url
    expect(analyst.locator(".verdict")).to_contain_text("beats Popularity by")
    expect(analyst.locator("#ndcg-canvas svg.main-svg").first).to_be_visible()

    # From the comparison to the version, and to the request.
    analyst.get_by_role("link", name=re.compile(r"^Open shop-main")).click()
    expect(analyst.get_by_role("heading", name="What a shopper would see")).to_be_visible()
    analyst.get_by_role("link", name="Ask for promotion").click()
    analyst.get_by_label("Comment").fill("Better on every metric.")
    analyst.get_by_role("button", name="Send the request").click()
    expect(analyst.get_by_role("heading", name=re.compile("^Promote shop-main"))).to_be_visible()

    # Who asks does not decide, and the page says so.
    approve = analyst.get_by_role("button", name="Approve")
    expect(approve).to_be_disabled()
    expect(analyst.locator("#effect")).to_contain_text("You")
    assert shop.program.get("promotions", status="open")["results"][0]["comment"] == "Better on every metric."
    assert refused == []


def assert_bytes_move(page: Page) -> None:
    """See at least three different counts of sent bytes, each with its pace."""
    line, seen = page.locator("[data-upload-bytes]"), []
    deadline = time.monotonic() + 30
    while len(seen) < 3:
        assert time.monotonic() < deadline, f"the count of bytes stood still: {seen}"
        text = line.inner_text() if line.count() else ""
        if " of " in text and text not in seen:
            seen.append(text)
        page.wait_for_timeout(30)
    expect(page.locator("[data-upload-rate]")).to_contain_text("B/s")


def test_a_broken_file_shows_its_lines_and_the_valid_rows_can_be_loaded(analyst, shop, files, tmp_path):
    upload(analyst, shop, broken(files[0], tmp_path / "broken.csv"), name="broken")
    check(analyst)
    expect(analyst.get_by_role("heading", name="broken.csv cannot be used as it is")).to_be_visible()
    rows = analyst.get_by_role("region", name="Problems").locator("tbody tr")
    assert [row.split("\t")[:2] for row in rows.all_inner_texts()] == [
        ["5", "item_id"],
        ["9", "rating"],
        ["12", "timestamp"],
    ]
    analyst.get_by_role("button", name="Load the valid rows").click()
    expect(analyst.get_by_role("heading", name=REPORT)).to_be_visible()
    total = len(files[0].read_text().splitlines()) - 1
    expect(analyst.get_by_role("heading", name=f"{total - 3:,} interactions")).to_be_visible()


def test_what_is_not_a_table_is_refused_in_place(analyst, shop, tmp_path):
    picture = tmp_path / "photo.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    choose(analyst, shop, picture, name="photo")
    analyst.get_by_role("button", name="Upload").click()
    expect(analyst.get_by_role("alert")).to_contain_text("The file was not taken")
    expect(analyst.get_by_role("button", name="Upload")).to_be_visible()


def test_an_upload_a_file_a_check_and_a_run_can_be_canceled(analyst, shop, files, tmp_path):
    file = own_names(files[0], tmp_path / "slow.csv", copies=4)
    choose(analyst, shop, file, name="never sent")
    with slow_upload(analyst):
        analyst.get_by_role("button", name="Upload").click()
        expect(analyst.locator("[data-upload-bytes]")).to_contain_text(" of ")
        analyst.get_by_role("button", name="Cancel").click()
        expect(analyst.get_by_role("button", name="Upload")).to_be_visible()
    assert "never sent" not in {each["name"] for each in shop.program.get("datasets")["results"]}

    upload(analyst, shop, files[0], name="canceled")
    analyst.get_by_role("button", name="Cancel this upload").click()
    expect(analyst.get_by_role("heading", name="canceled")).to_be_visible()

    with shop.stack.held("worker-train"):
        upload(analyst, shop, files[0], name="canceled check")
        check(analyst)
        analyst.get_by_role("button", name="Cancel the check").click()
        expect(analyst.get_by_role("heading", name="canceled")).to_be_visible()

    version = shop.upload(*files)
    analyst.goto(f"{shop.stack.portal_url}/{shop.slug}/train/new?data={version}")
    for name in chosen_algorithms(analyst) - {"als"}:
        algorithm(analyst, name).uncheck()
    analyst.get_by_text("Settings of ALS").click()
    settings = analyst.get_by_role("group", name="Settings of ALS")
    settings.get_by_label("Factors").fill("1024")
    settings.get_by_label("Iterations").fill("100")
    analyst.get_by_role("button", name="Start").click()
    analyst.get_by_role("link", name="ALS (matrix").click()
    expect(analyst.get_by_role("heading", name="is being trained")).to_be_visible()
    analyst.get_by_role("button", name="Cancel the run").click()
    expect(analyst.get_by_role("heading", name="was canceled")).to_be_visible()
    run = shop.program.get(f"training-runs/{analyst.url.rpartition('/')[2]}")
    assert (run["status"], run["model_version"]) == ("canceled", None)


def test_the_whole_way_works_without_javascript(browser, shop, files):
    with open_window(browser, shop.session("analyst"), script=False) as page:
        upload(page, shop, *files, name="no script")
        check(page)
        expect(page.get_by_role("heading", name=REPORT)).to_be_visible()
        page.get_by_role("link", name="Train on it").click()
        algorithm(page, "als").uncheck()
        chosen = chosen_algorithms(page)
        page.get_by_role("button", name="Estimate again").click()
        expect(page.locator("#forecast")).to_contain_text(f"for {len(chosen)} algorithm")
        assert chosen_algorithms(page) == chosen
        assert "als" not in chosen
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name=f"is the best of {len(chosen) + 1} runs")).to_be_visible()
        page.get_by_role("main").get_by_role("link", name="Ask for promotion").click()
        page.get_by_role("button", name="Send the request").click()
        expect(page.get_by_role("heading", name=re.compile("^Promote shop-main"))).to_be_visible()
        expect(page.get_by_role("button", name="Approve")).to_be_disabled()


def tab_to(page: Page, wanted) -> None:
    """Press Tab until the wanted control has the focus, as a person without a mouse does."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if wanted.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError("Tab never came there")


def test_signing_in_and_uploading_need_no_mouse(browser, shop, files):
    password = "a long sentence nobody guesses 7"
    username = f"kay-{shop.slug}"
    shop.people["admin"].post(
        "members",
        {"username": username, "name": "Kay", "email": f"{username}@example.com", "role": "analyst"},
    )
    shop.usernames["kay"] = username
    with open_window(browser) as page:
        sign_in(page, shop.link("kay"))
        page.goto(f"{shop.stack.portal_url}/password")
        page.get_by_label("New password", exact=True).fill(password)
        page.get_by_label("New password confirmation").fill(password)
        page.get_by_role("button", name="Save the password").click()
        expect(page.get_by_role("heading", name="Nothing is live yet")).to_be_visible()
    with open_window(browser) as page:
        page.goto(f"{shop.stack.portal_url}/sign-in?next=/{shop.slug}/data/new")
        if not page.get_by_label("Name").evaluate("each => each === document.activeElement"):
            tab_to(page, page.get_by_label("Name"))
        page.keyboard.type(username)
        page.keyboard.press("Tab")
        page.keyboard.type(password)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Upload ratings")).to_be_visible()

        # The browser hands choosers over from the next answer of the page on, not from this line on: a key
        # pressed at once can be faster, and a headless browser then cancels the chooser.
        with page.expect_file_chooser() as chooser:
            tab_to(page, page.get_by_label("Drop your ratings here"))
            page.keyboard.press("Enter")
        chooser.value.set_files(files[0])
        tab_to(page, page.get_by_label("Name of the new dataset"))
        page.keyboard.press("Control+A")
        page.keyboard.type("by keyboard")
        tab_to(page, page.get_by_role("button", name="Upload"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=COLUMNS)).to_be_visible()
        tab_to(page, page.get_by_role("button", name="Check every line"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=REPORT)).to_be_visible()


def test_markup_in_names_ids_and_titles_never_runs(browser, shop, files, tmp_path):
    ratings, items = hostile(*files, tmp_path)
    with open_window(browser, shop.session("analyst")) as page:
        refused = refusals(page)
        upload(page, shop, ratings, items, name=ATTACK)
        assert_harmless(page)
        check(page)
        expect(page.get_by_role("heading", name=REPORT)).to_be_visible()
        dataset = page.url
        version = dataset.rpartition("/")[2]
        made = shop.train(version, "popularity", "als")
        asked = shop.ask(made[1], {})
        run = shop.program.get(f"model-versions/{made[1]}")["run"]
        root = f"{shop.stack.portal_url}/{shop.slug}"
        group = shop.program.get(f"training-runs/{run}")["group"]
        for path in (
            "", "data", f"data/{version}", "train", f"train/new?data={version}", f"train/runs/{run}",
            f"train/compare?group={group}", "models", f"models/versions/{made[1]}",
            f"models/versions/{made[1]}?user={ATTACK}", f"approvals/{asked['id']}", "activity",
        ):  # fmt: skip
            page.goto(f"{root}/{path}")
            assert_harmless(page)
        assert refused == []


def assert_harmless(page: Page) -> None:
    """See the markup as text, and nothing made of it; charts included."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settle_charts(page)
    assert page.evaluate("window.__xss") is None
    assert page.locator("img[src=x]").count() == 0
