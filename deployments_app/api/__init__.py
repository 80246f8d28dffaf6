"""API paths of this stage, below /api/v1/; what gateways ask is in `gateway_api`."""

from deployments_app.api import history, placements, promotions, rollouts
from deployments_app.gateway_api import gateway_urlpatterns

__all__ = ["gateway_urlpatterns", "urlpatterns"]

urlpatterns = [*placements.urlpatterns, *history.urlpatterns, *promotions.urlpatterns, *rollouts.urlpatterns]
