"""The red button is where it always is: measured in Chromium, over strategies and states, wide and narrow."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from playwright.sync_api import Route

from deployments_app.models import Rollout
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import abort_rollout, pause_rollout, promote_now
from models_app.models import DatasetVersion
from tests.browser import open_browser, open_window

SITE = "http://shop.test"
SIZES = {1440: 900, 360: 740}
STATIC = "/static/"
Corner = tuple[int, int]  # the button's lower right one: px from the window's right and lower edge


def measure(pages: dict[str, str]) -> dict[tuple[int, str], Corner]:
    """Open every page in every size; tell where the red button is."""

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        file = finders.find(path.removeprefix(STATIC)) if path.startswith(STATIC) else None
        if path in pages:
            route.fulfill(body=pages[path], content_type="text/html; charset=utf-8")
        elif file and not path.endswith(".js"):
            route.fulfill(path=Path(str(file)))
        else:
            route.abort()

    found: dict[tuple[int, str], Corner] = {}
    with open_browser() as browser:
        for width, height in SIZES.items():
            with open_window(browser, width=width, height=height, script=False) as page:
                page.route("**/*", answer)
                for path in pages:
                    page.goto(SITE + path)
                    box = page.locator("#roll-back").bounding_box()
                    assert box is not None, path
                    right, below = width - box["x"] - box["width"], height - box["y"] - box["height"]
                    found[width, path] = round(right), round(below)
    return found


@pytest.fixture
def pages(world, told, visit) -> dict[str, str]:
    """Render a rollout of every strategy in its states, one that is live, and a rollback, by path."""
    world.make_live()
    DatasetVersion.objects.update(user_count=21_000)
    rendered: dict[str, str] = {}

    def keep(rollout: Rollout, name: str) -> None:
        rollout.refresh_from_db()
        page = visit("operator", "rollout_detail", rollout.pk)
        rendered[f"/{name}/{rollout.status}"] = page.content.decode()

    for name in sorted(TEMPLATES, key="normal".__eq__):
        told.is_ready = False
        plan = TEMPLATES[name].plan.to_json()
        rollout = world.advance(world.start(world.version(), plan=plan))
        keep(rollout, name)
        told.is_ready = True
        world.advance(rollout)
        keep(rollout, name)
        pause_rollout(world.operator, world.shop, rollout)
        keep(rollout, name)
        if name != "normal":
            abort_rollout(world.operator, world.shop, rollout)
    promote_now(world.operator, world.shop, rollout)
    keep(rollout, name)
    keep(roll_back(world.operator, world.shop, world.deployment), "rollback")
    return rendered


def test_roll_back_is_always_in_the_same_place(pages, chromium):
    assert len(pages) == 3 * len(TEMPLATES) + 2
    with ThreadPoolExecutor(1) as a_thread:  # Playwright's loop would keep this one from the database
        found = a_thread.submit(measure, pages).result()
    for width in SIZES:
        places = {path: place for (at, path), place in found.items() if at == width}
        assert len(set(places.values())) == 1, places
