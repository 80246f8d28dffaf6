"""What tests of every app arrange with: shops, people, actors."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

from django.db import connection, connections

from portal.core.actors import Actor, person
from portal.core.ids import new_id
from portal.core.models import Membership, Role, Shop, User

T = TypeVar("T")


def make_shop(slug: str | None = None) -> Shop:
    slug = slug or f"shop-{new_id('x')[-10:].lower()}"
    return Shop.objects.create(slug=slug, name=slug.replace("-", " ").title())


def make_person(shop: Shop | None, role: Role | str = Role.ADMIN, name: str = "") -> User:
    """Make a person with a role in the shop (none: an outsider)."""
    username = f"{name or role}-{new_id('x')[-10:]}".lower()
    user = User.objects.create(
        username=username, email=f"{username}@example.com", first_name=name or str(role).title()
    )
    if shop is not None:
        Membership.objects.create(shop=shop, user=user, role=role)
    return user


def make_actor(shop: Shop, role: Role | str = Role.ADMIN, name: str = "") -> Actor:
    return person(make_person(shop, role, name))


def at_once(count: int, act: Callable[[int], T]) -> list[T | Exception]:
    """Run `act` in `count` threads that start together; returns results and exceptions, in order."""
    barrier = Barrier(count)

    def run(number: int) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=30)
            return act(number)
        except Exception as error:  # handed to the test, which looks at each
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def allow_flush() -> None:
    """Let transactional tests empty the event table, which is otherwise refused even to its owner."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_event DISABLE TRIGGER core_event_no_truncate")


def statuses(results: Iterable[Any]) -> list[int]:
    """HTTP statuses of responses, sorted; an exception stays visible."""
    return sorted(getattr(result, "status_code", 599) for result in results)
