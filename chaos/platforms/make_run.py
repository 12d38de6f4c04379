"""The platform as `make run` starts it: one supervisor, with embedded servers."""

import signal
import subprocess
import sys
from contextlib import suppress

import psutil

from chaos.platforms.platform import STOP_TIMEOUT_S, Platform, name_of, own_environment
from chaos.platforms.programs import REPOSITORY, end


class MakeRun(Platform):
    """Its processes are the supervisor's children, and the supervisor starts them again."""

    name = "make run"

    def __init__(self) -> None:
        super().__init__()
        self._process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        return own_environment(MLOPS_DATA_DIR=str(self.data), PORT=str(self.port))

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "run"],
                cwd=REPOSITORY,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        if self._process is not None:
            end(self._process, signal.SIGINT, STOP_TIMEOUT_S)

    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def processes(self, name: str) -> list[psutil.Process]:
        if self._process is None:
            return []
        found = []
        with suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children():
                with suppress(psutil.Error):
                    if name_of(child.cmdline(), self.commands) == name:
                        found.append(child)
        return found
