"""The audit chain: append-only, gapless, and tampering is named."""

from datetime import datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from portal.core.actors import system
from portal.core.clock import database_now
from portal.core.events import record
from portal.core.models import Event
from portal.core.testing import at_once, make_shop

pytestmark = pytest.mark.django_db(transaction=True)


def write(shop, verb="thing.done"):
    return record(verb, shop, actor=system("test"), shop=shop)


def test_events_are_numbered_and_linked_when_the_transaction_commits():
    shop = make_shop()
    with transaction.atomic():
        write(shop)
        write(shop)
        assert set(Event.objects.values_list("seq", flat=True)) == {None}
    first, second = Event.objects.order_by("seq")
    assert (first.seq, second.seq) == (1, 2)
    assert second.prev_hash == first.hash != ""
    call_command("verify_audit")


@pytest.mark.parametrize("hours", [1, -1])
def test_events_tell_the_time_of_the_database_whatever_their_hosts_say(monkeypatch, hours):
    """So those of two hosts stand in order, and none seems to come before what it followed."""
    shop = make_shop()
    first = write(shop)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(timezone, "datetime", clock_off_by(hours))
        assert abs(timezone.now() - database_now()) > timedelta(minutes=59)
        second = write(shop)
    third = write(shop)
    assert first.created_at < second.created_at < third.created_at
    assert abs(second.created_at - database_now()) < timedelta(minutes=1)
    assert [*Event.objects.order_by("created_at")] == [*Event.objects.order_by("seq")]
    call_command("verify_audit")


def clock_off_by(hours):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours)

    return Clock


def test_24_writers_at_once_leave_one_gapless_chain_a_shop():
    shops = [make_shop(), make_shop()]
    results = at_once(24, lambda number: write(shops[number % 2]))
    assert not [result for result in results if isinstance(result, Exception)]
    for shop in shops:
        assert list(Event.objects.filter(shop=shop).order_by("seq").values_list("seq", flat=True)) == list(
            range(1, 13)
        )
    call_command("verify_audit")


def test_two_transactions_that_write_events_and_rows_in_other_orders_do_not_deadlock():
    from portal.core.models import Shop

    shop = make_shop()
    rows = [make_shop(), make_shop()]

    def act(number):
        first, second = rows if number % 2 else reversed(rows)
        with transaction.atomic():
            write(shop)
            Shop.objects.filter(pk=rows[0].pk if number % 2 else first.pk).exists()
            Shop.objects.filter(pk=min(first.pk, second.pk)).update(name=f"n{number}")
            write(shop)
            Shop.objects.filter(pk=max(first.pk, second.pk)).update(name=f"n{number}")

    assert at_once(12, act) == [None] * 12
    assert Event.objects.filter(shop=shop).count() == 24


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE core_event SET reason = 'other'",
        "UPDATE core_event SET seq = 9",
        "DELETE FROM core_event",
    ],
)
def test_the_database_refuses_to_change_an_event(tamper):
    write(make_shop())
    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute(tamper)
    assert Event.objects.get().reason == ""


def test_truncate_is_refused():
    write(make_shop())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_event ENABLE TRIGGER core_event_no_truncate")
        try:
            with pytest.raises(DatabaseError, match="append-only"):
                cursor.execute("TRUNCATE core_event")
        finally:
            cursor.execute("ALTER TABLE core_event DISABLE TRIGGER core_event_no_truncate")
    assert Event.objects.count() == 1


def test_an_event_that_its_owner_changed_by_force_is_named(capsys):
    shop = make_shop()
    for _ in range(3):
        write(shop)
    forged = Event.objects.get(seq=2)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE core_event DISABLE TRIGGER core_event_append_only")
        cursor.execute("UPDATE core_event SET actor_label = 'somebody else' WHERE id = %s", [forged.pk])
        cursor.execute("ALTER TABLE core_event ENABLE TRIGGER core_event_append_only")
    with pytest.raises(CommandError):
        call_command("verify_audit")
    assert forged.pk in capsys.readouterr().err
