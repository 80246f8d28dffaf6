"""What Aisle's account may do where an environment runs, and what an administrator has to grant."""

from dataclasses import dataclass

from deployments_app.backends.base import GuardedBackend, Right
from deployments_app.models import Environment
from deployments_app.services.workloads import backend_for
from portal.core.actors import Actor
from portal.core.errors import BackendError
from portal.core.models import Shop
from portal.core.permissions import authorize


@dataclass(frozen=True)
class Access:
    """rights: one a verb and kind of object; role: the Role that grants what is missing, or all.

    problem: why nothing could be asked. An environment of local servers needs no rights.
    """

    rights: tuple[Right, ...] = ()
    role: str = ""
    problem: str = ""

    @property
    def missing(self) -> list[Right]:
        return [right for right in self.rights if not right.is_allowed]

    @property
    def verbs(self) -> list[str]:
        return list(dict.fromkeys(right.verb for right in self.rights))

    @property
    def table(self) -> list[tuple[str, str, list[bool | None]]]:
        """Lay the rights out as group, resource, and one answer a verb: None where it is not needed."""
        found = {(right.group, right.resource, right.verb): right.is_allowed for right in self.rights}
        kinds = dict.fromkeys((right.group, right.resource) for right in self.rights)
        return [(*kind, [found.get((*kind, verb)) for verb in self.verbs]) for kind in kinds]


def check_access(actor: Actor, shop: Shop, environment: Environment) -> Access:
    """Ask the cluster of an environment what Aisle may do there."""
    authorize(actor, "rollouts.read", shop)
    try:
        backend = backend_for(environment)
        if not isinstance(backend, GuardedBackend):
            return Access()
        rights = backend.list_rights()
    except BackendError as error:
        return Access(problem=error.detail)
    return Access(tuple(rights), backend.role([right for right in rights if not right.is_allowed]))
