"""The timer's loop: turns, and pauses by the monotonic clock."""

import logging
import time
from collections.abc import Callable
from threading import Event

from django.db import DatabaseError, InterfaceError, connection

logger = logging.getLogger(__name__)

# What becomes due is known this long before, so that a turn comes at the moment itself. The end of
# what runs for less is found by the next turn, and is still the moment at which it was due.
LONGEST_PAUSE_S = 0.5
SHORTEST_PAUSE_S = 0.02
PAUSE_AFTER_ERROR_S = 1.0


def run(turn: Callable[[], float | None], stop: Event, alive: Callable[[], None]) -> None:
    """Take turns until `stop` is set, however often PostgreSQL or Redis are away meanwhile.

    `alive` is called after each turn that has come to its end.
    """
    failing = False
    while not stop.is_set():
        began = time.monotonic()
        try:
            until_next_s = turn()
        except (DatabaseError, InterfaceError) as error:
            if not failing:
                logger.warning("the timer waits: the database is away", extra={"error": str(error)})
            failing = True
            connection.close()
            stop.wait(PAUSE_AFTER_ERROR_S)
            continue
        if failing:
            logger.info("the timer goes on: the database answers again")
        failing = False
        alive()
        stop.wait(pause_s(until_next_s, time.monotonic() - began))


def pause_s(until_next_s: float | None, took_s: float) -> float:
    """The pause before the next turn: to the moment at which something is due, and as long as the
    last turn took, so that a busy timer leaves the database half of its time."""
    wanted = LONGEST_PAUSE_S if until_next_s is None else min(until_next_s, LONGEST_PAUSE_S)
    return min(max(wanted, took_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
