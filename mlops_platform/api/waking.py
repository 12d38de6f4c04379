"""Waking a worker for something by its id: many rings make one run, and no ring is lost.

A flag in Redis says "wanted" and what rang first. Whoever sets it enqueues the task; whoever finds
it set need not. A run clears it before it looks, so a ring that comes while it looks sets it anew.
What Redis loses, a sweep finds. A lock beside it keeps workers from doing the same twice; nothing
but time rests on it.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from kombu.exceptions import OperationalError
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from mlops_platform.api.redis import redis_client

logger = logging.getLogger(__name__)


class Bell:
    """`flag` has a place for the id; `enqueue` sends the task that answers."""

    def __init__(self, flag: str, enqueue: Callable[[UUID], None]) -> None:
        self._flag, self._enqueue = flag, enqueue

    def request(self, id_: UUID, word: str, *, again: bool = False) -> None:
        """Ask for a run. Never raises for want of Redis: a sweep asks again, with `again`.

        `again` enqueues a task even where the flag stands: its message may be lost.
        """
        try:
            if self.ring(id_, word) or again:
                self._enqueue(id_)
        except (RedisError, OperationalError, OSError) as error:
            logger.warning(
                "not requested: redis is away; the sweep will ask again",
                extra={"flag": self._flag.format(id_), "error": str(error)},
            )

    def ring(self, id_: UUID, word: str) -> bool:
        """Set the flag alone: whoever holds the lock looks at it later. True where it was clear."""
        return bool(redis_client().set(self._flag.format(id_), word, nx=True))

    def answer(self, id_: UUID) -> str | None:
        """Clear the flag and tell what rang first; None where nobody did."""
        rung = redis_client().getdel(self._flag.format(id_))
        return str(rung) if rung else None

    def is_ringing(self, id_: UUID) -> bool:
        return bool(redis_client().exists(self._flag.format(id_)))


@contextmanager
def try_lock(name: str, timeout_s: float, *, renew: bool = False) -> Iterator[bool]:
    """True while this process holds the lock; False at once where another one does.

    It frees itself after `timeout_s`, for whoever was killed holding it. Work of which nobody knows
    how long it takes has it renewed meanwhile, by a thread that dies with the process.
    """
    lock = redis_client().lock(name, timeout=timeout_s, blocking=False, thread_local=False)
    held = bool(lock.acquire())
    done = threading.Event()
    if held and renew:
        threading.Thread(target=_renew, args=(lock, timeout_s / 3, done), daemon=True).start()
    try:
        yield held
    finally:
        done.set()
        if held:
            try:
                lock.release()
            except LockError:
                logger.warning("outlived its lock", extra={"lock": name})


def _renew(lock: Lock, every_s: float, done: threading.Event) -> None:
    while not done.wait(every_s):
        try:
            lock.reacquire()
        except LockError:  # it is somebody else's by now
            return
        except RedisError as error:
            logger.warning("lock not renewed", extra={"error": str(error)})
