"""What is wrong, whichever check found it."""

from dataclasses import dataclass
from enum import StrEnum


class Breach(StrEnum):
    LOST = "lost"  # acknowledged, and not there, not in its state, or without effect
    DOUBLED = "doubled"  # there more often than submitted, or though it was refused
    OVERCOMMITTED = "over-committed"  # or counters that are not the sums
    REPLAY = "replay"  # a recorded cycle gives another plan
    QUEUES = "queues"  # Redis queues that differ from the table
    AUDIT = "audit"
    NO_RECOVERY = "no recovery"
    BROKEN = "answer"  # a 500 or its like, or a sound request that was called unsound
    PLATFORM = "platform"  # it ended by itself


@dataclass(frozen=True, slots=True)
class Finding:
    """`at` is by time.monotonic(): of the acknowledgement, or of the look that found it; None for
    what was found at the end, of any time."""

    breach: Breach
    at: float | None
    sentence: str
