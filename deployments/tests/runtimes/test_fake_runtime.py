"""The fake runtime passes the contract, and its controls work."""

import pytest

from deployments.runtimes.base import (
    Capacity,
    Code,
    ImageMissing,
    Phase,
    RefusedError,
    RuntimeUnavailable,
)
from deployments.tests.runtimes.contract import RuntimeContract
from deployments.tests.runtimes.fake_runtime import FakeRuntime
from deployments.tests.runtimes.harness import (
    Harness,
    Work,
    ended,
    key_of,
    problem_of,
    seen,
    watched,
)


class InMemory(Harness):
    node = "node-1"

    def __init__(self) -> None:
        self._runtimes: dict[str, FakeRuntime] = {}

    def runtime(self, cluster_id: str) -> FakeRuntime:
        if cluster_id not in self._runtimes:
            nodes = [Capacity(self.node, cpu_milli=8000, ram_mib=1024, gpu=2)]
            runtime = FakeRuntime(cluster_id=cluster_id, nodes=nodes)
            runtime.unpullable_images = {"nowhere"}
            self._runtimes[cluster_id] = runtime
        return self._runtimes[cluster_id]

    def unreachable(self) -> FakeRuntime:
        runtime = FakeRuntime()
        runtime.unavailable = True
        return runtime

    def sleeps(self) -> Work:
        return Work("sleep")

    def deaf(self) -> Work:
        return Work("deaf")

    def exits(self, code: int) -> Work:
        return Work(f"exit:{code}")

    def says_three_lines(self) -> Work:
        return Work("hello")

    def says_three_lines_and_runs_on(self) -> Work:
        return Work("chatty")

    def reveals(self, variable: str, path: str) -> Work:
        return Work("reveal", (variable, path))

    def has_no_such_command(self) -> Work:
        return Work("no-command")

    def has_no_such_image(self) -> Work:
        return Work("nowhere")


@pytest.fixture
def harness() -> InMemory:
    return InMemory()


@pytest.fixture
def runtime(harness: InMemory) -> FakeRuntime:
    return harness.runtime("ours")


class TestContract(RuntimeContract):
    @pytest.fixture
    def harness(self) -> InMemory:
        return InMemory()


def test_an_image_is_missing_until_it_is_pulled(harness, runtime):
    spec = harness.launch_spec(Work("training:1"))
    runtime.missing_images.add("training:1")
    with pytest.raises(ImageMissing):
        runtime.start(spec)
    runtime.pull("training:1")
    runtime.start(spec)
    assert [s.phase for s in seen(runtime, spec)] == [Phase.RUNNING]


def test_a_pull_can_fail(runtime):
    runtime.unpullable_images.add("training:1")
    with pytest.raises(RefusedError) as refusal:
        runtime.pull("training:1")
    assert refusal.value.problem.code == Code.IMAGE_PULL_FAILED


def test_a_replica_can_end_by_itself(harness, runtime):
    spec = harness.launch_spec(harness.sleeps())
    runtime.start(spec)
    runtime.finish(key_of(spec), exit_code=137, problem=Code.OUT_OF_MEMORY)
    status = ended(runtime, spec)
    assert (status.exit_code, problem_of(status)) == (137, Code.OUT_OF_MEMORY)


def test_a_replica_can_vanish_and_a_watch_reports_it(harness, runtime):
    spec = harness.launch_spec(harness.sleeps())
    runtime.start(spec)
    with watched(runtime) as heard:
        runtime.vanish(key_of(spec))
        assert runtime.observe() == []
    assert set(heard) <= {None, spec.deployment_id}


def test_the_endpoint_can_go_away_and_come_back(harness, runtime):
    spec = harness.launch_spec(harness.sleeps())
    runtime.start(spec)
    runtime.unavailable = True
    with pytest.raises(RuntimeUnavailable):
        runtime.observe()
    runtime.unavailable = False
    assert len(runtime.observe()) == 1


def test_a_replica_can_become_ready_later(harness, runtime):
    spec = harness.launch_spec(Work("warming"))
    runtime.start(spec)
    (before,) = seen(runtime, spec)
    runtime.set_ready(key_of(spec))
    (after,) = seen(runtime, spec)
    assert (before.ready, problem_of(before)) == (False, Code.NOT_READY)
    assert (after.ready, after.problem) == (True, None)


def test_a_replica_that_ignores_its_stop_is_stopping_until_its_grace_ends(harness, runtime):
    spec = harness.launch_spec(harness.deaf())
    runtime.start(spec)
    runtime.stop(key_of(spec), grace_s=1)
    assert seen(runtime, spec)[0].stopping
    assert ended(runtime, spec).exit_code == 137
