"""One cycle at a time per cluster: a Redis lock that encloses the transaction.

It only keeps workers from queueing up behind each other. Truth rests on the row lock, the guarded
writes and the CHECK constraints, so a lock that expires under a slow cycle costs time, not sense.
"""

from contextlib import AbstractContextManager
from uuid import UUID

from django.conf import settings

from mlops_platform.api import waking


def try_lock(cluster_id: UUID) -> AbstractContextManager[bool]:
    """True while this process holds the cluster's lock; False at once where another one does."""
    return waking.try_lock(f"cluster:{cluster_id}:lock", settings.SCHEDULER_LOCK_TIMEOUT_S)
