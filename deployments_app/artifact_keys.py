"""The address of a release's artifact: signed for this release and this content, until they are retired.

The signature holds the nonce of the release's servers, which goes with them: an address opens nothing
once the release is retired, and a new nonce takes back all that were given out.
"""

import hashlib
import hmac
from typing import Protocol

from django.conf import settings

PATH = "/gateway/v1/artifacts/{release}/{digest}?signature={signature}"


class _Release(Protocol):
    pk: str
    artifact_digest: str


class _Servers(Protocol):
    artifact_nonce: str


def artifact_url(release: _Release, servers: _Servers) -> str:
    """Make the address that a release's servers in a cluster fetch their artifact from."""
    return settings.CLUSTER_PORTAL_URL + artifact_path(release, servers)


def artifact_path(release: _Release, servers: _Servers) -> str:
    """Make that address without the portal's own; caches in a cluster give the same."""
    signature = _sign(settings.SECRET_KEY, release, servers)
    return PATH.format(release=release.pk, digest=release.artifact_digest, signature=signature)


def is_signed(signature: str, release: _Release, servers: _Servers) -> bool:
    """Tell whether a signature is this release's, by the present secret or an earlier one."""
    given = signature.encode("utf-8", "surrogateescape")
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(hmac.compare_digest(given, _sign(each, release, servers).encode()) for each in secrets)


def _sign(secret: str, release: _Release, servers: _Servers) -> str:
    message = f"aisle artifact\n{release.pk}\n{release.artifact_digest}\n{servers.artifact_nonce}"
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
