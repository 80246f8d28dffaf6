"""Who may ask: one JWT provider per deployment, its public keys inline, in a file that Envoy watches.

The whole filter comes by extension discovery (ECDS), so that adding or revoking a key touches neither
the listener nor a connection. A deployment's tokens must carry its own audience and be signed by one of
its own keys; the key of another deployment is not even looked at.
"""

import json
from typing import Any

from deployments_app.gateway_clusters import TYPE, Resource
from deployments_app.gateway_wire import DeploymentRoute
from deployments_app.serving_keys import ISSUER

FILTER = "envoy.filters.http.jwt_authn"
FILTER_TYPE = f"{TYPE}envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"


def build_keys(deployments: tuple[DeploymentRoute, ...], agent_key: dict[str, Any]) -> list[Resource]:
    """Build the filter that checks keys; `agent_key` is the public JWK that measurements are signed with.

    Open deployments have their keys here too: their preview asks for one.
    """
    return [
        {
            "@type": f"{TYPE}envoy.config.core.v3.TypedExtensionConfig",
            "name": FILTER,
            "typed_config": {
                "@type": FILTER_TYPE,
                "providers": {each.audience: _provider(each, agent_key) for each in deployments},
                "requirement_map": {each.audience: {"provider_name": each.audience} for each in deployments},
            },
        }
    ]


def require_key(deployment: DeploymentRoute, *, always: bool = False) -> Resource:
    """Build a route's part: which requirement holds there. One that is not known refuses every request.

    always: also where the deployment is open.
    """
    is_open = deployment.is_open and not always
    return {
        FILTER: {
            "@type": f"{TYPE}envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
            **({"disabled": True} if is_open else {"requirement_name": deployment.audience}),
        }
    }


def _provider(deployment: DeploymentRoute, agent_key: dict[str, Any]) -> Resource:
    return {
        "issuer": ISSUER,
        "audiences": [deployment.audience],
        "require_expiration": True,
        "local_jwks": {"inline_string": json.dumps({"keys": [*deployment.keys, agent_key]})},
        "forward": False,  # a model server never sees a key
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
