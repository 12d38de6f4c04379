"""Slots for work that goes on for long: each key of each kind, such as a user, has so many.

They are of this process, as the threads are; concurrency.py counts in all processes together.
"""

from collections import Counter
from collections.abc import Mapping
from threading import Lock


class Slots:
    """`Slots(all=16, user=4)`: 16 in this process, and 4 for each user."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits
        self._taken: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def acquire(self, keys: Mapping[str, str]) -> bool:
        """Takes one slot of each key, by its kind; False, and none is taken, where one of them has
        none left."""
        with self._lock:
            counted = [("all", ""), *keys.items()]
            if any(self._taken[key] >= self.limits[key[0]] for key in counted):
                return False
            self._taken.update(counted)
            return True

    def release(self, keys: Mapping[str, str]) -> None:
        with self._lock:
            for key in [("all", ""), *keys.items()]:
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]
