"""What every runtime has to do, whatever it runs on.

A runtime's tests subclass `RuntimeContract` and give it a `harness` fixture. Its sentences know
nothing but the interface and the harness.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from deployments.runtimes.base import (
    Code,
    ImageMissing,
    Key,
    Launch,
    Phase,
    Place,
    RefusedError,
    Runtime,
    RuntimeUnavailable,
    Sandbox,
    Sighting,
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

    def launch(self, work: Work, replicas: int = 1, **changes: Any) -> Launch:
        launch = Launch(
            deployment_id=str(uuid4()),
            attempt=1,
            places=[Place(replica, self.node) for replica in range(replicas)],
            name="training",
            image=work.image,
            command=work.command,
            args=work.args,
            cpu_milli=100,
            ram_mib=64,
            gpu=0,
            sandbox=Sandbox(network="none"),
        )
        return replace(launch, **changes)


def key_of(launch: Launch, replica: int = 0) -> Key:
    return Key(launch.deployment_id, launch.attempt, replica)


def trouble_of(sighting: Sighting) -> Code | None:
    return sighting.trouble.code if sighting.trouble else None


def wait_until(what: Callable[[], T | None]) -> T:
    """The first answer that is true. It is asked again and again, as a reconciler does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"It did not come about within {PATIENCE_S:.0f} s.")
        time.sleep(0.05)
    return answer


def seen(runtime: Runtime, launch: Launch) -> list[Sighting]:
    return sorted(runtime.observe([launch.deployment_id]), key=lambda sighting: sighting.key)


def ended(runtime: Runtime, launch: Launch) -> Sighting:
    return wait_until(
        lambda: next((s for s in seen(runtime, launch) if s.phase == Phase.ENDED), None)
    )


def ready(runtime: Runtime, launch: Launch) -> list[Sighting]:
    def all_ready() -> list[Sighting]:
        sightings = seen(runtime, launch)
        complete = len(sightings) >= len(launch.places)
        return sightings if complete and all(s.ready for s in sightings) else []

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


