"""A worker that is killed with SIGKILL at a line of one's choice, and a record of its lines.

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

from deployments import runtime_connections as runtimes

TRACED = (
    "deployments/reconciler/",
    "deployments/runtimes/docker/",
    "deployments/runtime_connections.py",
    "deployments/lifecycle/transitions.py",
    "deployments/services/stop.py",
    "clusters/allocation.py",
    "clusters/node_status.py",
    "clusters/node_changes.py",
)
# What cannot be taken back: a word to an engine, or to the database.
ACTS = re.compile(
    r"_engine\.call\(|engine\.stream\(|runtime\.\w+\(|\.pull\(|\.(save|update|delete|bulk_create)\("
    r"|cursor\.execute|lock_cluster|\brecord(_all)?\(|\.send\(|on_commit|redis_client\(\)"
    r"|\b(move|end|requeue|release|begin_stopping|follow_nodes|ring|_put)\("
)

ROOT = f"{settings.BASE_DIR}/"


class Moment(NamedTuple):
    """Before a line is run: the first time, or where it opens a block, as it leaves that."""

    file: str
    line: int
    leaving: bool = False

    @property
    def text(self) -> str:
        return linecache.getline(ROOT + self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}{' (leaving)' if self.leaving else ''}  {self.text}"


class Seen(NamedTuple):
    moment: Moment
    acts: bool  # in front of something that cannot be taken back, or behind it


def dry_run(work: Callable[[], None]) -> list[Seen]:
    """Each moment of it, in the order of time."""
    return _in_a_fork(work, None) or []


def killed_at(work: Callable[[], None], moment: Moment) -> bool:
    """Whether it came so far; else it has done all of its work."""
    return _in_a_fork(work, moment) is None


def _in_a_fork(work: Callable[[], None], fatal: Moment | None) -> list[Seen] | None:
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
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == -signal.SIGKILL:
        return None
    assert status == 0, status
    found = pickle.loads(said)  # noqa: S301 - from a fork of this very process
    assert isinstance(found, list), found
    return found


def _work(work: Callable[[], None], fatal: Moment | None) -> list[Seen]:
    runtimes._kept.clear()  # their sockets are the parent's
    found: dict[Moment, bool] = {}
    trace = _tracer(found, fatal)
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return [Seen(moment, acts) for moment, acts in found.items()]


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
            acts = bool(ACTS.search(text)) or moment.leaving
            found.setdefault(moment, acts or behind)
            behind = acts
            return line

        return line

    return trace
