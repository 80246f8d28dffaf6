"""What the portal and the agents beside the gateways say to each other: types and their JSON.

Both sides import this module: the portal builds `Routes` and reads `Report`, an agent the reverse.
Everything from the wire is checked here, so that neither side has to look twice.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

SLUG = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
SALT = re.compile(r"[A-Za-z0-9_.-]{0,128}\Z")  # empty before the first rollout
ENDPOINT = re.compile(r"(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})\Z")
PRIVATE_JWK_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
VARIANTS = ("stable", "canary")


class WireError(ValueError):
    """What arrived is not what was agreed; the message names the member."""


@dataclass(frozen=True)
class Arm:
    """One release's part of a deployment's traffic; weight 0 keeps it warm in Envoy."""

    release_id: str
    number: int
    weight_pct: int
    variant: str  # "stable" or "canary"
    endpoints: tuple[str, ...]  # "host:port" of ready model servers


@dataclass(frozen=True)
class Watch:
    """A rollback whose effect an agent is to measure by asking its own gateway."""

    rollout_id: str
    received_at: str  # RFC 3339, by the portal's clock: when the click arrived
    from_release: str
    to_release: str


@dataclass(frozen=True)
class Shadow:
    """A release that gets a copy of a share of requests; nobody sees its answers.

    An agent also asks it and stable for the same shoppers, and reports how their lists differ.
    """

    rollout_id: str
    release_id: str
    mirror_pct: int


@dataclass(frozen=True)
class DeploymentRoute:
    """Where `/{shop}/{slug}/…` leads; `stable` is the release that answers when an arm fails.

    preview: the release that `/{shop}/{slug}/preview/…` leads to, always with a key.
    rehearsal: where the gateways' own probes are led for a few seconds, as after a rollback.
    """

    id: str
    shop: str
    slug: str
    salt: str
    arms: tuple[Arm, ...]
    stable: str | None
    keys: tuple[dict[str, Any], ...] = ()  # public JWKs, one `kid` each
    is_open: bool = False  # needs no key
    watch: Watch | None = None
    preview: str | None = None
    shadow: Shadow | None = None
    rehearsal: str | None = None

    @property
    def audience(self) -> str:
        """Name the audience that a serving key of this deployment must carry."""
        return f"{self.shop}/{self.slug}"


@dataclass(frozen=True)
class Routes:
    """All that one environment's gateways have to know; `version` is a hash of it."""

    environment: str
    version: str
    deployments: tuple[DeploymentRoute, ...]

    @classmethod
    def of(cls, environment: str, deployments: tuple[DeploymentRoute, ...]) -> "Routes":
        """Build routes with the version that their content gives, whatever order they came in."""
        ordered = tuple(sorted(deployments, key=lambda deployment: deployment.id))
        content = json.dumps([_deployment_json(each) for each in ordered], sort_keys=True)
        digest = hashlib.sha256(f"{environment}\n{content}".encode()).hexdigest()[:20]
        return cls(environment, digest, ordered)


def routes_to_json(routes: Routes, now: datetime) -> dict[str, Any]:
    """Write routes for the wire; `now` is the portal's clock, which agents take their offset from."""
    return {
        "environment": routes.environment,
        "version": routes.version,
        "now": now.astimezone(UTC).isoformat(),
        "deployments": [_deployment_json(deployment) for deployment in routes.deployments],
    }


def routes_from_json(data: object) -> tuple[Routes, datetime]:
    """Read routes and the portal's clock from the wire.

    Members that are not known are passed over, so that a newer portal can speak to an older agent.
    Raises WireError naming the first member that is missing or wrong.
    """
    top = read_object(data, "routes")
    deployments = tuple(
        _deployment(each, f"deployments[{index}]")
        for index, each in enumerate(read_list(top, "deployments", "routes"))
    )
    for what, seen in (
        ("id", [each.id for each in deployments]),
        ("address", [each.audience for each in deployments]),
        ("release", [arm.release_id for each in deployments for arm in each.arms]),
    ):
        if len(set(seen)) != len(seen):
            raise WireError(f"routes: the same {what} appears twice")
    routes = Routes(
        read_text(top, "environment", "routes", IDENTIFIER),
        read_text(top, "version", "routes", IDENTIFIER),
        deployments,
    )
    return routes, parse_time(read_text(top, "now", "routes"), "routes.now")


