"""Memory that many connections share: beyond its limit, what has lain there for longest goes."""

from collections.abc import Callable


class Budget:
    """Bytes by owner. Over the limit the oldest owners are dropped, by what they gave for that."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._owners: dict[object, tuple[int, Callable[[], object]]] = {}

    def charge(self, owner: object, size: int, drop: Callable[[], object]) -> None:
        """`drop` is called at most once, and not before others that were charged earlier."""
        before, _ = self._owners.get(owner, (0, drop))
        self._owners[owner] = (before + size, drop)
        self._total += size
        while self._total > self._limit and len(self._owners) > 1:
            oldest = next(iter(self._owners))
            drop_oldest = self._owners[oldest][1]
            self.release(oldest)
            drop_oldest()

    def release(self, owner: object) -> None:
        size, _ = self._owners.pop(owner, (0, None))
        self._total -= size
