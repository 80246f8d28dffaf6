"""The key that signs one release's recommendation ids; derived, so that it is nowhere stored."""

import hashlib
import hmac

from django.conf import settings


def recommendation_key(release_id: str) -> str:
    """Derive the key of a release from the portal's secret; it opens nothing else."""
    return _derive(settings.SECRET_KEY, release_id)


def recommendation_keys(release_id: str) -> list[str]:
    """List the keys that may have signed a release's ids: the present secret's, then earlier ones'."""
    return [_derive(secret, release_id) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _derive(secret: str, release_id: str) -> str:
    message = f"aisle recommendation id\n{release_id}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
