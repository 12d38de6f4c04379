"""The tests' pytest plugin, loaded by pytest.ini before Django's settings are.

Tests run on a real PostgreSQL and a real Redis. Where DATABASE_URL or REDIS_URL is unset, both are
embedded and live below `.data/test`; a second session at the same time takes `.data/test-2`, and so
on. Redis is always database 1, so a Redis that serves something else keeps its database 0.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from mlops_platform import embedded

REPOSITORY = Path(__file__).resolve().parents[3]
REDIS_DB = 1
SESSIONS = 9
WORKER_START_TIMEOUT_S = 30.0
WORKER_STOP_TIMEOUT_S = 15.0

_until_the_end = ExitStack()


def _own_data_dir() -> Path:
    """A data folder that no other session uses, held by a lock until this process ends."""
    for number in range(1, SESSIONS + 1):
        folder = REPOSITORY / ".data" / ("test" if number == 1 else f"test-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "session.lock", os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return folder
    raise pytest.UsageError(f"{SESSIONS} test sessions run in this checkout already.")


def _with_redis_db(url: str, db: int) -> str:
    if url.startswith("unix:"):
        return f"{url.partition('?')[0]}?db={db}"
    return urlunsplit(urlsplit(url)._replace(path=f"/{db}"))


def _prepare_environment() -> dict[str, bool]:
    """Point the settings, and every process that a test starts, at the tests' own servers."""
    wanted = {
        "postgres": not os.environ.get("DATABASE_URL"),
        "redis": not os.environ.get("REDIS_URL"),
    }
    folder = _own_data_dir()
    (folder / "static").mkdir(exist_ok=True)
    redis_url = os.environ.get("REDIS_URL") or embedded.redis_url(folder)
    os.environ["MLOPS_DATA_DIR"] = str(folder)
    os.environ["MLOPS_EMBEDDED_DURABLE"] = "0"
    os.environ["DATABASE_URL"] = os.environ.get("DATABASE_URL") or embedded.postgres_url(folder)
    os.environ["REDIS_URL"] = _with_redis_db(redis_url, REDIS_DB)
    return wanted


_WANTED = _prepare_environment()  # on import: pytest-django reads the settings soon after


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    # The real hasher is slow on purpose, and most tests have users.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Else every test client looks through all static files before its first request.
    settings.WHITENOISE_AUTOREFRESH = True


def pytest_runtest_setup(item: pytest.Item) -> None:
    # A person may do without; continuous integration would only seem to have tried.
    give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    if item.get_closest_marker("browser") and shutil.which("chromium") is None:
        give_up("There is no browser here (Debian: apt install chromium).")
    if item.get_closest_marker("docker") and not _docker_engine_can_be_had():
        give_up(
            "There is no Docker engine here: set DOCKER_HOST, or be root and have dockerd"
            " (Debian: apt install docker.io busybox-static)."
        )


def _docker_engine_can_be_had() -> bool:
    own = os.geteuid() == 0 and shutil.which("dockerd") and shutil.which("containerd")
    return bool(os.environ.get("DOCKER_HOST") or own) and Path("/bin/busybox").exists()


def pytest_sessionstart(session: pytest.Session) -> None:
    try:
        _until_the_end.enter_context(
            embedded.services(embedded.data_dir(), **_WANTED, durable=False)
        )
    except embedded.EmbeddedServerError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_sessionfinish(session: pytest.Session) -> None:
    _until_the_end.close()


@pytest.fixture(scope="session")
def _redis_client():
    import redis

    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty_redis(_redis_client) -> None:
    """Each test finds Redis as it is after a start: empty."""
    _redis_client.flushdb()


@pytest.fixture
def worker_environment(transactional_db: None) -> dict[str, str]:
    """The environment in which a real process works on the tests' database and Redis."""
    from django.db import connection

    parts = urlsplit(os.environ["DATABASE_URL"])
    name = quote(str(connection.settings_dict["NAME"]))
    return {**os.environ, "DATABASE_URL": urlunsplit(parts._replace(path=f"/{name}"))}


@pytest.fixture
def start_worker(
    worker_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start real Celery workers: `start_worker(concurrency=2)` returns once it takes tasks.

    `queues="runtimes", pool="threads"` starts those that speak with endpoints. They end with the
    test, and their log is shown when it fails.
    """
    started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(
        concurrency: int = 2, queues: str = "scheduler", pool: str = "prefork", **variables: str
    ) -> "subprocess.Popen[bytes]":
        log = tmp_path / f"worker-{len(started) + 1}.log"
        name = f"--hostname=worker{len(started) + 1}@%h"
        options = ["--quiet", "--app=mlops_platform", "worker", name]
        speed = [f"--concurrency={concurrency}", "--without-gossip", "--without-mingle"]
        speed += [f"--queues={queues}", f"--pool={pool}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *options, *speed],
                cwd=REPOSITORY,
                env={**worker_environment, "LOG_LEVEL": "INFO", **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append((process, log))
        deadline = time.monotonic() + WORKER_START_TIMEOUT_S
        while b" ready." not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The worker did not start:\n{log.read_text()}")
            time.sleep(0.05)
        return process

    yield start
    for process, _ in started:
        process.terminate()
    for process, log in started:
        try:
            process.wait(WORKER_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print(f"--- {log.name} ---\n{log.read_text(errors='replace')}")  # noqa: T201 - pytest shows it