class RuntimeContract:
    """Subclass it, and give it a `harness`."""

    @pytest.fixture
    def harness(self) -> Iterator[Harness]:
        raise NotImplementedError

    @pytest.fixture
    def runtime(self, harness: Harness) -> Iterator[Runtime]:
        runtime = harness.runtime("ours")
        yield runtime
        runtime.close()

    # Starting

    def test_every_replica_of_a_launch_comes_to_run_on_its_node(self, harness, runtime):
        launch = harness.launch(harness.sleeps(), replicas=2)
        runtime.start(launch)
        first, second = ready(runtime, launch)
        assert [first.key, second.key] == [key_of(launch, 0), key_of(launch, 1)]
        assert first.phase == Phase.RUNNING
        assert first.node == harness.node
        assert first.started_at is not None
        assert first.trouble is None
        assert first.exit_code is None
        assert not first.stopping

    def test_what_has_been_started_is_not_started_again(self, harness, runtime):
        launch = harness.launch(harness.sleeps())
        runtime.start(launch)
        before = ready(runtime, launch)
        runtime.start(launch)
        assert seen(runtime, launch) == before

    def test_another_worker_starts_only_the_replica_that_is_missing(self, harness, runtime):
        launch = harness.launch(harness.sleeps(), replicas=2)
        runtime.start(replace(launch, places=launch.places[:1]))
        (before,) = ready(runtime, replace(launch, places=launch.places[:1]))
        harness.runtime("ours").start(launch)
        assert ready(runtime, launch)[0] == before

    def test_one_that_has_ended_stays_ended_when_started_again(self, harness, runtime):
        launch = harness.launch(harness.exits(3))
        runtime.start(launch)
        before = ended(runtime, launch)
        runtime.start(launch)
        assert seen(runtime, launch) == [before]

    def test_the_next_attempt_is_another_replica(self, harness, runtime):
        launch = harness.launch(harness.exits(1))
        runtime.start(launch)
        ended(runtime, launch)
        runtime.start(replace(launch, attempt=2))
        assert [s.key.attempt for s in seen(runtime, launch)] == [1, 2]

    def test_an_image_that_is_nowhere_is_told_as_such(self, harness, runtime):
        launch = harness.launch(harness.has_no_such_image(), replicas=2)
        try:
            runtime.start(launch)
        except ImageMissing:  # this runtime pulls when it is told to
            assert seen(runtime, launch) == []
            with pytest.raises(RefusedError) as refusal:
                runtime.pull(launch.image)
            assert refusal.value.trouble.code == Code.IMAGE_PULL_FAILED
            assert refusal.value.trouble.message
        else:  # and this one pulls by itself
            trouble = wait_until(
                lambda: (
                    {s.trouble.code for s in seen(runtime, launch) if s.trouble}
                    - {Code.PULLING_IMAGE}
                )
            )
            assert trouble == {Code.IMAGE_PULL_FAILED}

    def test_a_command_that_is_not_there_is_told_as_such(self, harness, runtime):
        launch = harness.launch(harness.has_no_such_command())
        runtime.start(launch)
        assert trouble_of(ended(runtime, launch)) == Code.COMMAND_FAILED

    # Ending

    def test_one_that_did_its_work_has_ended_without_trouble(self, harness, runtime):
        launch = harness.launch(harness.exits(0))
        runtime.start(launch)
        sighting = ended(runtime, launch)
        assert sighting.exit_code == 0
        assert sighting.trouble is None
        assert not sighting.ready
        assert sighting.started_at is not None
        assert sighting.ended_at is not None
        assert sighting.started_at <= sighting.ended_at

    def test_an_exit_code_other_than_zero_is_trouble(self, harness, runtime):
        launch = harness.launch(harness.exits(3))
        runtime.start(launch)
        sighting = ended(runtime, launch)
        assert sighting.exit_code == 3
        assert trouble_of(sighting) == Code.EXITED

    def test_one_that_is_told_to_end_ends(self, harness, runtime):
        launch = harness.launch(harness.sleeps(), replicas=2)
        runtime.start(launch)
        ready(runtime, launch)
        runtime.stop(key_of(launch, 0), grace_s=30)
        wait_until(lambda: not any(s.ready for s in seen(runtime, launch) if s.key.replica == 0))
        wait_until(lambda: gone_or_ended(runtime, launch, 0))
        assert [s.ready for s in seen(runtime, launch) if s.key.replica == 1] == [True]

    def test_one_that_does_not_listen_is_killed_with_no_grace(self, harness, runtime):
        launch = harness.launch(harness.deaf())
        runtime.start(launch)
        ready(runtime, launch)
        runtime.stop(key_of(launch), grace_s=600)
        assert seen(runtime, launch)[0].phase == Phase.RUNNING
        runtime.stop(key_of(launch), grace_s=0)
        wait_until(lambda: gone_or_ended(runtime, launch, 0))

    def test_to_stop_or_remove_what_is_not_there_does_nothing(self, harness, runtime):
        absent = key_of(harness.launch(harness.sleeps()))
        runtime.stop(absent, grace_s=30)
        runtime.stop(absent, grace_s=0)
        runtime.remove(absent)

    def test_to_stop_one_that_has_ended_leaves_it_as_it_is(self, harness, runtime):
        launch = harness.launch(harness.exits(3))
        runtime.start(launch)
        before = ended(runtime, launch)
        runtime.stop(key_of(launch), grace_s=30)
        runtime.stop(key_of(launch), grace_s=0)
        assert seen(runtime, launch) == [before]

    def test_what_is_removed_is_there_no_more(self, harness, runtime):
        launch = harness.launch(harness.exits(0))
        runtime.start(launch)
        ended(runtime, launch)
        runtime.remove(key_of(launch))
        runtime.remove(key_of(launch))
        wait_until(lambda: not seen(runtime, launch))

    def test_one_that_runs_is_killed_when_removed(self, harness, runtime):
        launch = harness.launch(harness.deaf())
        runtime.start(launch)
        ready(runtime, launch)
        runtime.remove(key_of(launch))
        wait_until(lambda: not seen(runtime, launch))

    # Seeing

    def test_only_the_deployments_asked_for_are_seen(self, harness, runtime):
        one, two, three = (harness.launch(harness.sleeps()) for _ in range(3))
        for launch in (one, two, three):
            runtime.start(launch)
        wanted = {one.deployment_id, three.deployment_id}
        assert {s.key.deployment_id for s in runtime.observe(wanted)} == wanted
        assert len(runtime.observe()) == 3
        assert runtime.observe([]) == []
        assert runtime.observe([str(uuid4())]) == []

    def test_another_clusters_replicas_are_neither_seen_nor_touched(self, harness, runtime):
        launch = harness.launch(harness.says_three_lines_and_runs_on())
        runtime.start(launch)
        before = ready(runtime, launch)
        others = harness.runtime("theirs")
        assert others.observe() == []
        assert others.observe([launch.deployment_id]) == []
        assert b"".join(others.logs(key_of(launch))) == b""
        others.stop(key_of(launch), grace_s=0)
        others.remove(key_of(launch))
        others.close()
        assert seen(runtime, launch) == before

    def test_capacity_names_the_node_and_what_it_has(self, harness, runtime):
        nodes = {capacity.node: capacity for capacity in runtime.capacity()}
        assert nodes[harness.node].cpu_milli > 0
        assert nodes[harness.node].ram_mib > 0
        assert nodes[harness.node].ready
        assert not nodes[harness.node].cordoned

    def test_whoever_watches_hears_of_what_begins_and_ends(self, harness, runtime):
        launch = harness.launch(harness.sleeps())
        with watched(harness.runtime("ours")) as heard:
            runtime.start(launch)
            wait_until(lambda: launch.deployment_id in heard)
            ready(runtime, launch)
            heard.clear()
            runtime.stop(key_of(launch), grace_s=0)
            wait_until(lambda: launch.deployment_id in heard)

    # Logs

    def test_logs_are_what_was_written_or_its_last_lines(self, harness, runtime):
        launch = harness.launch(harness.says_three_lines())
        runtime.start(launch)
        ended(runtime, launch)
        assert b"".join(runtime.logs(key_of(launch))) == b"one\ntwo\nthree\n"
        assert b"".join(runtime.logs(key_of(launch), tail=2)) == b"two\nthree\n"

    def test_logs_can_begin_at_a_moment(self, harness, runtime):
        launch = harness.launch(harness.says_three_lines())
        runtime.start(launch)
        now = ended(runtime, launch).ended_at or datetime.now(UTC)
        day = timedelta(days=1)
        everything = b"one\ntwo\nthree\n"
        assert b"".join(runtime.logs(key_of(launch), since=now - day)) == everything
        assert b"".join(runtime.logs(key_of(launch), since=now + day)) == b""

    def test_followed_logs_go_on_until_it_ends(self, harness, runtime):
        launch = harness.launch(harness.says_three_lines_and_runs_on())
        runtime.start(launch)
        ready(runtime, launch)
        written = runtime.logs(key_of(launch), follow=True)
        heard = b""
        while heard.count(b"\n") < 3:
            heard += next(written)
        runtime.stop(key_of(launch), grace_s=0)
        assert heard + b"".join(written) == b"one\ntwo\nthree\n"

    def test_whoever_is_not_there_has_no_logs(self, harness, runtime):
        absent = key_of(harness.launch(harness.sleeps()))
        assert list(runtime.logs(absent)) == []
        assert list(runtime.logs(absent, follow=True)) == []

    # Nobody there

    def test_an_endpoint_that_does_not_answer_is_unavailable_for_all(self, harness):
        runtime = harness.unreachable()
        launch = harness.launch(harness.sleeps())
        calls: list[Callable[[], object]] = [
            lambda: runtime.start(launch),
            lambda: runtime.stop(key_of(launch), grace_s=30),
            lambda: runtime.remove(key_of(launch)),
            runtime.observe,
            lambda: list(runtime.logs(key_of(launch))),
            runtime.capacity,
            lambda: list(runtime.watch(Event())),
        ]
        for call in calls:
            with pytest.raises(RuntimeUnavailable) as nobody:
                call()
            assert str(nobody.value)
        runtime.close()


def gone_or_ended(runtime: Runtime, launch: Launch, replica: int) -> bool:
    """Some runtimes clear away by themselves what was told to end."""
    sightings = [s for s in seen(runtime, launch) if s.key.replica == replica]
    return all(s.phase == Phase.ENDED for s in sightings)
