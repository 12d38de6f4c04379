"""One turn of the timer: what is due by now is done, or asked for."""

import logging
import time
from collections.abc import Callable
from functools import partial

from django.db import connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from deployments import wakeup as runtimes_wakeup
from deployments.lifecycle import clock_steps, due
from scheduler import wakeup
from scheduler.models import Trigger
from scheduler.store import next_cycle
from scheduler.timer import jobs

logger = logging.getLogger(__name__)

# Each part reads the first entry of an index.
_NEXT = """
SELECT extract(epoch FROM min(next.at) - clock_timestamp()), extract(epoch FROM clock_timestamp())
  FROM (SELECT min(next_at) AS at FROM scheduler_periodicjob WHERE name = ANY(%s)
         UNION ALL
        SELECT min(due_at) FROM scheduler_nextcycle WHERE due_at > statement_timestamp()
         UNION ALL
        SELECT min(due_at) FROM deployments_deployment
         WHERE status = 'RUNNING' AND due_at > statement_timestamp()
         UNION ALL
        SELECT min(retry_at) FROM deployments_deployment
         WHERE status = 'QUEUED' AND retry_at > statement_timestamp()
         UNION ALL
        SELECT min(avoid_until) FROM deployments_deployment
         WHERE status = 'QUEUED' AND avoid_until > statement_timestamp()
         UNION ALL
        SELECT min(stop_by) FROM deployments_deployment
         WHERE status = 'STOPPING' AND stop_by > statement_timestamp()) next
"""

STEP_S = 0.5  # by which the database's clock goes back at once; less is a correction
STEP_AHEAD_S = 2.0  # from here on a step is logged; less is how clocks are set right now and then
# After a start and after a step, looks at all that runs for rows that were locked, or written by a
# statement under way: seven, as each pause is twice the one before.
LOOK_FOR_S = 30.0
FIRST_LOOK_AGAIN_S = 0.5


class Turn:
    """The turns of one timer. It remembers what it has logged, and by how much the database's clock
    is ahead of this machine's monotonic one: by `_ahead_s` at least, and, as it was read before the
    answer came, by `_most_ahead_s` at most."""

    def __init__(self) -> None:
        self._redis_is_away = False
        self._ahead_s: float | None = None
        self._most_ahead_s: float | None = None
        self._looks_at = time.monotonic()  # at first: no timer may have seen a step
        self._look_again_s = FIRST_LOOK_AGAIN_S

    def take(self) -> float | None:
        """Do or ask for everything that is due. Returns in how many seconds something will be due
        next, as far as is known by now; None if nothing is.

        What Redis does not take stays due. Five queries and four round trips to Redis where
        nothing is due.
        """
        asks: list[Callable[[], None]] = [due.do_all]
        asks += [partial(jobs.ask_for, job) for job in jobs.claim_due()]
        asks += [_request_cycles, ask_again]
        errors = [error for ask in asks if (error := _error_of(ask)) is not None]
        if errors and not self._redis_is_away:
            logger.warning("the timer waits: redis is away", extra={"error": str(errors[0])})
        self._redis_is_away = bool(errors)
        return self._next_s()

    def _next_s(self) -> float | None:
        asked_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(_NEXT, [[job.name for job in jobs.JOBS]])
            seconds, now_s = cursor.fetchone()
        ahead_s = float(now_s) - time.monotonic()
        most_ahead_s = float(now_s) - asked_at
        self._report_step_ahead(ahead_s, most_ahead_s)
        self._mend_after_step_back(ahead_s, most_ahead_s)
        return None if seconds is None else float(seconds)

    def _report_step_ahead(self, ahead_s: float, most_ahead_s: float) -> None:
        """Log that pending ends came early. A slow answer, or a timer that was frozen, is no step:
        the monotonic clock went on meanwhile."""
        stepped_s = 0.0 if self._most_ahead_s is None else ahead_s - self._most_ahead_s
        self._most_ahead_s = most_ahead_s
        if stepped_s > STEP_AHEAD_S:
            logger.warning(
                "the database's clock was put ahead: what was pending is due as much earlier",
                extra={"by_s": stepped_s},
            )

    def _mend_after_step_back(self, ahead_s: float, most_ahead_s: float) -> None:
        """Three queries in few turns after the start and after a step. A slow answer is no step:
        every cluster would have a cycle just when the database is slow."""
        stepped_s = 0.0 if self._ahead_s is None else most_ahead_s - self._ahead_s
        self._ahead_s = ahead_s
        if stepped_s < -STEP_S:
            self._looks_at, self._look_again_s = time.monotonic(), FIRST_LOOK_AGAIN_S
            logger.warning("the database's clock was put back", extra={"by_s": -stepped_s})
        if self._look_again_s < LOOK_FOR_S and time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + self._look_again_s
            self._look_again_s *= 2
            moved = clock_steps.move_future_to_now()
            if moved or stepped_s < -STEP_S:
                next_cycle.make_all_due()
            if moved:
                logger.warning("times in the future were moved to now", extra={"moved": moved})


def _request_cycles() -> None:
    for cluster_id in next_cycle.claim_due():
        wakeup.request_cycle(cluster_id, Trigger.TIMER)


def ask_again() -> None:
    """Ask again for what a killed or frozen worker has taken, or the broker has lost."""
    wakeup.ask_again()
    due.ask_again()
    runtimes_wakeup.ask_again()


def _error_of(ask: Callable[[], None]) -> Exception | None:
    try:
        ask()
    except (RedisError, OperationalError, OSError) as error:
        return error
    return None
