"""Runs the audit now and then, and keeps what it found for the operators' home."""

import logging
import time

from celery import current_app
from django.db import DatabaseError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from mlops_platform.coordination.locks import try_lock
from mlops_platform.database.clock import database_now
from scheduler.audit import breaches
from scheduler.models import AuditResult

logger = logging.getLogger(__name__)

TASK = "scheduler.tasks.run_audit"
LOCK = "audit:lock"
MOST_KEPT = 20


def look(*, queues_too: bool = False) -> list[str]:
    """The breaches, which are recorded, too."""
    began = time.monotonic()
    found = breaches(queues_too=queues_too)
    AuditResult.objects.update_or_create(
        pk=1,
        defaults={
            "ran_at": database_now(),
            "took_ms": round((time.monotonic() - began) * 1000),
            "breach_count": len(found),
            "sentences": found[:MOST_KEPT],
        },
    )
    return found


def run() -> None:
    """Look, unless another worker does. One that fails is logged: the result then gets old."""
    with try_lock(LOCK) as locked:
        if not locked:
            return
        try:
            found = look()
        except DatabaseError as error:
            logger.warning("audit failed", extra={"error": str(error)})
            return
    for sentence in found[:MOST_KEPT]:
        logger.error("invariant broken: %s", sentence)


def request() -> None:
    """Never raises for want of Redis: the next periodic turn asks again."""
    try:
        current_app.send_task(TASK)
    except (RedisError, OperationalError, OSError) as error:
        logger.warning("audit not requested: redis is away", extra={"error": str(error)})
