"""A runtime in memory: what a Docker engine or a Kubernetes cluster would do, without either.

It stands in for them in tests and passes their contract. Its images are little scripts.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Condition, Event

from deployments.runtimes.base import (
    Capacity,
    Code,
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


@dataclass(frozen=True, slots=True)
class Script:
    """What a container of an image does."""

    output: tuple[bytes, ...] = ()  # lines, all at once
    exit_code: int | None = None  # at once; None: it runs until it is told to end
    trouble: Code | None = None  # why, where an exit code alone does not say it
    deaf: bool = False  # to anything but a kill
    ready: bool = True


SCRIPTS: Mapping[str, Script] = {
    "sleep": Script(),
    "deaf": Script(deaf=True),
    "warming": Script(ready=False),
    "hello": Script(output=(b"one\n", b"two\n", b"three\n"), exit_code=0),
    "chatty": Script(output=(b"one\n", b"two\n", b"three\n")),
    "no-command": Script(exit_code=127, trouble=Code.COMMAND_FAILED),
    "out-of-memory": Script(exit_code=KILLED, trouble=Code.OUT_OF_MEMORY),
}


@dataclass(slots=True)
class _Container:
    script: Script
    sighting: ReplicaStatus
    written: list[tuple[datetime, bytes]] = field(default_factory=list)
    killed_at: float | None = None  # by the monotonic clock: its grace ends


class FakeRuntime:
    """A `Runtime`. Images are the names in `scripts`, and `exit:N`; any other sleeps.

    Tests turn its controls: `unavailable`, `missing_images` (until they are pulled),
    `unpullable_images`, `vanish`, `finish`, `set_ready`, `write`.
    """

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
        self.launches: list[LaunchSpec] = []  # all that it was asked to start, in order
        self.nodes = list(nodes)
        self.cluster_id = cluster_id
        self._scripts = scripts
        self._containers: dict[Key, _Container] = {}
        self._changed = Condition()
        self._changes: list[str] = []

    # What every runtime does.

    def start(self, launch: LaunchSpec) -> None:
        with self._changed:
            self._answer()
            self.launches.append(launch)
            new = [
                (Key(launch.deployment_id, launch.attempt, place.replica), place.node)
                for place in launch.places
            ]
            new = [(key, node) for key, node in new if key not in self._containers]
            if new and launch.image in self.missing_images | self.unpullable_images:
                raise ImageMissing(launch.image)
            for key, node in new:
                self._begin(key, node, launch.image)

    def pull(self, image: str) -> None:
        with self._changed:
            self._answer()
            if image in self.unpullable_images:
                raise RefusedError(Problem(Code.IMAGE_PULL_FAILED, f"{image}: not found"))
            self.missing_images.discard(image)

    def stop(self, key: Key, grace_s: int) -> None:
        with self._changed:
            self._answer()
            container = self._containers.get(key)
            if container is None or container.sighting.phase == Phase.ENDED:
                return
            container.sighting = replace(container.sighting, stopping=True)
            if grace_s <= 0:
                self._end(key, KILLED)
            elif not container.script.deaf:
                self._end(key, TERMINATED)
            elif container.killed_at is None:
                container.killed_at = time.monotonic() + grace_s

    def remove(self, key: Key) -> None:
        with self._changed:
            self._answer()
            self._forget(key)

    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        with self._changed:
            self._answer()
            return [
                container.sighting
                for key, container in self._containers.items()
                if deployment_ids is None or key.deployment_id in deployment_ids
            ]

    def logs(
        self,
        key: Key,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Iterator[bytes]:
        with self._changed:
            self._answer()
            container = self._containers.get(key)
            if container is None:
                return iter(())
            written = [piece for at, piece in container.written if since is None or at >= since]
            if tail is not None:
                written = written[max(0, len(written) - tail) :]
            if not follow:
                return iter(written)
            return self._following(key, container, written, len(container.written))

    def capacity(self) -> list[Capacity]:
        with self._changed:
            self._answer()
            return list(self.nodes)

    def watch(self, stop: Event) -> Iterator[str | None]:
        with self._changed:
            seen = len(self._changes)
        while not stop.is_set():
            with self._changed:
                self._answer()
                new, seen = self._changes[seen:], len(self._changes)
                if not new:
                    self._changed.wait(TICK_S)
            if new:
                yield from new
            else:
                yield None

    def tidy(self) -> None:
        """There is nothing else."""

    def close(self) -> None:
        """Nothing is open."""

    # What only tests do.

    def vanish(self, key: Key) -> None:
        """Take it away behind everyone's back."""
        with self._changed:
            self._forget(key)

    def finish(self, key: Key, exit_code: int = 0, trouble: Code | None = None) -> None:
        """Let its process end."""
        with self._changed:
            self._end(key, exit_code, trouble)

    def set_ready(self, key: Key, ready: bool = True) -> None:
        with self._changed:
            container = self._containers[key]
            trouble = None if ready else Problem(Code.NOT_READY)
            container.sighting = replace(container.sighting, ready=ready, trouble=trouble)
            self._tell(key)

    def write(self, key: Key, line: bytes) -> None:
        """Let it say something."""
        with self._changed:
            self._containers[key].written.append((datetime.now(UTC), line))
            self._changed.notify_all()

    # All below is called with the lock held.

    def _answer(self) -> None:
        if self.unavailable:
            raise RuntimeUnavailable("The simulated endpoint is away.")
        now = time.monotonic()
        for key, container in self._containers.items():
            if container.killed_at is not None and container.killed_at <= now:
                self._end(key, KILLED)

    def _script(self, image: str) -> Script:
        if image.startswith("exit:"):
            return Script(exit_code=int(image.removeprefix("exit:")))
        return self._scripts.get(image, Script())

    def _begin(self, key: Key, node: str, image: str) -> None:
        script, now = self._script(image), datetime.now(UTC)
        sighting = ReplicaStatus(key, Phase.RUNNING, ready=script.ready, started_at=now, node=node)
        if not script.ready:
            sighting = replace(sighting, trouble=Problem(Code.NOT_READY))
        written = [(now, line) for line in script.output]
        self._containers[key] = _Container(script, sighting, written)
        self._tell(key)
        if script.exit_code is not None:
            self._end(key, script.exit_code, script.trouble)

    def _end(self, key: Key, exit_code: int, trouble: Code | None = None) -> None:
        container = self._containers[key]
        if container.sighting.phase == Phase.ENDED:
            return
        if trouble is None and exit_code:
            trouble = Code.EXITED
        container.killed_at = None
        container.sighting = replace(
            container.sighting,
            phase=Phase.ENDED,
            ready=False,
            exit_code=exit_code,
            trouble=Problem(trouble) if trouble else None,
            ended_at=datetime.now(UTC),
        )
        self._tell(key)

    def _forget(self, key: Key) -> None:
        if self._containers.pop(key, None) is not None:
            self._tell(key)

    def _tell(self, key: Key) -> None:
        self._changes.append(key.deployment_id)
        self._changed.notify_all()

    # And this one takes it for each look.

    def _following(
        self, key: Key, container: _Container, first: list[bytes], seen: int
    ) -> Iterator[bytes]:
        yield from first
        while True:
            with self._changed:
                self._answer()
                new, seen = container.written[seen:], len(container.written)
                there = self._containers.get(key) is container
                if not new and (not there or container.sighting.phase == Phase.ENDED):
                    return
                if not new:
                    self._changed.wait(TICK_S)
            yield from (piece for _, piece in new) if new else [b""]
