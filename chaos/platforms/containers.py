"""A container of compose, without Docker: a process that is started again whenever it ends."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from chaos.platforms.programs import REPOSITORY, end

# As Docker does for `restart: unless-stopped`.
FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.1, 60.0, 10.0
STOP_TIMEOUT_S = 10.0


class Container:
    """What is left of its process group is killed with its first process, as in a container."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name, self._command, self._log = name, list(command), log
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, **variables: str) -> None:
        """`variables` come on top of the container's environment until the next start."""
        self._stopping.clear()
        self._launch(variables)
        self._thread = threading.Thread(target=self._keep, args=(variables,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._process is not None:
            end(self._process, signal.SIGTERM, STOP_TIMEOUT_S)

    def process(self) -> psutil.Process | None:
        """None while it waits to be started again."""
        with suppress(psutil.Error):
            if self._process is not None and self._process.poll() is None:
                return psutil.Process(self._process.pid)
        return None

    def _launch(self, variables: Mapping[str, str]) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=REPOSITORY,
                env={**self._environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _keep(self, variables: Mapping[str, str]) -> None:
        pause_s, started_at = FIRST_PAUSE_S, time.monotonic()
        while not self._stopping.wait(0.05):
            if self._process is None or self._process.poll() is None:
                continue
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            if time.monotonic() - started_at >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            if self._stopping.wait(pause_s):
                return
            pause_s, started_at = min(pause_s * 2, LONGEST_PAUSE_S), time.monotonic()
            self._launch(variables)
