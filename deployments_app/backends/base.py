"""What a deployment backend is: it runs model servers of releases, from plain specs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

ReleaseKey = str  # the release's id


@dataclass(frozen=True)
class Autoscale:
    """More servers under load: at most so many, when they use more than this share of what they ask for.

    calm_s: how long the load must have been lower before one goes.
    """

    max_replicas: int
    cpu_pct: int = 70
    calm_s: int = 300


@dataclass(frozen=True)
class ReleaseSpec:
    """Everything a backend needs to run one release's servers.

    artifact: the folder with the model's files; digest: what its manifest must hash to.
    memory_mb, cpu_s: what each server may use (`plan_rules.Servers`); 0 is the backend's own limit, or none.
    signing_key: good only for this release's recommendation ids; it reaches the servers as a private file.
    artifact_url: where servers on other machines fetch the artifact; it opens this one and no other.
    environment: whose gateways may ask the servers, and keep their artifact.
    replicas: how many servers; with `autoscale`, how many at least. change_request: who asked for it.
    """

    key: ReleaseKey
    artifact: Path
    digest: str
    release_number: int
    deployment_id: str
    shop: str
    model: str
    model_version: int
    algorithm: str
    signing_key: str = field(repr=False)
    replicas: int = 1
    autoscale: Autoscale | None = None
    artifact_url: str = field(default="", repr=False)
    environment: str = ""
    change_request: str = ""
    memory_mb: int = 0
    cpu_s: int = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What a server is told of its release, wherever it runs (`engine.serving.config`)."""
        return {
            "release_id": self.key,
            "digest": self.digest,
            "release_number": self.release_number,
            "deployment_id": self.deployment_id,
            "shop": self.shop,
            "model": self.model,
            "model_version": self.model_version,
            "algorithm": self.algorithm,
        }


@dataclass(frozen=True)
class WorkloadStatus:
    """What the backend last saw of one release's servers.

    reason: why not all of them are ready, in words a shop owner can read; empty when they are.
    exists: something of it is still there, if only a process that is about to end.
    service: "name:port" that leads to all ready servers and is kept current without us, if there is one.
    log: the last lines of a server that ended by itself (`last_words`), while not all of them are ready.
    """

    desired: int = 0
    ready: int = 0
    endpoints: tuple[str, ...] = ()  # "host:port" of ready servers
    reason: str = ""
    restarts: int = 0
    exists: bool = False
    service: str = ""
    log: str = ""

    @property
    def is_ready(self) -> bool:
        return self.desired > 0 and self.ready >= self.desired


@dataclass(frozen=True)
class GatewaySpec:
    """Everything a backend needs to run one environment's gateways.

    portal_url: where their agents ask for routes; token: what they show there, good for this environment.
    routes: the present routes, as the portal would tell them; kept for a gateway that cannot ask it.
    """

    key: str  # the environment's id
    portal_url: str
    token: str = field(repr=False)
    replicas: int = 2
    routes: str = field(default="", repr=False)


@dataclass(frozen=True)
class GatewayStatus:
    """What the backend last saw of an environment's gateways; `address` is where shoppers' requests go."""

    desired: int = 0
    ready: int = 0
    reason: str = ""
    address: str = ""
    exists: bool = False

    @property
    def is_ready(self) -> bool:
        return self.desired > 0 and self.ready >= self.desired


@runtime_checkable
class GatewayBackend(Protocol):
    """A backend whose environments have gateways of their own. Idempotent and fast, like the others."""

    def apply_gateway(self, spec: GatewaySpec) -> None:
        """Make them exist; twice changes nothing."""

    def observe_gateway(self, key: str) -> GatewayStatus:
        """Look at them."""

    def remove_gateway(self, key: str) -> None:
        """Make them go; call again until `exists` is false."""


@dataclass(frozen=True)
class Right:
    """One thing that a backend's account may do, or may not."""

    verb: str
    group: str
    resource: str
    is_allowed: bool = True


@runtime_checkable
class GuardedBackend(Protocol):
    """A backend whose account has to be allowed what it does."""

    namespace: str

    def list_rights(self) -> list[Right]:
        """Ask for every right that it needs whether it has it."""

    def role(self, rights: list[Right]) -> str:
        """Write what an administrator applies so that these rights are there, as YAML; all when empty."""


class DeploymentBackend(Protocol):
    """Runs model servers. Idempotent, returns fast, never touches the database.

    Raises BackendError when what it depends on does not answer; the caller tries again later.
    """

    def apply(self, spec: ReleaseSpec) -> None:
        """Make it exist; twice changes nothing."""

    def observe(self, key: ReleaseKey) -> WorkloadStatus:
        """Look at it; an unknown release is a status with `exists` false."""

    def remove(self, key: ReleaseKey) -> None:
        """Make it go; gone or already gone: both fine. Call again until `exists` is false."""

    def loaded(self) -> list[ReleaseKey]:
        """List the releases of which anything exists, so that forgotten ones can be removed."""


@dataclass(frozen=True)
class Change:
    """One thing that a backend would make for a release, compared with what the live one has of it.

    act: make (the live one has nothing like it), change, keep (the same but for its name), remove (the new
    one has nothing like it). diff: a unified diff; all its lines are new where nothing is live.
    """

    what: str
    act: str
    diff: str = ""


@dataclass(frozen=True)
class Preview:
    """What `apply` would do. problem: why it would be refused, in words; empty when it would not.

    is_tried: whoever would run it has checked all of it as if it were applied.
    """

    changes: tuple[Change, ...] = ()
    problem: str = ""
    is_tried: bool = False


@runtime_checkable
class PreviewingBackend(Protocol):
    """A backend that can say beforehand, without doing it, what `apply` would do. No backend has to."""

    def preview(self, spec: ReleaseSpec, live: ReleaseSpec | None = None) -> Preview:
        """Say what would differ from what the live release has. Raises BackendError like the others."""
