"""What all platforms of the suite have in common: their folder, their servers, and the ways in."""

import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil
import psycopg2
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.platforms.programs import REPOSITORY, bare_environment
from mlops_platform.embedded.places import DATABASE, DATABASE_USER, postgres_socket, redis_socket
from mlops_platform.procfile import read_procfile

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5
REDIS_TIMEOUT_S = 10.0
REQUESTS = "mlops_platform.requests"  # the logger of answered requests
WITH_OTHER_DUTIES = ("web", "worker", "runtimes")  # of the Procfile; what else it has is a clock
UNTHROTTLED = {
    "THROTTLE_LOGIN": "100000/min",
    "THROTTLE_LOGIN_ADDRESS": "100000/min",
    "THROTTLE_LOGIN_ACCOUNT": "100000/min",
    "THROTTLE_REGISTER": "100000/min",
    "THROTTLE_QUOTE": "100000/min",
    "THROTTLE_EXPLAIN": "100000/min",
}


class DidNotStart(Exception):  # noqa: N818 - a state of the platform
    """With the end of its log."""


class Platform(ABC):
    """`with … as platform`: all its processes and servers, until the block ends.

    The suite speaks with its servers over their sockets, past whatever lies between them and the
    platform's processes.
    """

    name: str
    headers: Mapping[str, str] = {}
    keep_log_in: Path | None = None

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-chaos-"))
        self.folder.chmod(0o755)  # the servers' accounts pass through
        self.data = self.folder / "data"
        self.port = free_port()
        self.log = self.folder / "platform.log"
        self.commands = read_procfile()

    def __enter__(self) -> "Platform":
        try:
            self.start()
            self._wait_until_ready()
        except BaseException as error:
            end_of_log = self.last_words()
            self.__exit__(None, None, None)
            if isinstance(error, Exception):
                raise DidNotStart(f"{self.name}: {error}\n{end_of_log}") from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self.keep_log_in is not None:
            self.keep_log_in.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.log, self.keep_log_in / f"{self.name.replace(' ', '-')}.log")
        shutil.rmtree(self.folder, ignore_errors=True)

    @abstractmethod
    def start(self) -> None:
        """Start all of it."""

    @abstractmethod
    def stop(self) -> None:
        """End all of it in an orderly way, as a user would."""

    @abstractmethod
    def processes(self, name: str) -> list[psutil.Process]:
        """The running processes of that name in the Procfile, without their children."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Of a command beside the platform."""

    @property
    def clock(self) -> str:
        """The name of the process that calls for what is due."""
        return next(name for name in self.commands if name not in WITH_OTHER_DUTIES)

    def again(self) -> None:
        """Stop all of it, as a user would, and start it on the same data."""
        self.stop()
        self.start()
        self._wait_until_ready()

    def postmaster(self) -> psutil.Process:
        """Raises psutil.Error or OSError while PostgreSQL is away."""
        pid = (self.data / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
        return psutil.Process(int(pid))

    def redis_server(self) -> psutil.Process:
        """Raises RedisError while Redis is away."""
        with self.redis() as client:
            return psutil.Process(int(client.info("server")["process_id"]))

    def sql(self) -> "psycopg2.extensions.connection":
        """A connection of its own, each statement its own transaction."""
        connection = psycopg2.connect(
            host=str(postgres_socket(self.data).parent),
            user=DATABASE_USER,
            dbname=DATABASE,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="chaos",
        )
        connection.autocommit = True
        return connection

    def redis(self) -> "redis.Redis":
        """Without second attempts: a fault must show."""
        return redis.Redis(
            unix_socket_path=str(redis_socket(self.data)),
            socket_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def manage(self, *words: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """A command of manage.py beside the platform."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=REPOSITORY,
            env=self.environment(),
            capture_output=True,
            check=False,
            text=True,
            timeout=timeout_s,
        )

    def last_words(self, lines: int = 40) -> str:
        """The end of its log, without the requests that were answered."""
        with suppress(OSError):
            said = self.log.read_text(errors="replace").splitlines()
            return "\n".join([line for line in said if REQUESTS not in line][-lines:])
        return ""

    def is_ready(self) -> bool:
        """Whether the web server answers, and with it all that a submit needs."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as probe:
            probe.settimeout(5)
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return probe.recv(32).startswith(b"HTTP/1.1 200")
        return False

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.is_ready() and all(map(self.processes, self.commands))):
            if time.monotonic() > deadline or self.has_ended():
                raise RuntimeError("it did not start")
            time.sleep(0.1)

    def has_ended(self) -> bool:
        """Whether it has ended by itself, as a whole."""
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def own_environment(**more: str) -> dict[str, str]:
    return {**bare_environment(), **UNTHROTTLED, **more}


def name_of(cmdline: list[str], commands: Mapping[str, str]) -> str | None:
    """Which of the Procfile's commands a process runs: the longest one of which the process has
    all words. Words with a variable are left out: the shell has replaced them."""
    found = [
        (len(words), name)
        for name, command in commands.items()
        if (words := [word for word in shlex.split(command) if not re.search(r"[$%]", word)])
        and set(words[1:]) <= set(cmdline)
        and any(Path(word).name == Path(words[0]).name for word in cmdline)
    ]
    return max(found)[1] if found else None
