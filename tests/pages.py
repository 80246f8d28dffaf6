"""Every page of a shop, found the way a person finds them: by following links."""

from playwright.sync_api import Page

# Name -> where it is below the shop.
STATIC = {
    "home": "",
    "data": "data",
    "upload": "data/new",
    "runs": "train",
    "new-training": "train/new",
    "models": "models",
    "approvals": "approvals",
    "approvals-open": "approvals?tab=open",
    "approvals-decided": "approvals?tab=decided",
    "request-start": "approvals/new",
    "releases": "deployments",
    "new-placement": "deployments/new",
    "activity": "activity",
    "people": "people",
    "tokens": "tokens",
    "integrate": "integrate",
    "settings": "settings",
}
# Name -> (page to start from, pattern of the link to follow, words in the line or card that holds it).
FOLLOWED = {
    "dataset": ("data", r"/data/dsv_\w+$", "ready"),
    "dataset-columns": ("data", r"/data/dsv_\w+$", "uploading"),
    "dataset-failed": ("data", r"/data/dsv_\w+$", "failed"),
    "dataset-canceled": ("data", r"/data/dsv_\w+$", "canceled"),
    "run": ("runs", r"/train/runs/run_\w+$", "ALS"),
    "run-baseline": ("runs", r"/train/runs/run_\w+$", "baseline"),
    "compare": ("run", r"/train/compare\?group=", ""),
    "model": ("models", r"/models/mdl_\w+$", ""),
    "version": ("run", r"/models/versions/mv_\w+$", ""),
    "request-new": ("version", r"/approvals/new\?version=", ""),
    "request": ("approvals-open", r"/approvals/pro_\w+$", ""),
    "request-changes": ("request", r"/approvals/pro_\w+/changes$", ""),
    "request-decided": ("approvals-decided", r"/approvals/pro_\w+$", ""),
    "deployment": ("releases", r"/deployments/dep_\w+$", ""),
    "environment": ("deployment", r"/environments/env_\w+$", ""),
    "rollout": ("deployment", r"/rollouts/rol_\w+$", ""),
    "rollout-first": ("deployment", r"/rollouts/rol_\w+$", "Release 1"),
    "rollback": ("deployment", r"/rollouts/rol_\w+$", "Back to release"),
}
NAMES = [
    *STATIC,
    *FOLLOWED,
    "live-numbers",
    "consistency",
    "time-machine",
    "password",
    "not-found",
    "api-docs",
]

_LINKS = """([pattern, words]) => [...document.querySelectorAll('a[href]')]
    .filter((link) => new RegExp(pattern).test(link.getAttribute('href')))
    .filter((link) => !words || (link.closest('tr, li, .card')?.innerText ?? '').includes(words))
    .map((link) => link.href.split('#')[0])"""


def find_pages(page: Page, base: str, shop: str) -> dict[str, str]:
    """Return the address of every page that exists now, by name."""
    root = f"{base}/{shop}/"
    found = {name: root + path for name, path in STATIC.items()}
    found |= {
        "password": f"{base}/password",
        "not-found": f"{root}nothing-here",
        "api-docs": f"{base}/api/docs",
    }
    for name, (start, pattern, words) in FOLLOWED.items():
        if start in found:
            if page.url.split("#")[0] != found[start]:
                page.goto(found[start])
            links = page.evaluate(_LINKS, [pattern, words])
            found |= {name: links[0]} if links else {}
    if "deployment" in found:
        found["live-numbers"] = f"{found['deployment']}/live"
        found["consistency"] = f"{found['deployment']}/consistency"
        found["time-machine"] = f"{found['deployment']}/history"
    return found
