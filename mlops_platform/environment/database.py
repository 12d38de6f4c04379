"""Deadlines in PostgreSQL, and which of its errors mean that a later try may succeed."""

from pathlib import Path
from typing import NamedTuple

from django.db import DatabaseError, InterfaceError, OperationalError

# In seconds; 0 is no deadline. In what serves users, nothing waits for another's lock or computes
# without an end, and a transaction that its process has forgotten gives its locks back.
SERVING: dict[str, float] = {
    "lock_timeout": 2,
    "statement_timeout": 30,
    "idle_in_transaction_session_timeout": 30,
}
# A worker or a timer puts off what is locked and turns to other clusters.
WORKER: dict[str, float] = {**SERVING, "lock_timeout": 0.2}
# A command that an operator runs may compute for long, but a migration that waits for a table's
# lock makes every request wait behind it.
COMMAND: dict[str, float] = {
    "lock_timeout": 10,
    "statement_timeout": 0,
    "idle_in_transaction_session_timeout": 600,
}


class RowLocked(OperationalError):  # noqa: N818 - a state of the row, not a mistake
    """Another session has locked a row for so long that nothing waits for it any more. `detail` is
    for users, where it says more than the answer does."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


# Names an advisory lock of PostgreSQL: migrations own it, a backup shares it. The number means
# nothing.
ONE_MIGRATION = 7_061_960_225


class TryAgain(NamedTuple):
    """An answer with the status 503."""

    detail: str
    code: str
    after_s: int


AWAY = TryAgain("The database is away; try again soon.", "database_unavailable", 5)
BUSY = TryAgain("Another change of the same is under way; try again soon.", "busy", 1)
TOO_SLOW = TryAgain("This takes too long at present; try again later.", "too_slow", 5)

BY_SQLSTATE = {
    "55P03": BUSY,  # lock_not_available: lock_timeout
    "40P01": BUSY,  # deadlock_detected
    "40001": BUSY,  # serialization_failure
    "57014": TOO_SLOW,  # query_canceled: statement_timeout
    "25006": AWAY,  # read_only_sql_transaction: a failover has made it a standby
    "25P03": AWAY,  # idle_in_transaction_session_timeout: this process was frozen
}


def deadlines(program: str) -> str:
    """Options of a connection (libpq's `options`) for a process that runs this program."""
    path = Path(program)
    if path.name == "manage.py":
        limits = COMMAND
    elif {"celery", "timer"} & {path.name, path.parent.name}:  # the script, and `python -m` of each
        limits = WORKER
    else:
        limits = SERVING
    return " ".join(f"-c {name}={seconds * 1000:.0f}ms" for name, seconds in limits.items())


def try_again(error: Exception) -> TryAgain | None:
    """None for an error that a second try would meet again.

    While PostgreSQL starts or stops, psycopg2 raises a plain DatabaseError for some statements.
    """
    if isinstance(error, RowLocked):
        return BUSY._replace(detail=error.detail or BUSY.detail)
    if answer := BY_SQLSTATE.get(getattr(error.__cause__, "pgcode", None) or ""):
        return answer  # whichever class psycopg2 gives it
    may_pass = isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError
    return AWAY if may_pass else None
