"""Renew a lease from a process of its own, which a long C call in the worker cannot starve.

Run as `python -m portal.core.heartbeat`: it reads its orders as one JSON line on standard input,
renews the lease every third of it, and ends when the pipe closes, when the worker is gone, stopped or a
zombie, or when the row belongs to another attempt. It knows no Django.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARENT_GONE = "TtZX"  # process states in which a worker does not work: stopped, traced, zombie, dead


@contextmanager
def heartbeat(table: str, pk: str, attempt: int) -> Iterator[None]:
    """Keep the lease of `table`'s row `pk` alive while the block runs."""
    from django.conf import settings
    from django.db import connection

    orders = {
        "connection": _address(connection.settings_dict),
        "table": table,
        "pk": pk,
        "attempt": attempt,
        "lease_s": settings.LEASE_S,
        "worker": os.getpid(),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "portal.core.heartbeat"],
        stdin=subprocess.PIPE,
        cwd=settings.BASE_DIR,
        start_new_session=True,
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(orders).encode() + b"\n")
    child.stdin.flush()
    try:
        yield
    finally:
        child.stdin.close()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _address(database: dict) -> dict[str, str]:
    return {
        "host": str(database["HOST"]),
        "port": str(database["PORT"] or 5432),
        "dbname": str(database["NAME"]),
        "user": str(database["USER"]),
        "password": str(database["PASSWORD"]),
    }


def _worker_lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in PARENT_GONE


def _renew(orders: dict) -> bool:
    """Renew once; False when the row is no longer this attempt's."""
    import psycopg
    from psycopg import sql

    statement = sql.SQL(
        "UPDATE {} SET lease_until = now() + make_interval(secs => %s) "
        "WHERE id = %s AND attempt = %s AND lease_until IS NOT NULL"
    ).format(sql.Identifier(orders["table"]))
    with psycopg.connect(**orders["connection"], connect_timeout=2, autocommit=True) as connection:
        done = connection.execute(statement, (orders["lease_s"], orders["pk"], orders["attempt"]))
        return done.rowcount == 1


def main() -> None:
    orders = json.loads(sys.stdin.readline())
    while not select.select([sys.stdin], [], [], orders["lease_s"] / 3)[0]:
        if not _worker_lives(orders["worker"]):
            return
        import psycopg  # a job that ends before its first beat need not wait for this

        try:
            if not _renew(orders):
                return
        except psycopg.OperationalError:
            continue  # the database may be restarting: try again at the next beat


if __name__ == "__main__":
    main()
