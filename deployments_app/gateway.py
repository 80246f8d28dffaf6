"""The gateway in front of the model servers: from plain routes to what Envoy reads. Pure."""

from deployments_app.gateway_report import (
    ArmReport,
    Report,
    WatchReport,
    report_from_json,
    report_to_json,
)
from deployments_app.gateway_wire import (
    Arm,
    DeploymentRoute,
    Routes,
    Watch,
    WireError,
    routes_from_json,
    routes_to_json,
)

__all__ = [
    "Arm",
    "ArmReport",
    "DeploymentRoute",
    "Report",
    "Routes",
    "Watch",
    "WatchReport",
    "WireError",
    "report_from_json",
    "report_to_json",
    "routes_from_json",
    "routes_to_json",
]
