"""Places for work that goes on for long: each key of each kind, such as a user, has so many."""

from collections import Counter
from collections.abc import Mapping
from threading import Lock


class Places:
    """`Places(all=16, user=4)`: 16 in this process, and 4 for each user."""

    def __init__(self, **limits: int) -> None:
        self.limits = limits
        self._taken: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def take(self, keys: Mapping[str, str]) -> bool:
        """Takes one place for all keys, by their kind; False, and none is taken, where one of them
        has none left."""
        with self._lock:
            counted = [("all", ""), *keys.items()]
            if any(self._taken[key] >= self.limits[key[0]] for key in counted):
                return False
            self._taken.update(counted)
            return True

    def give_back(self, keys: Mapping[str, str]) -> None:
        with self._lock:
            for key in [("all", ""), *keys.items()]:
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]
