"""What the contract must be told of a runtime, and how its tests look at one."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from deployments.runtimes.base import (
    Code,
    Key,
    LaunchSpec,
    Phase,
    ReplicaPlacement,
    ReplicaStatus,
    Runtime,
    Sandbox,
)

PATIENCE_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """What a container of the runtime under test can be given to do."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


class Harness(ABC):
    """What the contract must be told of a runtime. One that ends clears away what was started."""

    node: str

    @abstractmethod
    def runtime(self, cluster_id: str) -> Runtime:
        """Of this endpoint. Two of the same cluster see the same replicas."""

    @abstractmethod
    def unreachable(self) -> Runtime:
        """One whose endpoint does not answer."""

    @abstractmethod
    def sleeps(self) -> Work:
        """Runs, says nothing, and ends when it is told to."""

    @abstractmethod
    def deaf(self) -> Work:
        """Runs on when it is told to end, until it is killed."""

    @abstractmethod
    def exits(self, code: int) -> Work:
        """Ends at once."""

    @abstractmethod
    def says_three_lines(self) -> Work:
        """Writes the lines one, two and three, and ends with 0."""

    @abstractmethod
    def says_three_lines_and_runs_on(self) -> Work:
        """Writes them, and then sleeps."""

    @abstractmethod
    def has_no_such_command(self) -> Work:
        """Its image is there, but not the program that it shall run."""

    @abstractmethod
    def has_no_such_image(self) -> Work:
        """Its image is nowhere."""

    def launch_spec(self, work: Work, replicas: int = 1, **changes: Any) -> LaunchSpec:
        spec = LaunchSpec(
            deployment_id=str(uuid4()),
            attempt=1,
            placement=[ReplicaPlacement(replica, self.node) for replica in range(replicas)],
            name="training",
            image=work.image,
            command=work.command,
            args=work.args,
            cpu_milli=100,
            ram_mib=64,
            gpu=0,
            sandbox=Sandbox(network="none"),
        )
        return replace(spec, **changes)


def key_of(spec: LaunchSpec, replica: int = 0) -> Key:
    return Key(spec.deployment_id, spec.attempt, replica)


def problem_of(status: ReplicaStatus) -> Code | None:
    return status.problem.code if status.problem else None


def wait_until(what: Callable[[], T | None]) -> T:
    """The first answer that is true. It is asked again and again, as a reconciler does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"It did not come about within {PATIENCE_S:.0f} s.")
        time.sleep(0.05)
    return answer


def seen(runtime: Runtime, spec: LaunchSpec) -> list[ReplicaStatus]:
    return sorted(runtime.observe([spec.deployment_id]), key=lambda each: each.key)


def ended(runtime: Runtime, spec: LaunchSpec) -> ReplicaStatus:
    return wait_until(
        lambda: next((s for s in seen(runtime, spec) if s.phase == Phase.ENDED), None)
    )


def ready(runtime: Runtime, spec: LaunchSpec) -> list[ReplicaStatus]:
    def all_ready() -> list[ReplicaStatus]:
        replica_statuses = seen(runtime, spec)
        complete = len(replica_statuses) >= len(spec.placement)
        return replica_statuses if complete and all(s.ready for s in replica_statuses) else []

    return wait_until(all_ready)


@contextmanager
def watched(runtime: Runtime) -> Iterator[list[str | None]]:
    """What `watch` yields meanwhile. It listens already, and has ended afterwards."""
    stop, heard = Event(), list[str | None]()

    def listen() -> None:
        for item in runtime.watch(stop):
            heard.append(item)

    thread = Thread(target=listen, daemon=True)
    thread.start()
    try:
        wait_until(lambda: heard)
        yield heard
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def gone_or_ended(runtime: Runtime, spec: LaunchSpec, replica: int) -> bool:
    """Some runtimes clear away by themselves what was told to end."""
    replica_statuses = [s for s in seen(runtime, spec) if s.key.replica == replica]
    return all(s.phase == Phase.ENDED for s in replica_statuses)
