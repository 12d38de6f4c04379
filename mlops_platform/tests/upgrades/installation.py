"""The processes of one version of the platform, on a database that both versions share."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings

from mlops_platform.healthcheck import is_healthy
from mlops_platform.procfile import read_procfile
from mlops_platform.tests.equipment.plugin import REPOSITORY

HOST = "127.0.0.1"
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 30.0


def environment_on(database_url: str) -> dict[str, str]:
    """What all processes on this database agree on."""
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": "of all versions " * 4,
        "CREDENTIALS_KEYS": settings.CREDENTIALS_KEYS[0],
        "THROTTLE_LOGIN": "1000/min",
        "THROTTLE_REGISTER": "1000/min",
        "LOG_LEVEL": "WARNING",
    }


class Installation:
    """A checkout, whose processes are started and stopped one by one as its Procfile names them."""

    def __init__(self, folder: Path, logs: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.port = _free_port()
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        is_present = folder == REPOSITORY  # the coverage of another version is not measured
        given = {
            name: value
            for name, value in os.environ.items()
            if is_present or not name.startswith("COV")
        }
        programs = Path(sys.executable).parent
        self.environment = given | {
            **environment,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "MLOPS_DATA_DIR": str(logs),
            "HOST": HOST,
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",
        }

    def others(self) -> list[str]:
        """Its processes beside the web server."""
        return [name for name in read_procfile(self.folder / "Procfile") if name != "web"]

    def manage(self, *arguments: str) -> str:
        """What `manage.py` says; fails unless it ends with 0."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *names: str) -> None:
        """Returns once its web server, if it is among them, answers."""
        for name in names:
            with (self._logs / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "mlops_platform.procfile", name],
                    cwd=self.folder,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        deadline = time.monotonic() + START_TIMEOUT_S
        while "web" in names and not is_healthy(HOST, self.port):
            assert time.monotonic() < deadline, self.log("web")
            assert self._processes["web"].poll() is None, self.log("web")
            time.sleep(0.05)

    def stop(self, *names: str) -> None:
        """In an orderly way, as an upgrade does."""
        for name in names:
            self._processes[name].terminate()
        for name in names:
            self._processes.pop(name).wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> str:
        return (self._logs / f"{name}.log").read_text(errors="replace")

    def logs(self) -> str:
        return "".join(f"--- {each} ---\n{each.read_text()}" for each in self._logs.glob("*.log"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
