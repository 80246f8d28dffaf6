"""What a service raises: a sentence for the person, attributes for the code."""

from typing import Any


class PortalError(Exception):
    """A refusal with an HTTP status, a stable code and a remedy in its sentence."""

    status = 400
    code = "invalid"
    title = "This cannot be done"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.errors = errors or []
        self.extra = extra
        self.headers: dict[str, str] = {}


class InvalidInput(PortalError):
    code = "invalid_input"
    title = "Something in the request is not right"


class NotPermitted(PortalError):
    status = 403
    code = "not_permitted"
    title = "You may not do this"


class NotFound(PortalError):
    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(PortalError):
    status = 409
    code = "conflict"
    title = "This does not fit the present state"


class InvalidTransition(Conflict):
    """The object is in a status from which this step does not exist."""

    code = "invalid_transition"


class StaleState(Conflict):
    """Somebody else changed the object first."""

    code = "stale_state"


class StaleVersion(PortalError):
    """`If-Match` names a version that is no longer the newest."""

    status = 412
    code = "stale_version"
    title = "Changed since you read it"


class TooLarge(PortalError):
    status = 413
    code = "too_large"
    title = "Too large"


class Unprocessable(PortalError):
    status = 422
    code = "unprocessable"
    title = "Understood, but refused"


class LeaseLost(PortalError):
    """Another worker owns the row now; what this one did must not count."""

    status = 409
    code = "lease_lost"


class Canceled(PortalError):
    """Somebody asked this job to stop."""

    status = 409
    code = "canceled"


class BackendError(PortalError):
    """Something outside failed: a cluster, a process, a store."""

    status = 502
    code = "backend_error"
    title = "Something Aisle depends on did not answer"

    def __init__(self, detail: str, *, retryable: bool = True, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retryable = retryable


class StorageFull(PortalError):
    status = 507
    code = "storage_full"
    title = "The storage is full"
