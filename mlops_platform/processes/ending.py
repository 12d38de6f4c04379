"""How long a Celery worker may take to end once it was asked to.

Celery waits for the tasks that run, and for the broker, as long as that takes. A cycle may wait for
PostgreSQL, a pass for a machine, and the worker for a Redis that does not answer. What a worker
leaves behind is rolled back, and asked for again within seconds.
"""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from billiard import active_children

logger = logging.getLogger(__name__)

END_WITHIN_S = 8.0  # Docker kills a container after ten, the supervisor of `make run` after 15


def bound_end(**_: Any) -> None:
    """For Celery's signal that the worker was asked to end."""
    threading.Thread(target=_end_late, name="end", daemon=True).start()


def _end_late() -> None:
    time.sleep(END_WITHIN_S)
    logger.warning("asked to end, the worker ends in the middle of its work: it took too long")
    for child in active_children():
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    os._exit(os.EX_OK)
