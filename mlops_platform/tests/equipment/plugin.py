"""The tests' pytest plugin, loaded by pytest.ini before Django's settings are.

Tests run on a real PostgreSQL and a real Redis. Where DATABASE_URL or REDIS_URL is unset, both are
embedded and live below `.data/test`; a second session at the same time takes `.data/test-2`, and so
on. Under pytest-xdist each worker has servers of its own in a subfolder such as `.data/test/gw0`,
so that no two tests share a server; the controller, which runs no test, starts none.

Of a Redis at REDIS_URL the tests use database 1, and a worker the one with its number behind that:
database 0, which may serve something else, stays as it is. Of a PostgreSQL at DATABASE_URL they use
the database that pytest-django makes, one for each worker.
"""

import fcntl
import gc
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from mlops_platform import embedded

REPOSITORY = Path(__file__).resolve().parents[3]
REDIS_DB = 1
SESSIONS = 9
SERVERS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL"}
EMBEDDED = "MLOPS_TESTS_EMBEDDED"
"""Names the servers that the controller found no URL for; its workers inherit the URLs it set."""

SLOW = ("docker", "e2e", "browser", "concurrency")

_until_the_end = ExitStack()

# pytest rewrites each test module's assertions. Where PYTHONDONTWRITEBYTECODE keeps it from storing
# the result, every process of every session does so anew, which takes half of its start.
sys.dont_write_bytecode = False

# Until the tests are collected nearly all that is made stays: looking for garbage finds none.
gc.disable()


def _session_folder() -> Path:
    """A data folder that no other session uses, locked until this process ends."""
    for number in range(1, SESSIONS + 1):
        folder = REPOSITORY / ".data" / ("test" if number == 1 else f"test-{number}")
        if _lock(folder):
            return folder
    raise pytest.UsageError(f"{SESSIONS} test sessions run in this checkout already.")


def _lock(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "session.lock", os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def _with_redis_db(url: str, db: int) -> str:
    if url.startswith("unix:"):
        return f"{url.partition('?')[0]}?db={db}"
    return urlunsplit(urlsplit(url)._replace(path=f"/{db}"))


def _prepare_environment() -> set[str]:
    """Point the settings, and every process that a test starts, at the tests' own servers.

    Returns the names of those to start.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        folder = Path(os.environ["MLOPS_DATA_DIR"]) / worker
        folder.mkdir(exist_ok=True)
        wanted = set(os.environ[EMBEDDED].split())
    else:
        folder = _session_folder()
        wanted = {server for server, name in SERVERS.items() if not os.environ.get(name)}
        os.environ[EMBEDDED] = " ".join(sorted(wanted))
    (folder / "static").mkdir(exist_ok=True)
    os.environ["MLOPS_DATA_DIR"] = str(folder)
    os.environ["MLOPS_EMBEDDED_DURABLE"] = "0"
    if "postgres" in wanted:
        os.environ["DATABASE_URL"] = embedded.postgres_url(folder)
    if "redis" in wanted:
        os.environ["REDIS_URL"] = embedded.redis_url(folder, REDIS_DB)
    else:
        number = REDIS_DB + int(worker.removeprefix("gw") or 0)
        os.environ["REDIS_URL"] = _with_redis_db(os.environ["REDIS_URL"], number)
    return wanted


_WANTED = _prepare_environment()  # on import: pytest-django reads the settings soon after


def pytest_configure(config: pytest.Config) -> None:
    from django.conf import settings

    # The real hasher is slow on purpose, and most tests have users.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Else every test client looks through all static files before its first request.
    settings.WHITENOISE_AUTOREFRESH = True


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where workers share the tests, the slow ones come first: the short ones then even it out."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items.sort(key=lambda item: not any(map(item.get_closest_marker, SLOW)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    # A developer may do without; continuous integration must not pass by leaving tests out.
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
    if session.config.getoption("numprocesses", None):
        gc.enable()  # the workers collect the tests and run them, and this process only reports
        return
    if session.config.option.collectonly:
        return
    try:
        _until_the_end.enter_context(
            embedded.services(
                embedded.data_dir(),
                postgres="postgres" in _WANTED,
                redis="redis" in _WANTED,
                durable=False,
            )
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
    """Each test finds Redis as it is after a start: empty. That it was away in an earlier test is
    forgotten."""
    from mlops_platform.coordination import redis

    redis._stalled_until.clear()
    redis._timed_out_at.clear()
    _redis_client.flushdb()
