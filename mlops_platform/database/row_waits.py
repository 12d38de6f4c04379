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

from django.db import OperationalError, connection
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
    lock_row. One query where all are free.

    While a thread waits for one row it has those that were free: it is patient only where it asks
    for a single one.
    """
    if connection.savepoint_ids:
        limits = NO_LIMITS
    at_once = rows.filter(pk__in=pks).annotate(**limits).order_by("pk")
    found = {row.pk: row for row in at_once.select_for_update(no_key=True, skip_locked=True)}
    for pk in found:
        _in_vain.pop(_Key(rows.model._meta.db_table, str(pk)), None)
    for pk in sorted(set(pks) - found.keys()):
        if row := lock_row(rows, pk, limits=limits, patient=len(pks) == 1):
            found[pk] = row
    return [found[pk] for pk in sorted(found)]


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
            with _guard:
                # Other threads take keys out meanwhile, so the list is a copy.
                for old in [each for each, until in list(_in_vain.items()) if until < began]:
                    _in_vain.pop(old, None)
                _in_vain[key] = time.monotonic() + REMEMBERED_S
        raise
    else:
        _in_vain.pop(key, None)
    finally:
        with _guard:
            waiting.remove(began)
            if not waiting:
                _since.pop(key, None)
