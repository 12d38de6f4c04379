"""Kills a worker with SIGKILL before a chosen line, and records the lines that a worker runs.

The worker is a fork of the test's process, with connections of its own. It traces the code that
keeps rows and runtimes in step, in all of its threads.
"""

import linecache
import os
import pickle
import re
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connections

from deployments import runtime_connections

TRACED = (
    "deployments/reconciler/",
    "deployments/runtimes/docker/",
    "deployments/runtime_connections.py",
    "deployments/lifecycle/transitions.py",
    "deployments/services/stop.py",
    "clusters/allocation.py",
    "clusters/services/node_status.py",
    "clusters/services/node_changes.py",
)
# Lines that cannot be undone: calls to an engine, or writes to the database.
IRREVERSIBLE = re.compile(
    r"_engine\.call\(|engine\.stream\(|runtime\.\w+\(|\.pull\(|\.(save|update|delete|bulk_create)\("
    r"|cursor\.execute|lock_cluster|\brecord(_all)?\(|\.send\(|on_commit|redis_client\(\)"
    r"|\b(move|end|requeue|release|begin_stopping|follow_nodes|ring|_put)\("
)

ROOT = f"{settings.BASE_DIR}/"


class Moment(NamedTuple):
    """Just before a line runs first; for a `with` line also as its block is left."""

    file: str
    line: int
    leaving: bool = False

    @property
    def text(self) -> str:
        return linecache.getline(ROOT + self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}{' (leaving)' if self.leaving else ''}  {self.text}"


class TracedLine(NamedTuple):
    moment: Moment
    acts: bool  # before or after a line that cannot be undone


def dry_run(work: Callable[[], None]) -> list[TracedLine]:
    """Each moment of the work, in the order of time."""
    return _in_a_fork(work, None) or []


def killed_at(work: Callable[[], None], moment: Moment) -> bool:
    """Whether the worker was killed; else it has done all of its work."""
    return _in_a_fork(work, moment) is None


def _in_a_fork(work: Callable[[], None], fatal: Moment | None) -> list[TracedLine] | None:
    connections.close_all()
    receiving, sending = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(receiving)
            answer: object = _work(work, fatal)
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        with os.fdopen(sending, "wb") as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        answer_read = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGKILL:
        return None
    assert status == 0, status
    found = pickle.loads(answer_read)  # noqa: S301 - from a fork of this very process
    assert isinstance(found, list), found
    return found


def _work(work: Callable[[], None], fatal: Moment | None) -> list[TracedLine]:
    runtime_connections.forget_all()
    found: dict[Moment, bool] = {}
    trace = _tracer(found, fatal)
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return [TracedLine(moment, acts) for moment, acts in found.items()]


def _tracer(found: dict[Moment, bool], fatal: Moment | None) -> Callable[..., Any]:
    names: dict[str, str | None] = {}

    def short(path: str) -> str | None:
        if path not in names:
            name = path.removeprefix(ROOT)
            names[path] = name if name != path and name.startswith(TRACED) else None
        return names[path]

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        file = short(frame.f_code.co_filename)
        if file is None:
            return None
        behind, entered = False, set[int]()

        def line(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal behind
            if event != "line":
                return line
            number = frame.f_lineno
            text = linecache.getline(frame.f_code.co_filename, number)
            opens = text.lstrip().startswith("with ")
            moment = Moment(file, number, opens and number in entered)
            entered.add(number)
            if moment == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            acts = bool(IRREVERSIBLE.search(text)) or moment.leaving
            found.setdefault(moment, acts or behind)
            behind = acts
            return line

        return line

    return trace
