"""The gateway's routes: `/{shop}/{deployment}/…` to its arms, by a salted hash of the shopper.

Envoy takes the hash modulo 100 through the arms in order: stable first, so that a growing canary keeps
those whom it has and only takes more. The hash is of `salt:user`, which a regular expression makes from
the URL's `user=` as it stands there (percent-encoding included) or from X-User-Id; the request itself
stays as it is. Envoy cannot decode what it hashes, and callers' libraries differ in what they encode, so
that refusing some spellings would refuse shoppers: one shopper is one arm where all callers spell alike, as
docs/reference/serving.md asks. Whoever says neither goes to an arm at random.
"""

from typing import Any

from deployments_app.gateway_clusters import (
    TYPE,
    Resource,
    arm_cluster,
    is_served,
    probe_cluster,
    shadow_cluster,
)
from deployments_app.gateway_keys import require_key
from deployments_app.gateway_wire import Arm, DeploymentRoute, Routes

ROUTE_CONFIGURATION = "main"
PROBE_HEADER = "x-aisle-probe"
RELEASE_HEADER = "x-aisle-release"  # of a measurement that asks one release
PREVIEW = "preview"
TIMEOUT = "2s"
# A server that has said nothing by then is left: stable is asked too, and the first answer counts.
PATIENCE = "0.3s"
PATIENCE_BATCH = "1.5s"


def build_routes(routes: Routes, probe_mark: str) -> list[Resource]:
    """Build the route table; a request whose x-aisle-probe equals `probe_mark` is a measurement.

    The version rides along as metadata: without it Envoy would take two versions whose routes are alike
    for one, and go on naming the older.
    """
    table: list[Resource] = [{"match": {"path": "/healthz"}, **_answer(200, '{"status":"ok"}')}]
    for deployment in routes.deployments:
        table += _deployment_routes(deployment, probe_mark)
    return [
        {
            "@type": f"{TYPE}envoy.config.route.v3.RouteConfiguration",
            "name": ROUTE_CONFIGURATION,
            "metadata": {"filter_metadata": {"aisle": {"version": routes.version}}},
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "retry_policy": _retry_policy(PATIENCE),
                    "hedge_policy": {"hedge_on_per_try_timeout": True},
                    "routes": table,
                }
            ],
        }
    ]


def _deployment_routes(deployment: DeploymentRoute, probe_mark: str) -> list[Resource]:
    path = f"/{deployment.shop}/{deployment.slug}/"
    guarded = {"typed_per_filter_config": require_key(deployment)}
    previews = _preview_routes(deployment, path)
    if not is_served(deployment):
        return [*previews, {"match": {"prefix": path}, **_answer(503, ""), **guarded}]

    by_user = [_hash_of_path("user", deployment.salt)]
    by_session = [_hash_of_path("session", deployment.salt)]
    by_header = [_hash_of_header("x-user-id", deployment.salt)]
    probe: Resource = {"headers": [_is(PROBE_HEADER, probe_mark)]}
    marked: Resource = {"request_headers_to_add": [_header(PROBE_HEADER, "1")]}

    def has(parameter: str) -> Resource:
        return {"query_parameters": [{"name": parameter, "present_match": True}]}

    batches = {**_to_arms(deployment, by_header), "retry_policy": _retry_policy(PATIENCE_BATCH)}
    cases: list[tuple[Resource, Resource, Resource]] = [
        *_one_release_each(deployment, path, probe, marked),
        ({"prefix": path, **has("user"), **probe}, _to_probed(deployment, by_user), marked),
        ({"prefix": f"{path}v2/"}, batches, {}),
        ({"path": f"{path}recommendations/batch"}, batches, {}),
        ({"prefix": path, **has("user")}, _to_arms(deployment, by_user), {}),
        ({"prefix": path, **has("session")}, _to_arms(deployment, by_session), {}),
        ({"prefix": path}, _to_arms(deployment, by_header), {}),
    ]
    return [
        *previews,
        *({"match": match, "route": action, **extra, **guarded} for match, action, extra in cases),
    ]


def _preview_routes(deployment: DeploymentRoute, path: str) -> list[Resource]:
    """Lead the preview address to its release, with a key in any case; who looks is no shopper."""
    arm = next((each for each in deployment.arms if each.release_id == deployment.preview), None)
    if arm is None:
        return []
    headers = [*_told(deployment, arm.release_id, PREVIEW), _header(PROBE_HEADER, "1")]
    return [
        {
            "match": {"prefix": f"{path}{PREVIEW}/"},
            "route": {**_to_one(arm.release_id), "prefix_rewrite": path},
            "request_headers_to_add": headers,
            "typed_per_filter_config": require_key(deployment, always=True),
        }
    ]


