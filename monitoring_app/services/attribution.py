"""Whose list was it? A recommendation_id says so itself, signed by its release; the portal checks it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments_app.gateway_wire import VARIANTS
from deployments_app.models import Release
from deployments_app.recommendation_keys import recommendation_keys
from engine.serving.attribution import Attribution, claimed_release, read
from monitoring_app.event_rules import CLOCKS_DIFFER, Refused, ShopEvent
from monitoring_app.models import FeedbackWindow
from portal.core.models import Shop

FIELD = "recommendation_id"
# What an event says of its list; the other types (a view, an item in the cart) are kept, but not counted.
SAYS = {
    "impression": ("impressions", "seen"),
    "recommendation-click": ("clicks", "seen"),
    "purchase-complete": ("purchases", "seen"),
}


@dataclass(frozen=True)
class Credit:
    """The list that an event goes back to.

    is_in_time: it comes within the placement's window. is_a_shoppers: the gateway gave the list out to a
    shopper of an arm; a preview, a shadow's copy, a comparison and a batch are nobody's visit.
    """

    release_id: str
    deployment_id: str
    served_at: datetime
    is_in_time: bool
    is_a_shoppers: bool

    @property
    def counts(self) -> bool:
        """Tell whether the event speaks for its list."""
        return self.is_in_time and self.is_a_shoppers


@dataclass(frozen=True)
class _Known:
    """A release of the shop, with what it takes to check its ids."""

    deployment_id: str
    keys: tuple[bytes, ...]
    click_window: timedelta
    purchase_window: timedelta


class Attributor:
    """Checks the recommendation_ids of one batch against the releases of one shop."""

    def __init__(self, shop: Shop, events: Iterable[ShopEvent]) -> None:
        claimed = {name for event in events if (name := _claimed(event.recommendation_id))}
        rows = Release.objects.filter(pk__in=claimed, deployment__shop=shop).values_list(
            "pk", "deployment_id"
        )
        deployment_of = dict(rows) if claimed else {}
        windows = {
            window.deployment_id: window
            for window in FeedbackWindow.objects.filter(deployment_id__in=set(deployment_of.values()))
        }
        self._known: dict[str, _Known] = {}
        for release_id, deployment_id in deployment_of.items():
            window = windows.get(deployment_id) or FeedbackWindow()
            self._known[release_id] = _Known(
                deployment_id,
                tuple(key.encode() for key in recommendation_keys(release_id)),
                timedelta(seconds=window.click_s),
                timedelta(seconds=window.purchase_s),
            )

    def credit(self, event: ShopEvent) -> Credit | None:
        """Find the list an event goes back to; raises Refused for an id that no release here signed."""
        if not event.recommendation_id:
            return None
        release_id = _claimed(event.recommendation_id)
        if release_id is None:
            raise Refused(
                "malformed_recommendation_id",
                FIELD,
                "This is no recommendation_id. Send the one that stood in the answer, whole.",
            )
        known = self._known.get(release_id)
        served = _read(known.keys, event.recommendation_id) if known is not None else None
        if known is None or served is None:
            raise Refused("forged_recommendation_id", FIELD, "No release of this shop has given out this id.")
        if event.occurred_at < served.served_at - CLOCKS_DIFFER:
            raise Refused(
                "before_its_list",
                "occurred_at",
                "This happened before the list was given out. Look at the clock.",
            )
        is_purchase = event.type in ("purchase-complete", "add-to-cart")
        window = known.purchase_window if is_purchase else known.click_window
        is_in_time = event.occurred_at - served.served_at <= window
        is_a_shoppers = served.variant in VARIANTS
        return Credit(release_id, known.deployment_id, served.served_at, is_in_time, is_a_shoppers)


def _claimed(recommendation_id: str) -> str | None:
    if not recommendation_id:
        return None
    try:
        return claimed_release(recommendation_id)
    except ValueError:
        return None


def _read(keys: Iterable[bytes], recommendation_id: str) -> Attribution | None:
    for key in keys:
        try:
            return read(key, recommendation_id)
        except ValueError:  # of another key, e.g. from before the portal's secret was changed
            continue
    return None
