"""Gunicorn's worker class: uvicorn's, with the connections of this package."""

import logging
import os
import resource
import signal
import sys
from typing import Any

from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from mlops_platform.web import limits
from mlops_platform.web.connection import Connection
from mlops_platform.web.listening import SharingServer

GRACEFUL_S = 8
SPARE_FILES = 500  # beside connections from clients: database, Redis, endpoints, static files


class WebWorker(UvicornWorker):
    CONFIG_KWARGS: dict[str, Any] = {
        "loop": "uvloop",
        "http": Connection,
        "ws": "none",
        "lifespan": "on",
        "proxy_headers": False,  # TRUSTED_PROXIES says whom to believe
        "server_header": False,
        "access_log": False,  # the requests' lines come from mlops_platform.logs
        "timeout_graceful_shutdown": GRACEFUL_S,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("uvicorn.error", "uvicorn.access"):  # gunicorn's handlers are none of LOGGING
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [], True
            logger.setLevel(logging.ERROR)  # below: each request that is none

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = SharingServer(config=self.config)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def init_signals(self) -> None:
        """Once all is answered uvicorn raises the signal that ended it again: the process then ends
        in order, with 0, and not of the signal."""
        super().init_signals()
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))

    def init_process(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = limits.CONNECTIONS + SPARE_FILES
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        super().init_process()
