"""One cycle at a time per cluster: a Redis lock that encloses the transaction.

It only keeps workers from queueing up behind each other. Truth rests on the row lock, the guarded
writes and the CHECK constraints, so a lock that expires under a slow cycle costs time, not sense.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from redis.exceptions import LockError

from mlops_platform.api.redis import redis_client

logger = logging.getLogger(__name__)


@contextmanager
def try_lock(cluster_id: UUID) -> Iterator[bool]:
    """True while this process holds the cluster's lock; False at once where another one does."""
    lock = redis_client().lock(
        f"cluster:{cluster_id}:lock", timeout=settings.SCHEDULER_LOCK_TIMEOUT_S, blocking=False
    )
    held = bool(lock.acquire())
    try:
        yield held
    finally:
        if held:
            try:
                lock.release()
            except LockError:
                logger.warning("cycle outlived its lock", extra={"cluster_id": str(cluster_id)})
