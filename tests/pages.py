"""Every page of a shop, found the way a person finds them: by following links."""

import re

from playwright.sync_api import Page

# Name -> where it is below the shop, or (list page, pattern of the link to follow).
STATIC = {
    "home": "",
    "data": "data",
    "upload": "data/new",
    "runs": "train",
    "new-training": "train/new",
    "models": "models",
    "approvals": "approvals",
    "releases": "deployments",
    "activity": "activity",
    "people": "people",
    "tokens": "tokens",
    "integrate": "integrate",
    "settings": "settings",
}
FOLLOWED = {
    "dataset": ("data", r"/data/dsv_\w+$"),
    "run": ("train", r"/train/runs/run_\w+$"),
    "model": ("models", r"/models/mdl_\w+$"),
    "version": ("models", r"/models/versions/mv_\w+$"),
    "request": ("approvals?tab=decided", r"/approvals/pro_\w+$"),
    "deployment": ("deployments", r"/deployments/dep_\w+$"),
}
DEEPER = {
    "compare": ("run", r"/train/compare\?group="),
    "request-new": ("version", r"/approvals/new\?version="),
    "rollout": ("deployment", r"/rollouts/rol_\w+$"),
}


def find_pages(page: Page, base: str, shop: str) -> dict[str, str]:
    """Return the address of every page that exists now, by name."""
    root = f"{base}/{shop}/"
    found = {name: root + path for name, path in STATIC.items()}
    for name, (start, pattern) in FOLLOWED.items():
        found |= _first_link(page, name, root + start, pattern)
    for name, (start, pattern) in DEEPER.items():
        if start in found:
            found |= _first_link(page, name, found[start], pattern)
    return found | {"not-found": root + "nothing-here", "api-docs": f"{base}/api/docs"}


def _first_link(page: Page, name: str, start: str, pattern: str) -> dict[str, str]:
    page.goto(start)
    for link in page.locator("a[href]").all():
        href = link.get_attribute("href") or ""
        if re.search(pattern, href):
            return {name: str(link.evaluate("each => each.href"))}
    return {}
