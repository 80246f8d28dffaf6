"""Where an agent works and whom it asks, from the environment or the local stack's settings."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deployments_app.gateway import Ports


@dataclass(frozen=True)
class AgentConfig:
    """One agent's folder, its portal and the ports of the Envoy beside it."""

    folder: Path
    portal_url: str
    token: str
    ports: Ports
    agent_id: str
    backend: str = "local"  # whose deployments this gateway serves
    kept_routes: Path | None = None  # what to begin with where the portal does not answer


def read_config(setting: Callable[[str], str | None], home: Path) -> AgentConfig:
    """Read the agent's settings. Raises ValueError naming the one that is missing.

    PORTAL_URL, AGENT_TOKEN, GATEWAY_URL and GATEWAY_ADMIN_URL are needed. GATEWAY_BIND (default loopback)
    and GATEWAY_PORT say where Envoy listens when that is not what GATEWAY_URL says; AGENT_ID names
    the agent, GATEWAY_BACKEND the backend whose deployments it serves, GATEWAY_KEPT_ROUTES a file with the
    last routes, for a gateway that never had any and does not reach the portal.
    """

    def need(name: str) -> str:
        value = setting(name)
        if not value:
            raise ValueError(f"{name} is not set; the gateway's agent needs it.")
        return value

    gateway, admin = urlsplit(need("GATEWAY_URL")), urlsplit(need("GATEWAY_ADMIN_URL"))
    port = int(setting("GATEWAY_PORT") or gateway.port or (443 if gateway.scheme == "https" else 80))
    if admin.port is None:
        raise ValueError("GATEWAY_ADMIN_URL has no port; the gateway's agent needs it.")
    kept = setting("GATEWAY_KEPT_ROUTES")
    return AgentConfig(
        folder=home / "gateway",
        portal_url=need("PORTAL_URL"),
        token=need("AGENT_TOKEN"),
        ports=Ports(setting("GATEWAY_BIND") or "127.0.0.1", port, admin.port),
        backend=setting("GATEWAY_BACKEND") or "local",
        agent_id=setting("AGENT_ID") or f"{socket.gethostname()}-{port}",
        kept_routes=Path(kept) if kept else None,
    )
