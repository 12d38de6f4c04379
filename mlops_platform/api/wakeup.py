"""Wakes a worker for one id: many wake-ups before a run make one run, and no wake-up is lost.

A flag in Redis says that a run is wanted, and which word came first. A wake-up that sets the flag
enqueues the task; a wake-up that finds the flag set has nothing to do. A run clears the flag before
it reads anything, so a wake-up that comes while it reads sets the flag anew. A sweep finds what
Redis loses. A lock keeps two workers from doing the same work; only time depends on it.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from celery import current_app
from kombu.exceptions import OperationalError
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from mlops_platform.api.redis import redis_client

logger = logging.getLogger(__name__)


class Wakeup:
    """Wake-ups for one Celery task, whose only argument is the id as text.

    `flag` is the key in Redis, with `{}` for the id. A message that no worker takes within
    `expires_s` is dropped.
    """

    def __init__(self, flag: str, task: str, *, expires_s: float | None = None) -> None:
        self._flag, self._task, self._expires_s = flag, task, expires_s

    def request(self, id_: UUID, word: str, *, again: bool = False) -> None:
        """Ask for a run. Never raises for want of Redis: a sweep asks again, with `again`.

        `again` enqueues a task even where the flag is set: its message may be lost.
        """
        try:
            if redis_client().set(self._flag.format(id_), word, nx=True) or again:
                self.enqueue(id_)
        except (RedisError, OperationalError, OSError) as error:
            logger.warning(
                "not requested: redis is away; the sweep will ask again",
                extra={"flag": self._flag.format(id_), "error": str(error)},
            )

    def enqueue(self, id_: UUID) -> None:
        """Send the task by its name, so that the sender does not import what the task imports."""
        current_app.send_task(self._task, (str(id_),), expires=self._expires_s)

    def set_flag(self, id_: UUID, word: str) -> bool:
        """Set the flag alone: the worker with the lock reads it last. True where it was clear."""
        return bool(redis_client().set(self._flag.format(id_), word, nx=True))

    def clear_flag(self, id_: UUID) -> str | None:
        """Clear the flag; returns the word that set it, None where it was clear."""
        word = redis_client().getdel(self._flag.format(id_))
        return str(word) if word else None

    def is_flag_set(self, id_: UUID) -> bool:
        return bool(redis_client().exists(self._flag.format(id_)))

    def run(
        self, id_: UUID, lock: AbstractContextManager[bool], work: Callable[[str], None]
    ) -> str | None:
        """Do the work once under the lock, unless another worker has the lock or has done the work.

        A task that finds the lock taken leaves the flag set, and the worker with the lock reads
        it again at the end. A second run is a second task, so that a busy id takes turns with
        others. Returns the word that was answered; None where no work was done or another run
        follows.
        """
        with lock as locked:
            if not locked:
                return None
            word = self.clear_flag(id_)
            try:
                if word is not None:
                    work(word)
            except Exception:
                self._enqueue_if_wanted(id_)
                raise
        return None if self._enqueue_if_wanted(id_) else word

    def _enqueue_if_wanted(self, id_: UUID) -> bool:
        """A wake-up that came during the work found the flag clear or the lock taken."""
        if wanted := self.is_flag_set(id_):
            self.enqueue(id_)
        return wanted


@contextmanager
def try_lock(name: str, timeout_s: float, *, renew: bool = False) -> Iterator[bool]:
    """True while this process owns the lock; False at once where another process owns it.

    The lock ends by itself after `timeout_s`, in case its process was killed. With `renew`, for
    work of unknown length, a thread prolongs it until the work or the process ends.
    """
    lock = redis_client().lock(name, timeout=timeout_s, blocking=False, thread_local=False)
    acquired = bool(lock.acquire())
    done = threading.Event()
    if acquired and renew:
        threading.Thread(target=_renew, args=(lock, timeout_s / 3, done), daemon=True).start()
    try:
        yield acquired
    finally:
        done.set()
        if acquired:
            try:
                lock.release()
            except LockError:
                logger.warning("outlived its lock", extra={"lock": name})


def _renew(lock: Lock, every_s: float, done: threading.Event) -> None:
    while not done.wait(every_s):
        try:
            lock.reacquire()
        except LockError:  # another process owns it by now
            return
        except RedisError as error:
            logger.warning("lock not renewed", extra={"error": str(error)})
