"""One turn of the retention: some of each kind, in short transactions with pauses between them."""

import logging
import time
from collections.abc import Iterable

from celery import current_app
from django.db import DatabaseError
from django.db.models import F
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops_platform.coordination.locks import try_lock
from mlops_platform.database.clock import database_now
from scheduler.models import Retention
from scheduler.retention.kinds import KINDS, Kind

logger = logging.getLogger(__name__)

TASK = "scheduler.tasks.forget_old"
LOCK = "retention:lock"
BUDGET_S = 10.0  # of a kind in one turn: other tasks of the worker come between
SHORTEST_PAUSE_S = 0.02


def take_turn(kinds: Iterable[Kind] = KINDS) -> None:
    """Delete some of each kind, unless another worker does, and ask for another turn if some is
    left. A kind that fails keeps no other from its turn; the next periodic turn tries it again."""
    with try_lock(LOCK) as locked:
        if not locked:
            return
        left = [kind for kind in kinds if not _forget(kind)]
    if left:
        request()


def _forget(kind: Kind) -> bool:
    """Whether no row is left that should go, or the turn of this kind has failed."""
    began = last = time.monotonic()
    deleted, finished = 0, True
    try:
        for count in kind.forget():
            deleted += count
            now = time.monotonic()
            if now - began > BUDGET_S:
                finished = False
                break
            # As long as the transaction took: half of one connection's time at most.
            time.sleep(max(now - last, SHORTEST_PAUSE_S))
            last = time.monotonic()
    except DatabaseError as error:
        logger.warning("retention failed", extra={"kind": kind.name, "error": str(error)})
        return True
    finally:
        if deleted:
            logger.info("retention", extra={"kind": kind.name, "deleted": deleted})
    _record(kind, deleted, finished)
    return finished


def _record(kind: Kind, deleted: int, finished: bool) -> None:
    now = database_now()
    Retention.objects.get_or_create(kind=kind.name)
    rows = Retention.objects.filter(kind=kind.name)
    rows.update(
        ran_at=now, deleted=F("deleted") + deleted, **({"finished_at": now} if finished else {})
    )


def request() -> None:
    """Ask for another turn. Never raises for want of Redis: the next periodic turn goes on."""
    try:
        current_app.send_task(TASK)
    except (RedisError, OperationalError, OSError) as error:
        logger.warning("retention not requested: redis is away", extra={"error": str(error)})
