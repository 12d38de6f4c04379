"""One turn of the timer: what is due by now is asked for."""

import logging
from collections.abc import Callable

from django.db import connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from deployments.lifecycle import due
from scheduler.timer import jobs

logger = logging.getLogger(__name__)

# By which moment something will be due next. Each part reads the first entry of an index.
_NEXT = """
SELECT extract(epoch FROM min(due.at) - clock_timestamp())
  FROM (SELECT min(next_at) AS at FROM scheduler_periodicjob
         UNION ALL
        {parts}) due
""".format(parts="\n         UNION ALL\n        ".join(f"({part})" for part in due.NEXT))


def take_turn() -> float | None:
    """Ask for everything that is due. Returns in how many seconds something will be due next, as
    far as is known by now; None if nothing is.

    What Redis did not take stays due, and one that it refuses keeps nothing else waiting. Three
    queries where nothing is due.
    """
    for job in jobs.claim_due():
        _try(lambda job=job: jobs.ask_for(job), job.name)
    _try(due.wake_all, "ends")
    with connection.cursor() as cursor:
        cursor.execute(_NEXT)
        (seconds,) = cursor.fetchone()
    return None if seconds is None else float(seconds)


def _try(ask: Callable[[], None], what: str) -> None:
    try:
        ask()
    except (RedisError, OperationalError, OSError) as error:
        logger.warning(
            "not asked for: redis is away", extra={"what": what, "error": str(error)}
        )
