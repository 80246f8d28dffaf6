"""The servers that tests share: PostgreSQL and Redis from the wheels, unless the environment names others.

Addresses are chosen, and put into the environment, before Django reads its settings; the servers start
only when a collected test needs them, so `pytest engine` starts none.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from portal.stack.home import CODE_DIR
from portal.stack.ports import LOOPBACK, choose_port
from tests.keeper import PASSWORD

# What a stack or the settings would read; a stack of its own must not inherit the test session's.
OWN_SETTINGS = (
    "AISLE_HOME",
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "AGENT_TOKEN",
    "DJANGO_SETTINGS_MODULE",
)

# Names a second session of tests at the same time, so that both can use the same servers, if some are given.
SESSION = os.environ.get("AISLE_TEST_SESSION", "")
REDIS_DATABASES = 16


class Keeper:
    """A child process that keeps servers alive until `close`, or until this process is gone."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.keeper", *arguments],
            cwd=CODE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        """Wait for its word; raises RuntimeError with what it said instead."""
        assert self.process.stdout is not None
        first = self.process.stdout.readline()
        if first.strip() != "ready":
            rest = self.process.stdout.read()
            self.close()
            raise RuntimeError(f"The servers for the tests did not start: {first}{rest}")

    def close(self) -> None:
        """Stop what it keeps; returns when all is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


class SharedServers:
    """PostgreSQL, Redis and a folder for one test session; workers of pytest-xdist share the servers."""

    def __init__(self) -> None:
        self.folder = temporary_folder("aisle-test-")
        self.ports = {"DATABASE_URL": 0, "REDIS_URL": 0}
        self.keeper: Keeper | None = None

    def set_environment(self) -> None:
        """Choose addresses and put them where the settings look, keeping those that are given."""
        addresses = {
            "DATABASE_URL": f"postgresql://aisle:{PASSWORD}@{LOOPBACK}:{{port}}/aisle",
            "REDIS_URL": f"redis://:{PASSWORD}@{LOOPBACK}:{{port}}/0",
        }
        for name, address in addresses.items():
            if not os.environ.get(name):
                self.ports[name] = choose_port(taken=self.ports.values())
                os.environ[name] = address.format(port=self.ports[name])
        os.environ["SECRET_KEY"] = "only-for-tests-" + "x1y2z3" * 8
        os.environ["AGENT_TOKEN"] = "only-for-tests"
        os.environ.setdefault("NUMBA_CACHE_DIR", str(CODE_DIR / "var" / "numba"))
        use_folder(self.folder / "main")

    def start(self) -> None:
        """Start those servers that are ours, once."""
        if self.keeper is None and any(self.ports.values()):
            ports = [str(self.ports[name]) for name in ("DATABASE_URL", "REDIS_URL")]
            self.keeper = Keeper("servers", str(self.folder), *ports)
            self.keeper.wait_until_ready()

    def close(self) -> None:
        """Stop them and delete the folder."""
        if self.keeper is not None:
            self.keeper.close()
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)


def use_folder(folder: Path) -> None:
    """Make the folder the settings' AISLE_HOME."""
    (folder / "static").mkdir(parents=True)
    os.environ["AISLE_HOME"] = str(folder)


def separate_worker(number: int) -> None:
    """Give a worker of pytest-xdist its own folder and its own Redis database; pytest-django gives it its own
    PostgreSQL database."""
    use_folder(Path(os.environ["AISLE_HOME"]).with_name(f"gw{number}"))
    database = number + (REDIS_DATABASES // 2 if SESSION else 0)
    os.environ["REDIS_URL"] = os.environ["REDIS_URL"].rsplit("/", 1)[0] + f"/{database}"


def temporary_folder(prefix: str) -> Path:
    """Make a folder with a short path, that PostgreSQL's own user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


@contextlib.contextmanager
def separate_stack() -> Iterator[Path]:
    """Run a whole stack of its own, as `make up` does; yields its AISLE_HOME."""
    folder = temporary_folder("aisle-stack-")
    environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    keeper = Keeper("stack", str(folder), environment=environment)
    keeper.wait_until_ready()
    try:
        yield folder
    finally:
        keeper.close()
