"""The project: settings, URLs, the Celery application, API glue, health and metrics."""

from mlops_platform.celery import app as celery_app

__all__ = ["__version__", "celery_app"]

# The latest version that CHANGELOG.md has released.
__version__ = "0.1.0"
