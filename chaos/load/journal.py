"""What users know of their deployments: what was acknowledged, and what was merely asked for.

The platform may do what it has not acknowledged (the answer got lost), but must do what it has.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Submit:
    """A deployment as its user knows it. Times are by time.monotonic(); names are unique.

    `bulk` names the call that submitted it with others, all or none. With a `key` the same call
    was made again until it was acknowledged.
    """

    name: str
    cluster_id: str
    priority: str
    runtime_s: int | None
    key: str | None = None
    bulk: str | None = None
    id: str | None = None
    acknowledged_at: float | None = None
    refused: bool = False  # with a 4xx: it must not be there
    stop_asked: bool = False
    stop_acknowledged_at: float | None = None
    stop_said: str = ""  # the status in the answer to the stop
    priority_asked: str = ""
    priority_acknowledged_at: float | None = None

    def acknowledge(self, id_: str) -> None:
        self.id, self.acknowledged_at = id_, time.monotonic()


@dataclass
class Journal:
    """Safe to share among threads; each submit belongs to one thread at a time."""

    prefix: str
    submits: list[Submit] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new_name(self) -> str:
        with self._lock:
            return f"{self.prefix}-{next(self._numbers)}"

    def write(self, submits: Iterable[Submit]) -> None:
        """Before the call is made: what is not in the journal cannot be missed."""
        with self._lock:
            self.submits.extend(submits)
