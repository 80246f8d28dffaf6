"""Supervisor: it keeps the stack's processes alive and rotates their logs.

We write its configuration, start it as a daemon and speak to it over its own Unix socket.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from deployments_app.backends.local_process import ProcessId
from portal.stack.errors import StackFailed
from portal.stack.home import CODE_DIR, StackHome
from portal.stack.programs import Program, log_file, shared_environment

RUNNING = "RUNNING"
STOP_S = 40.0  # PostgreSQL has 20 s, the others 10


class Supervisor:
    """The supervisor of one stack, running or not."""

    def __init__(self, home: StackHome) -> None:
        self.home = home
        self.config = home.run / "supervisord.conf"

    @property
    def server_url(self) -> str:
        """Return what its children find in their environment as SUPERVISOR_SERVER_URL."""
        return f"unix://{self.home.supervisor_socket}"

    def call(self, method: str, *arguments: Any) -> Any:
        """Call one method of its XML-RPC interface; raises OSError when it does not run."""
        transport = SupervisorTransport(None, None, self.server_url)
        try:
            proxy: Any = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            for name in ("supervisor", *method.split(".")):
                proxy = getattr(proxy, name)
            return proxy(*arguments)
        finally:
            transport.close()

    def is_running(self) -> bool:
        """Tell whether it answers."""
        try:
            return bool(self.call("getState")["statename"] == RUNNING)
        except (OSError, HTTPException, xmlrpc.client.Error):
            return False

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what it knows of each program, by name."""
        return {info["name"]: info for info in self.call("getAllProcessInfo")}

    def start(self, servers: list[Program], application: list[Program], *, deadline: float) -> None:
        """Write the configuration and start it with the servers; the application waits for `start_group`."""
        self.config.write_text(configuration(self.home, self.home.supervisor_socket, servers, application))
        self.config.chmod(0o600)
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "PYTEST", "COVERAGE"))
        }
        started = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(self.config)],
            cwd=CODE_DIR, env=environment | shared_environment(self.home),
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        if started.returncode != 0:
            raise StackFailed(f"supervisord does not start:\n{started.stdout}{started.stderr}")
        while not self.is_running():
            if time.monotonic() > deadline:
                raise StackFailed(
                    f"supervisord does not answer. Its log: {log_file(self.home, 'supervisord')}"
                )
            time.sleep(0.02)

    def start_group(self, name: str) -> None:
        """Start all programs of a group without waiting for them."""
        self.call("startProcessGroup", name, False)

    def process(self) -> ProcessId | None:
        """Return its process, if it lives: also while it stops, when it no longer answers."""
        try:
            process = ProcessId.find(int((self.home.run / "supervisord.pid").read_text()))
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes() if process else b""
        except (OSError, ValueError):
            return None
        return process if os.fsencode(self.config) in command else None

    def stop(self) -> None:
        """Stop all programs and then itself; returns when it is gone."""
        process = self.process()
        if process is None:
            return
        with contextlib.suppress(OSError, HTTPException, xmlrpc.client.Error):
            self.call("shutdown")
        deadline = time.monotonic() + STOP_S
        while process.is_alive():
            if time.monotonic() > deadline:
                os.kill(process.pid, signal.SIGKILL)  # what it leaves behind is found and ended
            time.sleep(0.05)


def configuration(home: StackHome, socket: Path, servers: list[Program], application: list[Program]) -> str:
    """Return supervisord's configuration file."""
    lines = [
        "[unix_http_server]",
        f"file={_value(socket)}",
        "chmod=0600",
        "[supervisord]",
        f"logfile={_value(log_file(home, 'supervisord'))}",
        "logfile_maxbytes=5MB",
        "logfile_backups=2",
        f"pidfile={_value(home.run / 'supervisord.pid')}",
        f"directory={_value(CODE_DIR)}",
        "umask=077",
        "nocleanup=true",
        *(["user=root"] if os.geteuid() == 0 else []),
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    # Groups stop in the reverse order of their priority: the servers last.
    for group, programs, priority in (("servers", servers, 10), ("application", application, 20)):
        if programs:
            names = ",".join(program.name for program in programs)
            lines += [f"[group:{group}]", f"programs={names}", f"priority={priority}"]
        for program in programs:
            lines += _section(home, program, autostart=group == "servers")
    return "\n".join(lines) + "\n"


def _section(home: StackHome, program: Program, *, autostart: bool) -> list[str]:
    environment = ",".join(f'{name}="{_value(value)}"' for name, value in program.environment.items())
    return [
        f"[program:{program.name}]",
        f"command={_value(shlex.join(program.command))}",
        *([f"user={program.user}"] if program.user else []),
        *([f"environment={environment}"] if environment else []),
        f"autostart={str(autostart).lower()}",
        "autorestart=true",
        "startsecs=1",
        "startretries=20",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_wait_s}",
        "killasgroup=true",  # a worker's pool processes; model servers have a session of their own
        "redirect_stderr=true",
        f"stdout_logfile={_value(log_file(home, program.name))}",
        "stdout_logfile_maxbytes=10MB",
        "stdout_logfile_backups=3",
    ]


def _value(text: str | Path) -> str:
    """Escape what supervisord would expand."""
    return str(text).replace("%", "%%")
