"""Waits for locked rows, few at a time: a row that a forgotten transaction keeps locked must not
take up a process's threads.

A lock that is free is taken at once. Where another session has the row, a thread waits for it, as
long as lock_timeout allows: an ordinary change is over within milliseconds. Once a thread has
waited for LONG_S, later ones do not wait: they are refused at once, on the web with a 503. Once one
has waited in vain, none waits for that row until one has found it free. All of it is of this
process, as its threads are.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from django.db import OperationalError
from django.db.models import Model, QuerySet
from psycopg2.errors import LockNotAvailable

from mlops_platform.environment.database import RowLocked

Row = TypeVar("Row", bound=Model)
LONG_S = 0.3
REMEMBERED_S = 10.0  # that a thread has waited in vain, or was refused


class _Key(NamedTuple):
    table: str
    pk: str


_since: dict[_Key, list[float]] = {}  # when each thread began to wait, the first one first
_in_vain: dict[_Key, float] = {}  # until when this is remembered; both by time.monotonic()
_guard = Lock()


def lock_row(rows: "QuerySet[Row]", pk: Any, *, no_key: bool = True, **options: Any) -> Row | None:
    """The row of `rows` with this primary key, locked until the transaction ends; None where there
    is none. One query where the row is free, two otherwise.

    `options` are those of select_for_update. Raises RowLocked where it is not worth waiting, and
    the OperationalError of PostgreSQL's lock_timeout.
    """
    rows = rows.filter(pk=pk).order_by()
    key = _Key(rows.model._meta.db_table, str(pk))
    for free in rows.select_for_update(no_key=no_key, skip_locked=True, **options):
        _in_vain.pop(key, None)
        return free
    with _waiting(key):
        return next(iter(rows.select_for_update(no_key=no_key, **options)), None)


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
