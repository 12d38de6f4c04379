"""Runs the Procfile's processes side by side, starts them again, and ends them together.

Honcho reads Procfiles too, but it stops a whole process group at once, which kills a worker's
children in the middle of a task; here a worker lets them finish it.
"""

import ctypes
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import FrameType

from mlops_platform.processes.restarts import GrowingPause
from mlops_platform.procfile import argv

STOP_TIMEOUT_S = 15.0
WATCH_S = 0.2

PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """Linux sends the process SIGTERM when its supervisor is killed: no orphan keeps the port."""
    with suppress(AttributeError):  # a libc without it
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Outcome(Enum):
    """Why `Supervisor.watch` returned."""

    REACHED = "what was waited for came true"
    ASKED_TO_STOP = "a signal asked for the end"
    DIED = "a process ended by itself"
    TIMED_OUT = "the time was over"


class Supervisor:
    """A set of processes that start and end together; none takes another down with it.

    Each process has a session of its own, so that Ctrl-C in the terminal reaches the supervisor
    alone.
    """

    def __init__(
        self, commands: Mapping[str, str], *, folder: Path, env: Mapping[str, str]
    ) -> None:
        self._commands = dict(commands)
        self._folder = folder
        self._env = dict(env)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._started_at: dict[str, float] = {}  # these are by time.monotonic()
        self._restart_at: dict[str, float] = {}  # of the processes that have ended
        self._pauses = {name: GrowingPause() for name in commands}
        self._printers: list[threading.Thread] = []
        self._asked_to_stop = threading.Event()
        self.died: str | None = None

    def listen_to_signals(self) -> None:
        """Let Ctrl-C, SIGTERM and SIGHUP ask for the stop, however often they come."""

        def ask(_number: int, _frame: FrameType | None) -> None:
            self._asked_to_stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, ask)

    def start(self) -> None:
        """Start all processes; each line of their output is printed with the process's name."""
        for name in self._commands:
            self._start(name)

    def _start(self, name: str) -> None:
        process = subprocess.Popen(
            argv(self._commands[name]),
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  # one system call, no lock
        )
        self._processes[name] = process
        self._started_at[name] = time.monotonic()
        printer = threading.Thread(target=self._print_lines, args=(name, process), daemon=True)
        printer.start()
        self._printers = [each for each in self._printers if each.is_alive()] + [printer]

    def watch(
        self, until: Callable[[], bool] | None = None, timeout_s: float = math.inf
    ) -> "Outcome":
        """Wait until `until` holds, a stop is asked for, a process ends, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not self._asked_to_stop.wait(WATCH_S):
            for name, process in self._processes.items():
                if process.poll() is not None:
                    self.died = name
                    return Outcome.DIED
            if until is not None and until():
                return Outcome.REACHED
            if time.monotonic() > deadline:
                return Outcome.TIMED_OUT
        return Outcome.ASKED_TO_STOP

    def keep_running(self, say: Callable[[str], None]) -> None:
        """Start each process that ends by itself again, after a growing pause, and say so in one
        line; until a stop is asked for."""
        while not self._asked_to_stop.wait(WATCH_S):
            for name, process in list(self._processes.items()):
                if process.poll() is None:
                    continue
                if name not in self._restart_at:
                    pause_s = self._note_end(name, process)
                    say(
                        f"{name} ended by itself (code {process.returncode}); "
                        f"it is started again in {pause_s:.0f} s."
                    )
                elif time.monotonic() >= self._restart_at[name]:
                    del self._restart_at[name]
                    self._start(name)

    def _note_end(self, name: str, process: "subprocess.Popen[str]") -> float:
        """Plan the next start, for which nothing is left of the process; returns the pause."""
        _kill_group(process.pid)
        now = time.monotonic()
        pause_s = self._pauses[name].after(now - self._started_at[name])
        self._restart_at[name] = now + pause_s
        return pause_s

    def exit_code(self, name: str) -> int | None:
        """The exit code of a process; negative for a signal, None while it runs."""
        return self._processes[name].poll()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> list[str]:
        """Terminate all processes, then kill those still there after `timeout_s`; returns the names
        of the killed ones."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()  # it then ends its children itself
        deadline = time.monotonic() + timeout_s
        late = []
        for name, process in self._processes.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(name)
            _kill_group(process.pid)  # what it left behind
            process.wait()
        for printer in self._printers:
            printer.join(timeout=1)
        return late

    def _print_lines(self, name: str, process: "subprocess.Popen[str]") -> None:
        width = max(map(len, self._commands))
        for line in process.stdout or ():
            with suppress(OSError):  # the terminal may be gone; the process must still not block
                sys.stdout.write(f"{name:{width}} | {line.rstrip()}\n")
                sys.stdout.flush()


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):  # no process is left
        os.killpg(leader, signal.SIGKILL)
