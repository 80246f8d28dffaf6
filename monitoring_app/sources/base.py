"""Where a model server's counters come from."""

from typing import Protocol

from monitoring_app.services.metrics import Totals


class MetricSource(Protocol):
    """Reads the present counters of a release's servers. Raises ServerAway when one is away."""

    def read(self, release_id: str, endpoint: str) -> Totals: ...
