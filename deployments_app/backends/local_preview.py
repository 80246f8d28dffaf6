"""What a local server would be started by, beside what the live release's was started by."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deployments_app.backends.local_process import ProcessId


def planned(command: Sequence[str], config: dict[str, Any], servers: int) -> dict[str, Any]:
    """Describe servers that are not there yet; each takes a port that is free then."""
    settings = {**config, "port": "a free one"}
    return {"servers": servers, "command": _shown([*command]), "settings": _shown(settings)}


def running(folders: Sequence[Path], processes: Sequence[ProcessId | None]) -> dict[str, Any] | None:
    """Describe the servers of these folders by the first one's files and process; None when none is there."""
    if not folders:
        return None
    try:
        settings = json.loads((folders[0] / "config.json").read_text())
    except (OSError, ValueError):
        settings = {}
    command = processes[0].command() if processes[0] is not None else []
    return {"servers": len(folders), "command": _shown(command), "settings": _shown(settings)}


def _shown(value: Any) -> Any:
    """Shorten paths to their last part: where this machine keeps things is nobody's business on a page."""
    if isinstance(value, dict):
        return {name: _shown(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value
