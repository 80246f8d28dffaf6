"""A backend whose servers are as a test says: for faults that processes cannot be made to have on time."""

from dataclasses import dataclass, field
from typing import ClassVar

from deployments_app.backends.base import ReleaseSpec, Right, WorkloadStatus
from portal.core.errors import BackendError


@dataclass
class Told:
    """What the servers are told to be: ready at once unless said otherwise."""

    is_ready: bool = True
    reason: str = "warming up"
    log: str = ""
    error: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    exist: dict[str, ReleaseSpec] = field(default_factory=dict)
    never_ready: set[str] = field(default_factory=set)


class ToldBackend:
    told: ClassVar[Told] = Told()

    def apply(self, spec: ReleaseSpec) -> None:
        self._note("apply", spec.key)
        self.told.exist[spec.key] = spec

    def observe(self, key: str) -> WorkloadStatus:
        self._note("observe", key)
        if key not in self.told.exist:
            return WorkloadStatus()
        spec = self.told.exist[key]
        if not self.told.is_ready or key in self.told.never_ready:
            return WorkloadStatus(
                desired=spec.replicas, reason=self.told.reason, log=self.told.log, exists=True
            )
        port = 20_000 + spec.release_number
        return WorkloadStatus(
            desired=spec.replicas, ready=spec.replicas, endpoints=(f"127.0.0.1:{port}",), exists=True
        )

    def remove(self, key: str) -> None:
        self._note("remove", key)
        self.told.exist.pop(key, None)

    def loaded(self) -> list[str]:
        return sorted(self.told.exist)

    def _note(self, call: str, key: str) -> None:
        self.told.calls.append((call, key))
        if self.told.error:
            raise BackendError(self.told.error)


class GuardedToldBackend(ToldBackend):
    """One that has to be allowed what it does, and is not allowed everything."""

    namespace = "prod"

    def list_rights(self) -> list[Right]:
        return [Right("get", "apps", "deployments"), Right("list", "", "pods", is_allowed=False)]

    def role(self, rights: list[Right]) -> str:
        return "\n".join(f"grant {right.verb} {right.resource}" for right in rights)
