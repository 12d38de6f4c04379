"""What one answer may cost, whatever waits in the cluster."""

import time

from scheduler.engine.whatif import Unanswered

CPU_S = 0.8  # the reading of the tables and the answer itself come on top
WALL_S = 4.0  # also of waiting for PostgreSQL, or for other threads


class AnswerBudget:
    """CPU seconds of this thread, and seconds in all, for the plans of one answer together."""

    def __init__(self) -> None:
        self._cpu_until = time.thread_time() + CPU_S
        self._wall_until = time.monotonic() + WALL_S

    def check(self) -> None:
        """Raises Unanswered once either is spent."""
        if time.thread_time() > self._cpu_until or time.monotonic() > self._wall_until:
            raise Unanswered
