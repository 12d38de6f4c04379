"""A Redis of one test's alone."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis

from mlops_platform import embedded
from mlops_platform.celery import app as celery_app


class OwnRedis:
    """A server of this test's alone, to be stopped and frozen at will."""

    def __init__(self, folder: Path) -> None:
        self.url = embedded.redis_url(folder)
        self._folder = folder
        self._running = ExitStack()

    def start(self) -> None:
        self._running.enter_context(
            embedded.services(self._folder, postgres=False, redis=True, durable=False)
        )

    def stop(self) -> None:
        self._running.close()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections, and never says a word: the worst way to be away."""
        with Redis.from_url(self.url) as client:
            process = int(client.info("server")["process_id"])
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def sweep(self) -> None:
        """What the timer does every few seconds."""
        path, _, db = self.url.removeprefix("unix://").partition("?db=")
        broker = f"redis+socket://{path}?virtual_host={db}"
        with celery_app.connection_for_write(url=broker) as connection:
            celery_app.send_task("scheduler.tasks.sweep", connection=connection)
