"""The project: settings, URLs, the Celery application, API glue, health and metrics."""

from mlops_platform.celery import app as celery_app

__all__ = ["celery_app"]
