"""The real platform, started as `make run` starts it, in a data folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

import psutil
import psycopg2

from benchmarks.over_http.client import Caller
from mlops_platform.embedded import postgres_url

REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
UNTHROTTLED = {
    "THROTTLE_LOGIN": "100000/min",
    "THROTTLE_LOGIN_ADDRESS": "100000/min",
    "THROTTLE_REGISTER": "100000/min",
    "THROTTLE_LOGIN_ACCOUNT": "100000/min",
    "THROTTLE_QUOTE": "100000/min",
    "THROTTLE_EXPLAIN": "100000/min",
    "MAX_QUEUED_PER_CLUSTER": "10000000",
    "MAX_QUEUED_PER_USER": "10000000",
}


class Stack:
    """`with Stack() as stack`: web, worker, timer, PostgreSQL and Redis, until the block ends.

    Settings are those of `make run` on a bare machine, the throttles apart. `repository` is a
    checkout of another commit, if it is that which runs.
    """

    def __init__(self, repository: Path = REPOSITORY, **variables: str) -> None:
        self._repository = repository
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-bench-"))
        self.port = _free_port()
        self._variables = variables
        self._log = self.folder / "run.log"

    def __enter__(self) -> "Stack":
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "REDIS_URL", "MLOPS_ENV"}
        }
        environment |= UNTHROTTLED | {
            "MLOPS_DATA_DIR": str(self.folder / "data"),
            "PORT": str(self.port),
            **self._variables,
        }
        self._environment = environment
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run"],
                cwd=self._repository,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_it_runs()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            print(self._log.read_text(errors="replace")[-4000:], file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def caller(self, token: str | None = None) -> Caller:
        """A connection of its own, for one thread."""
        return Caller(self.port, token)

    def sql(self) -> "psycopg2.extensions.connection":
        """A connection to its database, each statement its own transaction."""
        url = urlsplit(postgres_url(self.folder / "data"))
        host = unquote(url.netloc.partition("@")[2])
        connection = psycopg2.connect(host=host, user=url.username, dbname=url.path[1:])
        connection.autocommit = True
        return connection

    def python(self, code: str) -> str:
        """The output of code that runs beside the platform, as an operator's script."""
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "--command", code],
            cwd=self._repository,
            env=self._environment,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout

    def runtimes(self) -> psutil.Process:
        """The worker process that connects to endpoints."""
        children = psutil.Process(self.process.pid).children()
        return next(each for each in children if "runtimes" in each.cmdline())

    def _wait_until_it_runs(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while "The platform runs" not in self._log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the platform did not start")
            time.sleep(0.1)
        while b" ready" not in self._log.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.1)  # the worker is there when it says so; without that, soon


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
