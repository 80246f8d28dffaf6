"""What an agent shows the portal: the token of all agents, or one that is good for one environment.

The latter is derived, so that it is nowhere stored, and what it is for stands in it.
"""

import hashlib
import hmac

from django.conf import settings


def environment_token(environment_id: str) -> str:
    """Derive the token of one environment's gateways."""
    return f"{environment_id}.{_derive(settings.SECRET_KEY, environment_id)}"


def scope_of(token: str) -> str | None:
    """Tell what a token is good for: an environment's id, \"\" for everything, None for nothing."""
    given = token.encode("utf-8", "surrogateescape")
    if settings.AGENT_TOKEN and hmac.compare_digest(given, settings.AGENT_TOKEN.encode()):
        return ""
    environment, _, _ = token.partition(".")
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    known = [
        f"{environment}.{_derive(each, environment)}".encode("utf-8", "surrogateescape") for each in secrets
    ]
    return environment if environment and any(hmac.compare_digest(given, each) for each in known) else None


def _derive(secret: str, environment_id: str) -> str:
    message = f"aisle gateways of one environment\n{environment_id}".encode("utf-8", "surrogateescape")
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
