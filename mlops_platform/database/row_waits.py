"""Waits for locked rows, few at a time: a row that a forgotten transaction keeps locked must not
take up a process's threads.

A lock that is free is taken at once. Where another session has the row, a thread waits for it: an
ordinary change is over within milliseconds. It waits for SHORT_S, and only for a single cluster's
row, which a large plan's cycle may have for longer, as long as lock_timeout allows; but no more
than MOST_PATIENT threads do so at once, whichever rows they need. Once a thread has waited for
LONG_S, later ones do not wait: they are refused at once, on the web with a 503. Once one has waited
in vain, none waits for that row until one has found it free. All of it is of this process, as its
threads are.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Func, Model, QuerySet, TextField, Value
from psycopg2.errors import LockNotAvailable

from mlops_platform.environment.database import RowLocked

Row = TypeVar("Row", bound=Model)
SHORT_S = 0.2
MOST_PATIENT = 3  # threads of a process that wait for longer at the same time
LONG_S = 1.0
Limits = Mapping[str, Func]
"""Annotations: to read a row with them limits the transaction, without another statement."""
NO_LIMITS: Limits = MappingProxyType({})
REMEMBERED_S = 10.0  # that a thread has waited in vain, or was refused


class _Key(NamedTuple):
    table: str
    pk: str


_since: dict[_Key, list[float]] = {}  # when each thread began to wait, the first one first
_in_vain: dict[_Key, float] = {}  # until when this is remembered; both by time.monotonic()
referred_in_vain: dict[Any, float] = {}
"""Likewise, by the ids of rows to which foreign keys could not be written."""
_guard = Lock()


def transaction_limits(**seconds: float) -> Limits:
    """Settings of PostgreSQL from the lock to the end of its transaction."""
    return {
        f"_{name}": Func(
            Value(name),
            Value(f"{value * 1000:.0f}ms"),
            Value(True),
            function="set_config",
            output_field=TextField(),
        )
        for name, value in seconds.items()
    }


def lock_row(
    rows: "QuerySet[Row]",
    pk: Any,
    *,
    limits: Limits = NO_LIMITS,
    no_key: bool = True,
    patient: bool = False,
    **options: Any,
) -> Row | None:
    """The row of `rows` with this primary key, locked until the transaction ends; None where there
    is none. One query where the row is free, up to three otherwise.

    From then on the transaction has the `limits`, unless it is one inside another, which they would
    outlive. A `patient` thread waits as long as lock_timeout allows. `options` are those of
    select_for_update. Raises RowLocked where it is not worth waiting, and the OperationalError of
    PostgreSQL's lock_timeout.
    """
    if connection.savepoint_ids:
        limits = NO_LIMITS
    rows = rows.filter(pk=pk).order_by()
    key = _Key(rows.model._meta.db_table, str(pk))
    limiting = rows.annotate(**limits)
    for found in limiting.select_for_update(no_key=no_key, skip_locked=True, **options):
        _in_vain.pop(key, None)
        return found
    with _waiting(key):
        patient = patient and sum(map(len, list(_since.values()))) <= MOST_PATIENT
        _set_lock_timeout("DEFAULT" if patient else f"'{SHORT_S}s'")
        row = next(iter(rows.select_for_update(no_key=no_key, **options)), None)
    return limiting.first() if row and limits else row


def lock_rows(
    rows: "QuerySet[Row]", pks: Collection[Any], *, limits: Limits = NO_LIMITS
) -> list[Row]:
    """Those of `rows` with these primary keys that exist, in the keys' order, locked as by
    lock_row: all of them, or none. One query for one row; three for several that are free.

    While a thread waits for one of several rows it has locked no other. Raises RowLocked, which
    names the row, where they are not free together within LONG_S.
    """
    if len(pks) < 2:
        found = [lock_row(rows, pk, limits=limits, patient=True) for pk in pks]
        return [row for row in found if row]
    if connection.savepoint_ids:
        limits = NO_LIMITS
    until = time.monotonic() + LONG_S
    while True:
        locked, missing = _lock_all(rows, set(pks), limits)
        if not missing:
            return locked
        _wait_for(rows, missing[0])
        if time.monotonic() > until:
            raise _named(rows, missing[0])


def _lock_all(
    rows: "QuerySet[Row]", pks: Collection[Any], limits: Limits
) -> tuple[list[Row], list[Any]]:
    """The rows, locked; or none, and the keys of those that other sessions have locked."""
    at_once = rows.filter(pk__in=pks).annotate(**limits).order_by("pk")
    with transaction.atomic():
        found = list(at_once.select_for_update(no_key=True, skip_locked=True))
        missing = sorted(set(pks) - {row.pk for row in found})
        if missing:
            missing = list(rows.filter(pk__in=missing).order_by("pk").values_list("pk", flat=True))
        if missing:  # the end of the savepoint gives the others back
            transaction.set_rollback(True)
            return [], missing
    for row in found:
        _in_vain.pop(_Key(rows.model._meta.db_table, str(row.pk)), None)
    return found, []


def _wait_for(rows: "QuerySet[Row]", pk: Any) -> None:
    """Wait until the row is free, or refuse. Nothing is locked then."""
    try:
        with transaction.atomic():
            lock_row(rows, pk)
            transaction.set_rollback(True)
    except OperationalError as error:
        if isinstance(error, RowLocked) or isinstance(error.__cause__, LockNotAvailable):
            raise _named(rows, pk) from error
        raise


def _named(rows: "QuerySet[Row]", pk: Any) -> RowLocked:
    name = rows.model._meta.verbose_name
    return RowLocked(
        "Another session has a row.", f"Another change of {name} {pk} is under way; try again soon."
    )


def try_reference(rows: "QuerySet[Row]", pk: Any) -> None:
    """Raises RowLocked, at once, while a session keeps foreign keys to the row from being written.
    To be called where `referred_in_vain` has the key. One query, two where it is refused."""
    table = rows.model._meta.db_table
    probe = f"SELECT 1 FROM {table} WHERE id = %s FOR KEY SHARE SKIP LOCKED"  # noqa: S608 - ours
    with connection.cursor() as cursor:
        cursor.execute(probe, [pk])
        is_free = cursor.fetchone() is not None
    if not is_free and rows.filter(pk=pk).exists():
        raise _named(rows, pk)
    referred_in_vain.pop(pk, None)


def note_reference(pk: Any, error: OperationalError) -> None:
    """A statement that locks the row as a foreign key to it does has ended with this error."""
    if isinstance(error.__cause__, LockNotAvailable):
        now = time.monotonic()
        with _guard:
            _forget(referred_in_vain, now)
            referred_in_vain[pk] = now + REMEMBERED_S


def free(rows: "QuerySet[Row]") -> "QuerySet[Row]":
    """Those of `rows` that no other session has locked: a guarded update of them never waits for a
    row."""
    unlocked = rows.order_by().select_for_update(no_key=True, skip_locked=True)
    return rows.filter(pk__in=unlocked.values("pk"))


def _set_lock_timeout(value: str) -> None:
    """Until the transaction ends. It may have been set already, while the locked row was skipped:
    DEFAULT is that of the connection."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout TO {value}")


@contextmanager
def _waiting(key: _Key) -> Iterator[None]:
    began = time.monotonic()
    with _guard:
        waiting = _since.get(key, [])
        if began < _in_vain.get(key, 0.0) or (waiting and began - waiting[0] > LONG_S):
            _in_vain[key] = began + REMEMBERED_S
            raise RowLocked("Another session has had the row for long.")
        waiting = _since.setdefault(key, waiting)
        waiting.append(began)
    try:
        yield
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            _remember(key)
        raise
    else:
        _in_vain.pop(key, None)
    finally:
        with _guard:
            waiting.remove(began)
            if not waiting:
                _since.pop(key, None)


def _remember(key: _Key) -> None:
    now = time.monotonic()
    with _guard:
        _forget(_in_vain, now)
        _in_vain[key] = now + REMEMBERED_S


def _forget(times: dict[Any, float], before: float) -> None:
    # Other threads take keys out meanwhile, so the list is a copy.
    for old in [each for each, until in list(times.items()) if until < before]:
        times.pop(old, None)
