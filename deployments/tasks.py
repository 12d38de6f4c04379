"""Celery's door to sync."""

from celery import shared_task
from django.utils import timezone

from deployments import sync


@shared_task(name="deployments.tasks.finish_due", ignore_result=True)
def finish_due() -> None:
    sync.finish_due(timezone.now())
