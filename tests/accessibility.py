"""What axe-core finds on a page, as far as it is serious."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OF_COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that another theme can break


def serious(page: Page, **options: object) -> list[tuple[str, list[str]]]:
    """Name what breaks axe's rules, all of them unless the options name some."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        (rule["id"], [f"{node['html'][:160]} {node['failureSummary'][:200]}" for node in rule["nodes"][:3]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]
