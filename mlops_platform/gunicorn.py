"""Gunicorn's settings: `gunicorn -c python:mlops_platform.gunicorn mlops_platform.asgi`.

Each name is one of gunicorn's settings.
"""

import os
from pathlib import Path

from mlops_platform.environment.limits import MOST_AT_ONCE, whole_number
from mlops_platform.logs import LOGGING

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = whole_number("WEB_CONCURRENCY", os.environ.get("WEB_CONCURRENCY") or "2", MOST_AT_ONCE)
worker_class = "mlops_platform.web.worker.WebWorker"  # runs WEB_THREADS threads
preload_app = True  # the workers share the memory of what is loaded once
graceful_timeout = 10
control_socket_disable = True  # would write a socket into the home folder
logconfig_dict = LOGGING  # requests are logged by the middleware, which knows the user and the id

# A heartbeat file on a slow disk makes gunicorn believe that a worker hangs.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - not a temp file