def _one_release_each(
    deployment: DeploymentRoute, path: str, probe: Resource, marked: Resource
) -> list[tuple[Resource, Resource, Resource]]:
    """Lead a measurement to the release that it names: the two that a shadow is about."""
    if deployment.shadow is None:
        return []
    return [
        (
            {"prefix": path, "headers": [*probe["headers"], _is(RELEASE_HEADER, release)]},
            _to_one(release),
            {
                "request_headers_to_add": [
                    *marked["request_headers_to_add"],
                    *_told(deployment, release, "compared"),
                ]
            },
        )
        for release in (deployment.stable, deployment.shadow.release_id)
        if release is not None
    ]


def _to_one(release: str) -> Resource:
    return {"cluster": probe_cluster(release, release), "timeout": TIMEOUT}


def _mirrors(deployment: DeploymentRoute) -> Resource:
    """Send a copy of a share of requests to the shadow; Envoy drops what it answers."""
    shadow = deployment.shadow
    if shadow is None:
        return {}
    share = {"numerator": shadow.mirror_pct, "denominator": "HUNDRED"}
    told = _told(deployment, shadow.release_id, "shadow")
    return {
        "request_mirror_policies": [
            {
                "cluster": shadow_cluster(shadow.release_id),
                "runtime_fraction": {"default_value": share},
                "trace_sampled": False,
                "disable_shadow_host_suffix_append": True,
                "request_headers_mutations": [{"append": each} for each in told],
            }
        ]
    }


def _to_probed(deployment: DeploymentRoute, hash_policy: list[Resource]) -> Resource:
    """Lead probes where shoppers go or, in a rehearsal, where a rollback would lead them."""
    if deployment.rehearsal is not None:
        return _to_one(deployment.rehearsal)
    return _to_arms(deployment, hash_policy, probe=True)


def _to_arms(deployment: DeploymentRoute, hash_policy: list[Resource], *, probe: bool = False) -> Resource:
    return {
        "weighted_clusters": {
            "clusters": [_weighted(deployment, arm, probe) for arm in _arms_in_order(deployment)],
            "use_hash_policy": True,
        },
        "hash_policy": hash_policy,
        "timeout": TIMEOUT,
        **({} if probe else _mirrors(deployment)),
    }


def _retry_policy(patience: str) -> Resource:
    """Try once more, at the next of the arm's list, when nothing was heard, or a 503."""
    priorities = f"{TYPE}envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    hosts = f"{TYPE}envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    return {
        "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
        "retriable_status_codes": [503],
        "num_retries": 1,
        "per_try_timeout": patience,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {"@type": priorities, "update_frequency": 1},
        },
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {"@type": hosts}}
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _arms_in_order(deployment: DeploymentRoute) -> list[Arm]:
    """Order the arms that take traffic: stable first, then by number; without weights stable takes all."""
    weighted = [arm for arm in deployment.arms if arm.weight_pct]
    arms = weighted or [arm for arm in deployment.arms if arm.release_id == deployment.stable]
    return sorted(arms, key=lambda arm: (arm.release_id != deployment.stable, arm.number))


def _weighted(deployment: DeploymentRoute, arm: Arm, probe: bool) -> Resource:
    name_cluster = probe_cluster if probe else arm_cluster
    return {
        "name": name_cluster(arm.release_id, deployment.stable or arm.release_id),
        "weight": arm.weight_pct or 100,
        "request_headers_to_add": _told(deployment, arm.release_id, arm.variant),
    }


def _told(deployment: DeploymentRoute, release: str, variant: str) -> list[Resource]:
    """Tell a model server for which arm it answers."""
    return [
        _header("x-aisle-arm", release),
        _header("x-aisle-variant", variant),
        _header("x-aisle-deployment", deployment.id),
    ]


def _hash_of_path(parameter: str, salt: str) -> Resource:
    regex = rf"^[^?]*\?(?:.*?&)?{parameter}=([^&]*).*$"
    return _hash(":path", regex, salt)


def _hash_of_header(name: str, salt: str) -> Resource:
    return _hash(name, r"^(.*)$", salt)


def _hash(header: str, regex: str, salt: str) -> Resource:
    rewrite = {"pattern": {"regex": regex}, "substitution": rf"{salt}:\1"}
    return {"header": {"header_name": header, "regex_rewrite": rewrite}}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _is(name: str, value: str) -> Resource:
    return {"name": name, "string_match": {"exact": value}}


def _answer(status: int, body: str) -> Resource:
    return {"direct_response": {"status": status, **({"body": {"inline_string": body}} if body else {})}}
