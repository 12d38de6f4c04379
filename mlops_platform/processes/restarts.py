"""How soon a process that ended by itself is started again."""

FIRST_S, LONGEST_S = 1.0, 30.0
# What has run for so long begins with the first pause again, as in Docker: a process that cannot
# start ends sooner, and one that is killed in the middle of its work must not be kept waiting.
STEADY_S = 10.0


class GrowingPause:
    """1, 2, 4, … 30 seconds."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def after(self, lived_s: float) -> float:
        """The pause, in seconds, before the next start of a process that ran for so long."""
        pause_s = FIRST_S if lived_s >= STEADY_S else self._next_s
        self._next_s = min(pause_s * 2, LONGEST_S)
        return pause_s
