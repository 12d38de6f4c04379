"""The contract of all runtimes.

A runtime's tests subclass `RuntimeContract` and give it a `harness` fixture. The contract uses
only the interface of runtimes and the harness.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from uuid import uuid4

import pytest

from deployments.runtimes.base import (
    Code,
    ImageMissing,
    LaunchSpec,
    Phase,
    RefusedError,
    Runtime,
    RuntimeUnavailable,
    Secrets,
)
from deployments.tests.runtimes.harness import (
    Harness,
    ended,
    gone_or_ended,
    key_of,
    problem_of,
    ready,
    seen,
    wait_until,
    watched,
)
from deployments.tests.runtimes.logs_contract import LogsContract


def tried(runtime: Runtime, spec: LaunchSpec) -> None:
    """Starts it, and again where another worker does so at the same moment."""

    def start() -> bool:
        try:
            runtime.start(spec)
        except RuntimeUnavailable:
            return False
        return True

    wait_until(start)


class RuntimeContract(LogsContract):
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

    def test_every_replica_of_a_launch_spec_runs_on_its_node(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps(), replicas=2)
        runtime.start(spec)
        first, second = ready(runtime, spec)
        assert [first.key, second.key] == [key_of(spec, 0), key_of(spec, 1)]
        assert first.phase == Phase.RUNNING
        assert first.node == harness.node
        assert first.started_at is not None
        assert first.problem is None
        assert first.exit_code is None
        assert not first.stopping

    def test_each_replica_gets_the_secrets_as_variables_and_files(self, harness, runtime):
        secrets = Secrets({"TOKEN": "of $(HOME) $$ a'b"}, {"hub/token": "of a file", "x": "y"})
        work = harness.reveals("TOKEN", "hub/token")
        spec = harness.launch_spec(work, replicas=2, secrets=secrets)
        runtime.start(spec)
        for replica in (0, 1):
            alone = replace(spec, placement=spec.placement[replica:][:1])
            wait_until(lambda: gone_or_ended(runtime, spec, replica))  # noqa: B023 - called at once
            written = b"".join(runtime.logs(key_of(alone, replica))).decode()
            assert written.splitlines() == ["of $(HOME) $$ a'b", "of a file"]
        assert "of a file" not in repr(spec)

    def test_secrets_are_given_to_what_another_worker_has_begun_to_start(self, harness, runtime):
        secrets = Secrets({"TOKEN": "a"}, {"token": "b"})
        spec = harness.launch_spec(harness.reveals("TOKEN", "token"), secrets=secrets)
        with ThreadPoolExecutor(2) as workers:
            for started in [workers.submit(tried, runtime, spec) for _ in range(2)]:
                started.result()
        ended(runtime, spec)
        assert b"".join(runtime.logs(key_of(spec))).decode().splitlines() == ["a", "b"]

    def test_a_started_replica_is_not_started_again(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps())
        runtime.start(spec)
        before = ready(runtime, spec)
        runtime.start(spec)
        assert seen(runtime, spec) == before

    def test_another_worker_starts_only_the_replica_that_is_missing(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps(), replicas=2)
        runtime.start(replace(spec, placement=spec.placement[:1]))
        (before,) = ready(runtime, replace(spec, placement=spec.placement[:1]))
        harness.runtime("ours").start(spec)
        assert ready(runtime, spec)[0] == before

    def test_workers_at_once_start_each_replica_once(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps(), replicas=2)

        def start() -> bool:
            try:
                runtime.start(spec)
            except RuntimeUnavailable:  # busy with another worker's start; a worker tries again
                return False
            return True

        with ThreadPoolExecutor(4) as workers:
            for started in [workers.submit(wait_until, start) for _ in range(4)]:
                started.result()
        assert [s.key.replica for s in ready(runtime, spec)] == [0, 1]

    def test_a_replica_that_has_ended_stays_ended_when_started_again(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(3))
        runtime.start(spec)
        before = ended(runtime, spec)
        runtime.start(spec)
        assert seen(runtime, spec) == [before]

    def test_the_next_attempt_is_another_replica(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(1))
        runtime.start(spec)
        ended(runtime, spec)
        runtime.start(replace(spec, attempt=2))
        assert [s.key.attempt for s in seen(runtime, spec)] == [1, 2]

    def test_a_missing_image_fails_the_pull(self, harness, runtime):
        spec = harness.launch_spec(harness.has_no_such_image(), replicas=2)
        try:
            runtime.start(spec)
        except ImageMissing:  # this runtime pulls when `pull` is called
            assert seen(runtime, spec) == []
            with pytest.raises(RefusedError) as refusal:
                runtime.pull(spec.image)
            assert refusal.value.problem.code == Code.IMAGE_PULL_FAILED
            assert refusal.value.problem.message
        else:  # this runtime pulls by itself
            problem = wait_until(
                lambda: (
                    {s.problem.code for s in seen(runtime, spec) if s.problem}
                    - {Code.PULLING_IMAGE}
                )
            )
            assert problem == {Code.IMAGE_PULL_FAILED}

    def test_a_missing_command_fails_the_replica(self, harness, runtime):
        spec = harness.launch_spec(harness.has_no_such_command())
        runtime.start(spec)
        assert problem_of(ended(runtime, spec)) == Code.COMMAND_FAILED

    # Gangs

    def test_nothing_of_a_prepared_gang_runs_until_it_is_started(self, harness, runtime):
        spec = harness.gang(harness.sleeps())
        runtime.prepare(spec)
        waiting = wait_until(
            lambda: [s for s in seen(runtime, spec) if not s.begun and s.phase == Phase.PENDING]
        )
        assert all(each.created_at for each in waiting)
        wait_until(lambda: [s.begun for s in seen(runtime, spec)] == [False, False])
        assert not any(s.problem for s in seen(runtime, spec))
        runtime.start(spec)
        assert [s.key.replica for s in ready(runtime, spec)] == [0, 1]
        assert all(s.begun for s in seen(runtime, spec))

    def test_a_gang_that_is_prepared_or_started_again_is_the_same(self, harness, runtime):
        spec = harness.gang(harness.sleeps())
        runtime.prepare(spec)
        harness.runtime("ours").prepare(spec)
        wait_until(lambda: [s.begun for s in seen(runtime, spec)] == [False, False])
        runtime.start(spec)
        before = ready(runtime, spec)
        harness.runtime("ours").start(spec)
        assert seen(runtime, spec) == before

    def test_a_prepared_gang_can_be_given_up(self, harness, runtime):
        spec = harness.gang(harness.sleeps())
        runtime.prepare(spec)
        wait_until(lambda: [s.begun for s in seen(runtime, spec)] == [False, False])
        for replica in (0, 1):
            runtime.stop(key_of(spec, replica), 0)
        wait_until(lambda: all(gone_or_ended(runtime, spec, number) for number in (0, 1)))

    # Ending

    def test_a_replica_that_exits_with_zero_has_no_problem(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(0))
        runtime.start(spec)
        status = ended(runtime, spec)
        assert status.exit_code == 0
        assert status.problem is None
        assert not status.ready
        assert status.started_at is not None
        assert status.ended_at is not None
        assert status.started_at <= status.ended_at

    def test_a_replica_that_exits_with_another_code_has_a_problem(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(3))
        runtime.start(spec)
        status = ended(runtime, spec)
        assert status.exit_code == 3
        assert problem_of(status) == Code.EXITED

    def test_a_replica_that_ends_itself_as_a_stop_would_end_it_has_failed(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(143))
        runtime.start(spec)
        status = ended(runtime, spec)
        assert (status.exit_code, problem_of(status)) == (143, Code.EXITED)

    def test_a_stopped_replica_ends(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps(), replicas=2)
        runtime.start(spec)
        ready(runtime, spec)
        runtime.stop(key_of(spec, 0), grace_s=30)
        wait_until(lambda: not any(s.ready for s in seen(runtime, spec) if s.key.replica == 0))
        wait_until(lambda: gone_or_ended(runtime, spec, 0))
        assert [s.ready for s in seen(runtime, spec) if s.key.replica == 1] == [True]

    def test_a_replica_that_ignores_its_stop_is_killed_by_a_stop_without_grace(
        self, harness, runtime
    ):
        spec = harness.launch_spec(harness.deaf())
        runtime.start(spec)
        ready(runtime, spec)
        runtime.stop(key_of(spec), grace_s=600)
        assert seen(runtime, spec)[0].phase == Phase.RUNNING
        runtime.stop(key_of(spec), grace_s=0)
        wait_until(lambda: gone_or_ended(runtime, spec, 0))

    def test_stopping_or_removing_a_missing_replica_does_nothing(self, harness, runtime):
        absent = key_of(harness.launch_spec(harness.sleeps()))
        runtime.stop(absent, grace_s=30)
        runtime.stop(absent, grace_s=0)
        runtime.remove(absent)

    def test_stopping_a_replica_that_has_ended_changes_nothing(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(3))
        runtime.start(spec)
        before = ended(runtime, spec)
        runtime.stop(key_of(spec), grace_s=30)
        runtime.stop(key_of(spec), grace_s=0)
        assert seen(runtime, spec) == [before]

    def test_a_removed_replica_does_not_exist(self, harness, runtime):
        spec = harness.launch_spec(harness.exits(0))
        runtime.start(spec)
        ended(runtime, spec)
        runtime.remove(key_of(spec))
        runtime.remove(key_of(spec))
        wait_until(lambda: not seen(runtime, spec))

    def test_a_running_replica_is_killed_when_removed(self, harness, runtime):
        spec = harness.launch_spec(harness.deaf())
        runtime.start(spec)
        ready(runtime, spec)
        runtime.remove(key_of(spec))
        wait_until(lambda: not seen(runtime, spec))

    def test_what_has_taken_the_place_of_a_replica_that_was_seen_is_left_alone(
        self, harness, runtime
    ):
        spec = harness.launch_spec(harness.sleeps())
        runtime.start(spec)
        (before,) = ready(runtime, spec)
        runtime.remove(before.key, before.id)
        wait_until(lambda: not seen(runtime, spec))
        runtime.start(spec)
        (after,) = ready(runtime, spec)
        assert after.id != before.id
        runtime.stop(before.key, 0, before.id)
        runtime.remove(before.key, before.id)
        assert [(each.id, each.stopping) for each in ready(runtime, spec)] == [(after.id, False)]
        runtime.stop(after.key, 0, after.id)
        ended(runtime, spec)

    # Seeing

    def test_only_the_deployments_asked_for_are_observed(self, harness, runtime):
        one, two, three = (harness.launch_spec(harness.sleeps()) for _ in range(3))
        for spec in (one, two, three):
            runtime.start(spec)
        wanted = {one.deployment_id, three.deployment_id}
        assert {s.key.deployment_id for s in runtime.observe(wanted)} == wanted
        assert len(runtime.observe()) == 3
        assert runtime.observe([]) == []
        assert runtime.observe([str(uuid4())]) == []

    def test_replicas_of_another_cluster_are_neither_observed_nor_touched(self, harness, runtime):
        spec = harness.launch_spec(harness.says_three_lines_and_runs_on())
        runtime.start(spec)
        before = ready(runtime, spec)
        others = harness.runtime("theirs")
        assert others.observe() == []
        assert others.observe([spec.deployment_id]) == []
        assert b"".join(others.logs(key_of(spec))) == b""
        others.stop(key_of(spec), grace_s=0)
        others.remove(key_of(spec))
        others.close()
        assert seen(runtime, spec) == before

    def test_capacity_names_the_node_and_what_it_has(self, harness, runtime):
        nodes = {capacity.node: capacity for capacity in runtime.capacity()}
        assert nodes[harness.node].cpu_milli > 0
        assert nodes[harness.node].ram_mib > 0
        assert nodes[harness.node].ready
        assert not nodes[harness.node].cordoned

    def test_a_watch_reports_starts_and_ends(self, harness, runtime):
        spec = harness.launch_spec(harness.sleeps())
        with watched(harness.runtime("ours")) as heard:
            runtime.start(spec)
            wait_until(lambda: spec.deployment_id in heard)
            ready(runtime, spec)
            heard.clear()
            runtime.stop(key_of(spec), grace_s=0)
            wait_until(lambda: spec.deployment_id in heard)

    # An endpoint that is away

    def test_an_endpoint_that_does_not_answer_is_unavailable_for_all(self, harness):
        runtime = harness.unreachable()
        spec = harness.launch_spec(harness.sleeps())
        calls: list[Callable[[], object]] = [
            lambda: runtime.start(spec),
            lambda: runtime.stop(key_of(spec), grace_s=30),
            lambda: runtime.remove(key_of(spec)),
            runtime.observe,
            lambda: runtime.logs(key_of(spec)),
            lambda: runtime.logs(key_of(spec), follow=True),
            runtime.capacity,
            lambda: list(runtime.watch(Event())),
        ]
        for call in calls:
            with pytest.raises(RuntimeUnavailable) as raised:
                call()
            assert str(raised.value)
        runtime.close()
