"""Keep servers alive exactly as long as the process that asked for them.

    python -m tests.keeper servers FOLDER POSTGRES_PORT REDIS_PORT    (a port of 0: not wanted)
    python -m tests.keeper stack FOLDER

It prints `ready`, or what went wrong. Its standard input is a pipe whose other end only the test session
holds: when that session ends, however it ends, the pipe closes, and the keeper stops all and deletes FOLDER.
"""

import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from portal.stack import postgres_server, redis_server
from portal.stack.home import StackHome
from portal.stack.lifecycle import bring_down, bring_up
from portal.stack.ports import LOOPBACK, wait_for

PASSWORD = "known-to-this-test-run-only"
START_S = 120.0


def keep_servers(folder: Path, postgres_port: int, redis_port: int) -> None:
    """Run PostgreSQL and Redis for a test session, without durability."""
    deadline = time.monotonic() + START_S
    children: list[tuple[subprocess.Popen[bytes], int]] = []
    try:
        with (folder / "servers.log").open("wb") as log:
            if redis_port:
                config = redis_server.write_config(folder / "redis.conf", port=redis_port, password=PASSWORD)
                command = redis_server.server_command(config)
                children.append((subprocess.Popen(command, stdout=log, stderr=log), signal.SIGTERM))
            if postgres_port:
                data = folder / "postgres"
                postgres_server.init_cluster(data, password=PASSWORD, durable=False)
                command = postgres_server.server_command(data, postgres_port, durable=False)
                user = postgres_server.run_as(postgres_server.system_user())
                server = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **user)
                children.append((server, signal.SIGINT))
                create = partial(
                    postgres_server.create_role_and_database,
                    postgres_port,
                    password=PASSWORD,
                    role_password=PASSWORD,
                )
                wait_for(create, deadline=deadline)
            if redis_port:
                url = f"redis://:{PASSWORD}@{LOOPBACK}:{redis_port}/0"
                wait_for(partial(redis_server.ping, url), deadline=deadline)
        say_ready_and_wait()
    finally:
        for child, stop_signal in children:
            child.send_signal(stop_signal)
        for child, _ in children:
            child.wait(timeout=30)


def keep_stack(folder: Path) -> None:
    """Run a whole stack of its own."""
    home = StackHome(folder)
    try:
        bring_up(home, lambda sentence: None, deadline_s=START_S)
        say_ready_and_wait()
    finally:
        bring_down(home)


def say_ready_and_wait() -> None:
    """Report, then wait until the other end of our standard input is closed."""
    print("ready", flush=True)
    sys.stdin.buffer.read()


def main(arguments: list[str]) -> int:
    """Keep what is asked for, then delete its folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the session's to handle
    what, folder = arguments[0], Path(arguments[1])
    try:
        if what == "servers":
            keep_servers(folder, int(arguments[2]), int(arguments[3]))
        else:
            keep_stack(folder)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
