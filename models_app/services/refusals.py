"""What the engine refuses, said in the portal's errors."""

from typing import Any

from engine.parameters import ConfigError
from engine.refusals import FileRefused, FileTooLarge, Problem, WrongFileType
from portal.core.errors import InvalidInput, PortalError, TooLarge, Unprocessable


class UnsupportedFile(PortalError):
    status = 415
    code = "unsupported_file"
    title = "This kind of file cannot be read"


def refused_file(error: FileRefused, pointer: str = "/file") -> PortalError:
    """Make the answer to an upload that was refused while it arrived: 413, 415 or 422."""
    kind: type[PortalError] = Unprocessable
    if isinstance(error, FileTooLarge):
        kind = TooLarge
    elif isinstance(error, WrongFileType):
        kind = UnsupportedFile
    return kind(f"{error.detail} {error.hint}", code=error.code, errors=[listed(error.as_problem(), pointer)])


def listed(problem: Problem, pointer: str = "/file") -> dict[str, Any]:
    """Give one problem the shape of an entry of `errors`."""
    return {"pointer": pointer, **problem.to_dict()}


def refused_config(error: ConfigError, pointer: str) -> list[dict[str, Any]]:
    """List what is wrong with an algorithm's settings, each pointing at its field."""
    return [
        {"pointer": f"{pointer}/{name}", "code": "invalid", "detail": sentence}
        for name, sentence in error.problems.items()
    ]


def invalid(pointer: str, detail: str, *, code: str = "invalid") -> InvalidInput:
    """Refuse one field of a request."""
    return InvalidInput(detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])
