"""A fake runtime in memory that stands in for a Docker engine or a Kubernetes cluster in tests.

It passes the contract of real runtimes. Its images are little scripts.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from threading import Condition, Event
from typing import Any
from uuid import uuid4

from deployments.runtimes.base import (
    Capacity,
    Code,
    ImageDelayed,
    ImageMissing,
    Key,
    LaunchSpec,
    Phase,
    Problem,
    RefusedError,
    ReplicaStatus,
    RuntimeUnavailable,
)

KILLED = 137  # 128 and the signal's number, as everywhere
TERMINATED = 143
TICK_S = 0.05
Written = tuple[datetime, bytes]  # when, and what


@dataclass(frozen=True, slots=True)
class Script:
    """What a container of an image does."""

    output: tuple[bytes, ...] = ()  # lines, all at once
    exit_code: int | None = None  # at once; None: the process runs until it is stopped
    problem: Code | None = None  # the reason, where the exit code alone does not give it
    deaf: bool = False  # to every signal but a kill
    ready: bool = True


SCRIPTS: Mapping[str, Script] = {
    "sleep": Script(),
    "deaf": Script(deaf=True),
    "warming": Script(ready=False),
    "hello": Script(output=(b"one\n", b"two\n", b"three\n"), exit_code=0),
    "chatty": Script(output=(b"one\n", b"two\n", b"three\n")),
    "no-command": Script(exit_code=127, problem=Code.COMMAND_FAILED),
    "out-of-memory": Script(exit_code=KILLED, problem=Code.OUT_OF_MEMORY),
}


@dataclass(slots=True)
class _Container:
    script: Script
    status: ReplicaStatus
    written: list[Written] = field(default_factory=list)
    killed_at: float | None = None  # when its grace ends, by the monotonic clock
    touched: dict[str, datetime] = field(default_factory=dict)  # its files


class FakeRuntime:
    """A `Runtime`. Images are the names in `scripts`, and `exit:N`; any other sleeps.

    Its controls for tests: `unavailable`, `missing_images` (until they are pulled),
    `unpullable_images`, `delayed_images`, `vanish`, `finish`, `set_ready`, `write`, `touch`,
    `create`.
    `pulled`: the images of all calls to pull, in order.
    """

    pulls_by_itself = False

    def __init__(
        self,
        *,
        cluster_id: str = "",
        nodes: Collection[Capacity] = (),
        scripts: Mapping[str, Script] = SCRIPTS,
    ) -> None:
        self.unavailable = False
        self.missing_images: set[str] = set()
        self.unpullable_images: set[str] = set()
        self.delayed_images: dict[str, str] = {}  # and what each of their pulls fails with
        self.pulled: list[str] = []
        self.launch_specs: list[LaunchSpec] = []  # of all calls to start, in order
        self.looks: list[tuple[Key, str]] = []  # all calls to touched_at, in order
        self.nodes = list(nodes)
        self.cluster_id = cluster_id
        self._scripts = scripts
        self._containers: dict[Key, _Container] = {}
        self._changed = Condition()
        self._changes: list[str] = []

    # --- The interface of every runtime ---------------------------------------------------------

    def prepare(self, spec: LaunchSpec) -> None:
        with self._changed:
            self._check_available()
            for key, node in self._missing(spec):
                if key not in self._containers:
                    self._create(key, node)

    def start(self, spec: LaunchSpec) -> None:
        with self._changed:
            self._check_available()
            self.launch_specs.append(spec)
            for key, node in self._missing(spec):
                self._begin(key, node, spec.image)
                if spec.image == "reveal":
                    self._reveal(key, spec)

    def pull(self, image: str, wanted: Callable[[], bool] = lambda: True) -> None:
        with self._changed:
            self._check_available()
            self.pulled.append(image)
            if image in self.unpullable_images:
                raise RefusedError(Problem(Code.IMAGE_PULL_FAILED, f"{image}: not found"))
            if image in self.delayed_images:
                raise ImageDelayed(self.delayed_images[image])
            self.missing_images.discard(image)

    def stop(self, key: Key, grace_s: int, seen: str = "") -> None:
        with self._changed:
            self._check_available()
            container = self._find(key, seen)
            if container is None or container.status.phase == Phase.ENDED:
                return
            container.status = replace(container.status, stopping=True)
            if grace_s <= 0:
                self._end(key, KILLED)
            elif not container.script.deaf:
                self._end(key, TERMINATED)
            elif container.killed_at is None:
                container.killed_at = time.monotonic() + grace_s

    def touched_at(self, key: Key, path: str, seen: str = "") -> datetime | None:
        with self._changed:
            self._check_available()
            self.looks.append((key, path))
            container = self._find(key, seen)
            return container.touched.get(path) if container else None

    def remove(self, key: Key, seen: str = "") -> None:
        with self._changed:
            self._check_available()
            if self._find(key, seen) is not None:
                self._forget(key)

    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        with self._changed:
            self._check_available()
            return [
                container.status
                for key, container in self._containers.items()
                if deployment_ids is None or key.deployment_id in deployment_ids
            ]

    def logs(
        self,
        key: Key,
        seen: str = "",
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
        timestamps: bool = False,
        within_s: float | None = None,
        most_bytes: int | None = None,
    ) -> Iterator[bytes]:
        with self._changed:
            self._check_available()
            container = self._find(key, seen)
            if container is None:
                return iter(())
            written = [each for each in container.written if since is None or each[0] >= since]
            if tail is not None:
                written = written[max(0, len(written) - tail) :]
            pieces = iter(written)
            if follow:
                pieces = self._following(key, container, written, len(container.written))
            return _stamped(pieces) if timestamps else (piece for _, piece in pieces)

    def capacity(self) -> list[Capacity]:
        with self._changed:
            self._check_available()
            return list(self.nodes)

    def watch(self, stop: Event) -> Iterator[str | None]:
        with self._changed:
            seen = len(self._changes)
        while not stop.is_set():
            with self._changed:
                self._check_available()
                new, seen = self._changes[seen:], len(self._changes)
                if not new:
                    self._changed.wait(TICK_S)
            if new:
                yield from new
            else:
                yield None

    def tidy(self, *, leaving: bool = False) -> None:
        """There is nothing besides replicas."""

    def close(self) -> None:
        """No connection is open."""

    # --- The controls ---------------------------------------------------------------------------

    def vanish(self, key: Key) -> None:
        """Remove the container without a call of the platform."""
        with self._changed:
            self._forget(key)

    def create(self, key: Key, node: str) -> None:
        """Create a container without starting its process, as a worker that was killed would."""
        with self._changed:
            self._create(key, node)

    def backdate(self, created_at: datetime) -> None:
        """As if all containers that have not begun had been created then."""
        with self._changed:
            for container in self._containers.values():
                if not container.status.begun:
                    container.status = replace(container.status, created_at=created_at)

    def finish(self, key: Key, exit_code: int = 0, problem: Code | None = None) -> None:
        """Let the container's process end."""
        with self._changed:
            self._end(key, exit_code, problem)

    def set_ready(self, key: Key, ready: bool = True, said: str = "") -> None:
        """`said`: what the probe answers that has not passed."""
        with self._changed:
            container = self._containers[key]
            problem = None if ready else Problem(Code.NOT_READY, said)
            container.status = replace(container.status, ready=ready, problem=problem)
            self._report(key)

    def pause(self, key: Key, paused: bool = True) -> None:
        """Pause the container as people do at an engine, or undo that."""
        with self._changed:
            container = self._containers[key]
            problem = Problem(Code.PAUSED) if paused else None
            container.status = replace(container.status, ready=not paused, problem=problem)
            self._report(key)

    def began_at(self, key: Key, moment: datetime) -> None:
        """Have the container say that it was started then."""
        with self._changed:
            container = self._containers[key]
            container.status = replace(container.status, started_at=moment)

    def touch(self, key: Key, path: str, at: datetime) -> None:
        """Let the container write a file."""
        with self._changed:
            self._containers[key].touched[path] = at

    def write(self, key: Key, line: bytes) -> None:
        """Let the container write a line."""
        with self._changed:
            self._containers[key].written.append((datetime.now(UTC), line))
            self._changed.notify_all()

    # --- The caller of these has the lock -------------------------------------------------------

    def _check_available(self) -> None:
        if self.unavailable:
            raise RuntimeUnavailable("The simulated endpoint is away.")
        now = time.monotonic()
        for key, container in self._containers.items():
            if container.killed_at is not None and container.killed_at <= now:
                self._end(key, KILLED)

    def _create(self, key: Key, node: str) -> None:
        status = ReplicaStatus(
            key,
            Phase.PENDING,
            begun=False,
            created_at=datetime.now(UTC),
            node=node,
            id=str(uuid4()),
        )
        self._containers[key] = _Container(Script(), status)

    def _missing(self, spec: LaunchSpec) -> list[tuple[Key, str]]:
        """The replicas that have not begun, with their nodes; raises ImageMissing."""
        keys = [
            (Key(spec.deployment_id, spec.attempt, replica), node)
            for replica, node in spec.placement
        ]
        keys = [(key, node) for key, node in keys if not self._has_begun(key)]
        missing = {*self.missing_images, *self.unpullable_images, *self.delayed_images}
        if keys and spec.image in missing:
            raise ImageMissing(spec.image)
        return keys

    def _has_begun(self, key: Key) -> bool:
        container = self._containers.get(key)
        return container is not None and container.status.begun

    def _find(self, key: Key, seen: str) -> _Container | None:
        container = self._containers.get(key)
        return container if container and seen in {"", container.status.id} else None

    def _script(self, image: str) -> Script:
        if image.startswith("exit:"):
            return Script(exit_code=int(image.removeprefix("exit:")))
        return self._scripts.get(image, Script())

    def _begin(self, key: Key, node: str, image: str) -> None:
        script, now = self._script(image), datetime.now(UTC)
        status = ReplicaStatus(key, Phase.RUNNING, ready=script.ready, started_at=now, node=node)
        status = replace(status, id=str(uuid4()))
        if not script.ready:
            status = replace(status, problem=Problem(Code.NOT_READY))
        written = [(now, line) for line in script.output]
        self._containers[key] = _Container(script, status, written)
        self._report(key)
        if script.exit_code is not None:
            self._end(key, script.exit_code, script.problem)

    def _reveal(self, key: Key, spec: LaunchSpec) -> None:
        variable, path = spec.command
        for value in (spec.secrets.env[variable], spec.secrets.files[path]):
            self._containers[key].written.append((datetime.now(UTC), f"{value}\n".encode()))
        self._end(key, 0)

    def _end(self, key: Key, exit_code: int, problem: Code | None = None) -> None:
        container = self._containers[key]
        if container.status.phase == Phase.ENDED:
            return
        if problem is None and exit_code:
            problem = Code.EXITED
        container.killed_at = None
        container.status = replace(
            container.status,
            phase=Phase.ENDED,
            ready=False,
            exit_code=exit_code,
            problem=Problem(problem) if problem else None,
            ended_at=datetime.now(UTC),
        )
        self._report(key)

    def _forget(self, key: Key) -> None:
        if self._containers.pop(key, None) is not None:
            self._report(key)

    def _report(self, key: Key) -> None:
        self._changes.append(key.deployment_id)
        self._changed.notify_all()

    # --- This one takes the lock for each read --------------------------------------------------

    def _following(
        self, key: Key, container: _Container, first: list[Written], seen: int
    ) -> Iterator[Written]:
        yield from first
        while True:
            with self._changed:
                self._check_available()
                new, seen = container.written[seen:], len(container.written)
                there = self._containers.get(key) is container
                if not new and (not there or container.status.phase == Phase.ENDED):
                    return
                if not new:
                    self._changed.wait(TICK_S)
            yield from new or [(datetime.now(UTC), b"")]


def _stamped(pieces: Iterator[Written]) -> Iterator[bytes]:
    begins = True
    for at, piece in pieces:
        stamp = f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z ".encode() if begins and piece else b""
        yield stamp + piece
        begins = piece.endswith(b"\n") or (begins and not piece)


class InterceptedRuntime:
    """A runtime some of whose calls a test answers: `intercepts`, by the name of the call.

    An intercept gets the runtime's own call first, and then the arguments.
    """

    def __init__(self, runtime: Any, intercepts: Mapping[str, Callable[..., Any]]) -> None:
        self._runtime, self._intercepts = runtime, intercepts

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._runtime, name)
        intercept = self._intercepts.get(name)
        return own if intercept is None else partial(intercept, own)