def parse_time(value: str, where: str) -> datetime:
    """Read an RFC 3339 time with an offset. Raises WireError."""
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError as error:
        raise WireError(f"{where}: {value[:40]!r} is not a time") from error
    if moment.tzinfo is None:
        raise WireError(f"{where}: the time has no offset from UTC")
    return moment


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Split "host:port", "[::1]:port" too. Raises WireError."""
    match = ENDPOINT.match(endpoint)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise WireError(f"{endpoint[:80]!r} is not host:port")
    return match["host"].strip("[]"), int(match["port"])


def _deployment_json(deployment: DeploymentRoute) -> dict[str, Any]:
    watch = deployment.watch
    return {
        "id": deployment.id,
        "shop": deployment.shop,
        "slug": deployment.slug,
        "salt": deployment.salt,
        "stable": deployment.stable,
        "is_open": deployment.is_open,
        "keys": list(deployment.keys),
        "arms": [
            {
                "release_id": arm.release_id,
                "number": arm.number,
                "weight_pct": arm.weight_pct,
                "variant": arm.variant,
                "endpoints": list(arm.endpoints),
            }
            for arm in deployment.arms
        ],
        "watch": None
        if watch is None
        else {
            "rollout_id": watch.rollout_id,
            "received_at": watch.received_at,
            "from_release": watch.from_release,
            "to_release": watch.to_release,
        },
        "preview": deployment.preview,
        "rehearsal": deployment.rehearsal,
        "shadow": None if deployment.shadow is None else asdict(deployment.shadow),
    }


def _deployment(data: object, where: str) -> DeploymentRoute:
    own = read_object(data, where)
    arms = tuple(
        _arm(each, f"{where}.arms[{index}]") for index, each in enumerate(read_list(own, "arms", where))
    )
    known = {arm.release_id for arm in arms}
    stable, preview, rehearsal = (
        _one_of_the_arms(own, name, where, known) for name in ("stable", "preview", "rehearsal")
    )
    if arms and sum(arm.weight_pct for arm in arms) not in (0, 100):
        raise WireError(f"{where}.arms: the weights add up to neither 100 nor 0")
    keys = tuple(
        _key(each, f"{where}.keys[{index}]") for index, each in enumerate(read_list(own, "keys", where))
    )
    if len({key["kid"] for key in keys}) != len(keys):
        raise WireError(f"{where}.keys: the same kid appears twice")
    return DeploymentRoute(
        id=read_text(own, "id", where, IDENTIFIER),
        shop=read_text(own, "shop", where, SLUG),
        slug=read_text(own, "slug", where, SLUG),
        salt=read_text(own, "salt", where, SALT),
        arms=arms,
        stable=stable,
        keys=keys,
        is_open=read_typed(own, "is_open", bool, where),
        watch=None if own.get("watch") is None else _watch(own["watch"], f"{where}.watch"),
        preview=preview,
        rehearsal=rehearsal,
        shadow=None if own.get("shadow") is None else _shadow(own["shadow"], f"{where}.shadow", known),
    )


def _one_of_the_arms(own: dict[str, Any], name: str, where: str, known: set[str]) -> str | None:
    if own.get(name) is None:
        return None
    release = read_text(own, name, where, IDENTIFIER)
    if release not in known:
        raise WireError(f"{where}.{name}: {release} is not one of the arms")
    return release


def _shadow(data: object, where: str, known: set[str]) -> Shadow:
    own = read_object(data, where)
    mirror_pct = read_typed(own, "mirror_pct", int, where)
    if not 1 <= mirror_pct <= 100:
        raise WireError(f"{where}.mirror_pct: {mirror_pct} is not between 1 and 100")
    release = _one_of_the_arms(own, "release_id", where, known)
    if release is None:
        raise WireError(f"{where}.release_id: not str")
    return Shadow(read_text(own, "rollout_id", where, IDENTIFIER), release, mirror_pct)


def _arm(data: object, where: str) -> Arm:
    own = read_object(data, where)
    weight, variant = read_typed(own, "weight_pct", int, where), read_text(own, "variant", where)
    if not 0 <= weight <= 100:
        raise WireError(f"{where}.weight_pct: {weight} is not between 0 and 100")
    if variant not in VARIANTS:
        raise WireError(f"{where}.variant: {variant[:40]!r} is neither stable nor canary")
    endpoints = tuple(str(each) for each in read_list(own, "endpoints", where))
    for endpoint in endpoints:
        split_endpoint(endpoint)
    release_id = read_text(own, "release_id", where, IDENTIFIER)
    return Arm(release_id, read_typed(own, "number", int, where), weight, variant, endpoints)


def _watch(data: object, where: str) -> Watch:
    own = read_object(data, where)
    received_at = read_text(own, "received_at", where)
    parse_time(received_at, f"{where}.received_at")
    return Watch(
        read_text(own, "rollout_id", where, IDENTIFIER),
        received_at,
        read_text(own, "from_release", where, IDENTIFIER),
        read_text(own, "to_release", where, IDENTIFIER),
    )


def _key(data: object, where: str) -> dict[str, Any]:
    jwk = read_object(data, where)
    if PRIVATE_JWK_MEMBERS & jwk.keys():
        raise WireError(f"{where}: holds a private key; only public keys may travel")
    read_text(jwk, "kid", where, IDENTIFIER)
    if jwk.get("kty") not in ("OKP", "EC"):
        raise WireError(f"{where}.kty: neither OKP nor EC")
    return dict(jwk)


def read_object(data: object, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise WireError(f"{where}: not an object")
    return data


def read_list(own: dict[str, Any], name: str, where: str) -> list[Any]:
    value = own.get(name)
    if not isinstance(value, list):
        raise WireError(f"{where}.{name}: not a list")
    return value


def read_typed(own: dict[str, Any], name: str, kind: type, where: str) -> Any:
    value = own.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WireError(f"{where}.{name}: not {kind.__name__}")
    return value


def read_text(own: dict[str, Any], name: str, where: str, pattern: re.Pattern[str] | None = None) -> str:
    value: str = read_typed(own, name, str, where)
    if pattern is not None and pattern.match(value) is None:
        raise WireError(f"{where}.{name}: {value[:80]!r} has characters or a length that are not allowed")
    return value
