"""What the frame around every page shows: navigation, shop, person, running jobs, theme."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from portal.core.models import Membership, Shop
from portal.core.requests import ShopRequest

THEME_COOKIE = "aisle_theme"
THEMES = ("light", "dark")  # anything else follows the system


@dataclass(frozen=True)
class Entry:
    """One line of the navigation; the names of its pages begin with one of `prefixes`."""

    label: str
    icon: str
    url_name: str
    prefixes: tuple[str, ...]
    second: bool = False  # below the rule: for integrators and the record
    counts_approvals: bool = False


ENTRIES = (
    Entry("Home", "house", "home", ("home",)),
    Entry("Data", "database", "data_list", ("data",)),
    Entry("Train", "flask-conical", "run_list", ("run_", "compare")),
    Entry("Models", "box", "model_list", ("model", "version_")),
    Entry("Approvals", "badge-check", "approvals", ("approvals", "promotion"), counts_approvals=True),
    Entry(
        "Releases",
        "split",
        "deployment_list",
        ("deployment", "rollout", "release", "live_", "consistency", "time_machine"),
    ),
    Entry("Integrate", "plug", "integrate", ("integrate", "api_docs"), second=True),
    Entry("Activity", "scroll-text", "activity", ("activity", "event"), second=True),
    Entry("Settings", "settings-2", "settings", ("settings", "people", "token"), second=True),
)

# Facts of the later stages, handed over by the shell: how many requests wait for this person, which jobs run
# now (dicts of label, url, stage, pct or None), and which alerts nobody has acknowledged. Each takes the
# request and makes at most one query.
count_waiting_approvals: Callable[[ShopRequest], int] | None = None
list_running_jobs: Callable[[ShopRequest], list[dict[str, Any]]] | None = None
list_firing_alerts: Callable[[ShopRequest], list[Any]] | None = None


def shell(request: HttpRequest) -> dict[str, Any]:
    """Give every template `shell` and `theme`; nothing is read from the database before it is shown."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return {"theme": theme if theme in THEMES else "system", "shell": Frame(request)}


class Frame:
    """The frame of one page; each part is worked out when the template asks for it, once."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.shop: Shop | None = getattr(request, "shop", None)
        self.path = request.get_full_path()
        self.request_id: str = getattr(request, "request_id", "")
        self.memberships = SimpleLazyObject(self._memberships)
        self.waiting_approvals = SimpleLazyObject(self._waiting_approvals)
        self.jobs = SimpleLazyObject(self._jobs)
        self.alerts = SimpleLazyObject(self._alerts)
        self.nav = SimpleLazyObject(self._nav)
        self.role = SimpleLazyObject(self._role)

    @property
    def jobs_url(self) -> str:
        return _address("jobs", self.shop)

    @property
    def theme_url(self) -> str:
        return _address("theme", None)

    @property
    def home_url(self) -> str:
        return _address("home", self.shop) if self.shop else _address("start", None) or "/"

    def _is_signed_in(self) -> bool:
        user = getattr(self._request, "user", None)
        return bool(user is not None and user.is_authenticated)

    def _memberships(self) -> list[Membership]:
        if not self._is_signed_in():
            return []
        return cast(ShopRequest, self._request).actor.memberships

    def _role(self) -> str:
        shop = self.shop
        return next(
            (str(member.role) for member in self.memberships if shop and member.shop_id == shop.pk), ""
        )

    def _waiting_approvals(self) -> int:
        return (
            count_waiting_approvals(cast(ShopRequest, self._request))
            if count_waiting_approvals and self.shop
            else 0
        )

    def _jobs(self) -> list[dict[str, Any]]:
        return list_running_jobs(cast(ShopRequest, self._request)) if list_running_jobs and self.shop else []

    def _alerts(self) -> list[Any]:
        return (
            list_firing_alerts(cast(ShopRequest, self._request)) if list_firing_alerts and self.shop else []
        )

    def _nav(self) -> list[dict[str, Any]]:
        match = getattr(self._request, "resolver_match", None)
        here = match.url_name if match is not None and match.url_name else ""
        lines = []
        for entry in ENTRIES:
            url = _address(entry.url_name, self.shop)
            if url:
                is_here = here.startswith(entry.prefixes)
                count = self.waiting_approvals if entry.counts_approvals else 0
                lines.append({"entry": entry, "url": url, "is_current": is_here, "count": count})
        return lines


def _address(name: str, shop: Shop | None) -> str:
    try:
        return reverse(name, args=[shop.slug] if shop else [])
    except NoReverseMatch:
        return ""
