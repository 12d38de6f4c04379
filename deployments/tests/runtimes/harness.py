"""What the contract needs of a runtime under test, and how tests wait for replicas."""

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
from deployments.runtimes.peers import Peers, group_of

PATIENCE_S = 60.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a container of the runtime under test."""

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()


class Harness(ABC):
    """What the contract needs of a runtime. A subclass removes the containers in the end."""

    node: str

    @abstractmethod
    def runtime(self, cluster_id: str) -> Runtime:
        """A runtime at this endpoint. Two of the same cluster observe the same replicas."""

    @abstractmethod
    def unreachable(self) -> Runtime:
        """A runtime whose endpoint does not answer."""

    @abstractmethod
    def sleeps(self) -> Work:
        """Runs, writes nothing, and ends when it is stopped."""

    @abstractmethod
    def deaf(self) -> Work:
        """Ignores a stop, and runs until it is killed."""

    @abstractmethod
    def exits(self, code: int) -> Work:
        """Ends at once."""

    @abstractmethod
    def says_three_lines(self) -> Work:
        """Writes the lines one, two and three, and ends with 0."""

    @abstractmethod
    def says_three_lines_and_runs_on(self) -> Work:
        """Writes the lines one, two and three, and then sleeps."""

    @abstractmethod
    def reveals(self, variable: str, path: str) -> Work:
        """Writes what the variable is, and in another line what is in the file of secrets."""

    @abstractmethod
    def has_no_such_command(self) -> Work:
        """Its image does not have the program to run."""

    @abstractmethod
    def has_no_such_image(self) -> Work:
        """Its image does not exist."""

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

    def gang(self, work: Work, replicas: int = 2) -> LaunchSpec:
        """The replicas of a gang, in the network that gangs have where nobody has chosen one."""
        spec = self.launch_spec(work, replicas, sandbox=Sandbox())
        return replace(spec, peers=Peers(group_of(spec.deployment_id, spec.attempt), replicas))


def key_of(spec: LaunchSpec, replica: int = 0) -> Key:
    return Key(spec.deployment_id, spec.attempt, replica)


def problem_of(status: ReplicaStatus) -> Code | None:
    return status.problem.code if status.problem else None


def wait_until(condition: Callable[[], T | None]) -> T:
    """The first true result of repeated calls."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
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
        statuses = seen(runtime, spec)
        complete = len(statuses) >= len(spec.placement)
        return statuses if complete and all(s.ready for s in statuses) else []

    return wait_until(all_ready)


@contextmanager
def watched(runtime: Runtime) -> Iterator[list[str | None]]:
    """What `watch` yields meanwhile. The watch has begun on entry, and has ended on exit."""
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
    """True also if the replica does not exist: some runtimes remove a stopped one themselves."""
    statuses = [s for s in seen(runtime, spec) if s.key.replica == replica]
    return all(s.phase == Phase.ENDED for s in statuses)
