"""The Celery application. Tasks live in each app's `tasks.py`; scheduler/timer/ sends them at
their time."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from mlops_platform import broker
from mlops_platform.processes.ending import bound_end

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")

broker.use()
app = Celery("mlops_platform", amqp=broker.AMQP)
app.steps["consumer"].add(broker.LookForLost)
app.steps["consumer"].add(broker.Beat)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
worker_shutting_down.connect(bound_end)


@setup_logging.connect
def log_as_the_web_does(**_: Any) -> None:
    from mlops_platform import logs

    logs.configure()
