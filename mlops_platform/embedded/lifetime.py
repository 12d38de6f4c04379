"""How long the embedded servers run: from the first process that uses them to the last.

Two lock files. A process locks `start.lock` while it starts or stops the servers, so that no two do
so at once. Each process that uses the servers has a shared lock on `users.lock`; the process that
can make this lock exclusive on leaving was the last. `make run` also starts a server again that was
killed under it.
"""

import fcntl
import os
import pwd
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TypedDict

from mlops_platform.embedded.account import SHARED
from mlops_platform.embedded.places import data_dir as chosen_data_dir
from mlops_platform.embedded.places import default_data_dir, run_dir
from mlops_platform.embedded.postgres import Postgres
from mlops_platform.embedded.process import EmbeddedServerError
from mlops_platform.embedded.redis import Redis
from mlops_platform.processes.restarts import GrowingPause

LOOK_EVERY_S = 0.5  # whether the servers are there
LAUNCH_S = 1.0  # until one that was started has its socket


class _Asked(TypedDict):
    postgres: bool
    redis: bool
    durable: bool


@contextmanager
def services(
    data_dir: Path, *, postgres: bool, redis: bool, durable: bool = True
) -> Iterator[None]:
    """Have the wanted servers ready for the length of the block; the last user of a data folder
    stops them.

    `durable=False` trades safety in a power cut for speed; it counts for the process that starts
    the server. Raises EmbeddedServerError, with a sentence for people, where a server cannot run.
    """
    servers = _servers(data_dir, postgres=postgres, redis=redis, durable=durable)
    if not servers:
        yield
        return
    _make_folders(data_dir)
    locks = data_dir / "run"
    with _lock_file(locks / "users.lock") as users, _lock_file(locks / "start.lock") as start:
        try:
            fcntl.flock(start, fcntl.LOCK_EX)
            alone = _is_last_user(users)
            fcntl.flock(users, fcntl.LOCK_SH)
            for server in servers:
                if server.is_ready():
                    continue
                if server.runs_elsewhere():
                    _end_of_earlier_version(server, alone=alone)
                server.start()
            fcntl.flock(start, fcntl.LOCK_UN)
            yield
        finally:
            fcntl.flock(start, fcntl.LOCK_EX)
            if _is_last_user(users):
                for server in servers:
                    server.stop()


@contextmanager
def services_for_environment() -> Iterator[None]:
    """For a process's whole life: the servers whose URL variable is unset. Exits with a sentence
    where one cannot run.

    SIGTERM and SIGHUP end Python at once and would leave the servers behind, so they become an
    orderly exit.
    """
    asked = _asked_of_environment()
    with ExitStack() as stack:
        if asked["postgres"] or asked["redis"]:
            stack.enter_context(_signals_unwind())
        try:
            stack.enter_context(services(chosen_data_dir(), **asked))
        except EmbeddedServerError as error:
            sys.exit(str(error))
        yield


@contextmanager
def kept_alive(say: Callable[[str], None]) -> Iterator[None]:
    """Inside the block, the embedded servers of this environment are started again when they end
    by themselves, after a growing pause. `say` gets a line about each end and each return.

    Only for a process that has the servers by `services_for_environment`.
    """
    data_dir, asked = chosen_data_dir(), _asked_of_environment()
    servers = _servers(data_dir, **asked)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_keep_alive, args=(server, data_dir, say, stop), daemon=True)
        for server in servers
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _keep_alive(
    server: Postgres | Redis, data_dir: Path, say: Callable[[str], None], stop: threading.Event
) -> None:
    pause, started_at, was_ready = GrowingPause(), time.monotonic(), True
    while not stop.wait(LOOK_EVERY_S):
        if server.is_there():
            if not was_ready and server.is_ready():
                was_ready = True
                say(f"{server.name} answers again.")
            continue
        pause_s = pause.after(time.monotonic() - started_at)
        say(f"{server.name} ended by itself; it is started again in {pause_s:.0f} s.")
        if stop.wait(pause_s):
            return
        was_ready, started_at = False, time.monotonic()
        try:
            with _lock_file(data_dir / "run" / "start.lock") as start:
                fcntl.flock(start, fcntl.LOCK_EX)
                server.launch()
        except (EmbeddedServerError, OSError) as error:
            say(f"{server.name} could not be started: {error}")
        if stop.wait(LAUNCH_S):
            return


def _asked_of_environment() -> _Asked:
    return {
        "postgres": not os.environ.get("DATABASE_URL"),
        "redis": not os.environ.get("REDIS_URL"),
        "durable": os.environ.get("MLOPS_EMBEDDED_DURABLE", "1") != "0",
    }


def _servers(
    data_dir: Path, *, postgres: bool, redis: bool, durable: bool
) -> list[Postgres | Redis]:
    servers: list[Postgres | Redis] = []
    if postgres:
        servers.append(Postgres(data_dir, durable=durable))
    if redis:
        servers.append(Redis(data_dir))
    return servers


def _make_folders(data_dir: Path) -> None:
    """Each closed to other users, also where an earlier version left it open. A data folder that a
    user has chosen and made stays as it is."""
    try:
        if not data_dir.exists() or data_dir == default_data_dir():
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _close(data_dir)
        sockets = run_dir(data_dir)
        for folder in (data_dir / "run", data_dir / "log", sockets):
            folder.mkdir(mode=0o700, exist_ok=True)
        if sockets.parent != data_dir.resolve():
            _refuse_if_foreign(sockets, cluster=data_dir / "postgres")
        for folder in (data_dir / "run", data_dir / "log", sockets):
            _close(folder)
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{error.filename} cannot be written: make {data_dir} yours or set MLOPS_DATA_DIR."
        ) from error


def _close(folder: Path) -> None:
    """Take a folder's rights from other users. Of root's, a group may pass through (account.py)."""
    found = folder.stat()
    if os.geteuid() == 0 and found.st_uid and found.st_uid == _uid_of(SHARED):
        os.chown(folder, 0, 0)
    kept = 0o710 if os.geteuid() == 0 else 0o700
    if found.st_mode & 0o777 & ~kept:
        folder.chmod(found.st_mode & kept)


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _end_of_earlier_version(server: Postgres | Redis, *, alone: bool) -> None:
    """Stop a server that a killed run of an earlier version has left behind."""
    if not alone:
        raise EmbeddedServerError(
            "Processes of an earlier version use the embedded servers: stop them first."
        )
    server.stop()


def _refuse_if_foreign(sockets: Path, *, cluster: Path) -> None:
    """In a folder open to all, another user may have made this folder first, with a server of
    theirs inside."""
    ours = {os.geteuid()} | ({cluster.stat().st_uid} if cluster.exists() else set())
    found = sockets.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid not in ours:
        raise EmbeddedServerError(
            f"{sockets} belongs to another user: run as that user or remove it."
        )


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # and with it the lock


def _is_last_user(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _signals_unwind() -> Iterator[None]:
    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, leave)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
