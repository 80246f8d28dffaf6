"""The stack's folder, and the ports and secrets chosen for it once.

`stack.json` (mode 0600) holds two kinds of value: what this package needs to start the servers (ports,
the database's passwords) and settings under the names that `portal.settings` reads.
"""

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from portal.stack.errors import StackFailed
from portal.stack.ports import LOOPBACK, choose_port, is_free

CODE_DIR = Path(__file__).resolve().parent.parent.parent
SOCKET_PATH_MAX_BYTES = 90  # the kernel allows 107; supervisord binds a temporary name that is longer
PREFERRED_PORTS = {
    "WEB_PORT": 8000,
    "GATEWAY_PORT": 8080,
    "GATEWAY_ADMIN_PORT": None,
    "POSTGRES_PORT": None,
    "REDIS_PORT": None,
}
SECRETS = ("SECRET_KEY", "AGENT_TOKEN", "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "REDIS_PASSWORD")


@dataclass
class StackHome:
    """One stack's folder: where everything lives, and what was chosen for it."""

    path: Path
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def default(cls) -> "StackHome":
        """Return `$AISLE_HOME`, or `var/` beside the code, with what was chosen earlier."""
        home = cls(Path(os.environ.get("AISLE_HOME", CODE_DIR / "var")).resolve())
        home.load()
        return home

    @property
    def file(self) -> Path:
        return self.path / "stack.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def gateway(self) -> Path:
        return self.path / "gateway"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def supervisor_socket(self) -> Path:
        """Return a short enough path for the supervisor's socket: in the folder, else in a temporary one."""
        path = self.run / "supervisor.sock"
        name = "aisle-" + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        for folder in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - ours alone: see prepare
            if len(os.fsencode(path)) > SOCKET_PATH_MAX_BYTES:
                path = Path(folder) / name / "s"
        return path

    def load(self) -> None:
        """Read what was chosen earlier, if anything was."""
        if self.file.exists():
            self.values = json.loads(self.file.read_text())

    def prepare(self) -> None:
        """Make the folders, and choose what has not been chosen yet: secrets, ports, addresses."""
        # As root, PostgreSQL runs as a user of its own and must be able to pass through.
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (
            self.logs,
            self.run,
            self.gateway,
            self.path / "static",
            self.path / "storage" / "tmp",
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        short = self.supervisor_socket.parent
        short.mkdir(mode=0o700, exist_ok=True)
        if short.stat().st_uid != os.geteuid():
            raise StackFailed(f"{short} belongs to someone else; set TMPDIR to a folder of your own.")
        for name in SECRETS:
            self.values.setdefault(name, secrets.token_urlsafe(48 if name == "SECRET_KEY" else 24))
        for name, preferred in PREFERRED_PORTS.items():
            if name not in self.values:
                self._choose_port(name, preferred)
        self._write()

    def replace_taken_ports(self) -> list[str]:
        """Choose another port where someone else took ours; returns a sentence for each."""
        changes = []
        for name in PREFERRED_PORTS:
            old = self.values[name]
            if not is_free(int(old)):
                self._choose_port(name, None)
                changes.append(f"Port {old} is in use by another program; {name} is now {self.values[name]}.")
        if changes:
            self._write()
        return changes

    def remove_socket_folder(self) -> None:
        """Remove the supervisor's socket, and its folder where that is a temporary one."""
        self.supervisor_socket.unlink(missing_ok=True)
        if self.supervisor_socket.parent != self.run and self.supervisor_socket.parent.exists():
            self.supervisor_socket.parent.rmdir()

    def _choose_port(self, name: str, preferred: int | None) -> None:
        taken = {int(self.values[other]) for other in PREFERRED_PORTS if other in self.values}
        self.values[name] = str(choose_port(preferred, taken=taken))

    def _write(self) -> None:
        values = self.values
        values["DATABASE_URL"] = (
            f"postgresql://aisle:{values['DATABASE_PASSWORD']}@{LOOPBACK}:{values['POSTGRES_PORT']}/aisle"
        )
        values["REDIS_URL"] = f"redis://:{values['REDIS_PASSWORD']}@{LOOPBACK}:{values['REDIS_PORT']}/0"
        values["PUBLIC_URL"] = values["PORTAL_URL"] = f"http://{LOOPBACK}:{values['WEB_PORT']}"
        values["GATEWAY_URL"] = f"http://{LOOPBACK}:{values['GATEWAY_PORT']}"
        values["GATEWAY_ADMIN_URL"] = f"http://{LOOPBACK}:{values['GATEWAY_ADMIN_PORT']}"
        aside = self.file.with_suffix(".partial")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            json.dump(values, handle, indent=1, sort_keys=True)
            handle.flush()
            os.fsync(handle.fileno())
        aside.rename(self.file)
