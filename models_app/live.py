"""Which version serves now: a later stage knows, and the shell hands its answer over."""

from collections.abc import Callable

from models_app.models import ModelVersion
from portal.core.models import Shop

find_live_version: Callable[[Shop], ModelVersion | None] | None = None  # set by the shell at start


def live_version(shop: Shop) -> ModelVersion | None:
    """Return the version that serves the shop's visitors now, if any does."""
    return find_live_version(shop) if find_live_version is not None else None
