"""The runtime in memory keeps the contract, and its controls do what tests want of them."""

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
    seen,
    trouble_of,
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
    launch = harness.launch(Work("training:1"))
    runtime.missing_images.add("training:1")
    with pytest.raises(ImageMissing):
        runtime.start(launch)
    runtime.pull("training:1")
    runtime.start(launch)
    assert [s.phase for s in seen(runtime, launch)] == [Phase.RUNNING]


def test_a_pull_can_fail(runtime):
    runtime.unpullable_images.add("training:1")
    with pytest.raises(RefusedError) as refusal:
        runtime.pull("training:1")
    assert refusal.value.trouble.code == Code.IMAGE_PULL_FAILED


def test_one_can_end_by_itself(harness, runtime):
    launch = harness.launch(harness.sleeps())
    runtime.start(launch)
    runtime.finish(key_of(launch), exit_code=137, trouble=Code.OUT_OF_MEMORY)
    sighting = ended(runtime, launch)
    assert (sighting.exit_code, trouble_of(sighting)) == (137, Code.OUT_OF_MEMORY)


def test_one_can_be_lost_and_whoever_watches_hears_of_it(harness, runtime):
    launch = harness.launch(harness.sleeps())
    runtime.start(launch)
    with watched(runtime) as heard:
        runtime.vanish(key_of(launch))
        assert runtime.observe() == []
    assert set(heard) <= {None, launch.deployment_id}


def test_the_endpoint_can_go_away_and_come_back(harness, runtime):
    launch = harness.launch(harness.sleeps())
    runtime.start(launch)
    runtime.unavailable = True
    with pytest.raises(RuntimeUnavailable):
        runtime.observe()
    runtime.unavailable = False
    assert len(runtime.observe()) == 1


def test_one_is_not_ready_until_it_is(harness, runtime):
    launch = harness.launch(Work("warming"))
    runtime.start(launch)
    (before,) = seen(runtime, launch)
    runtime.set_ready(key_of(launch))
    (after,) = seen(runtime, launch)
    assert (before.ready, trouble_of(before)) == (False, Code.NOT_READY)
    assert (after.ready, after.trouble) == (True, None)


def test_one_that_does_not_listen_is_stopping_until_its_grace_ends(harness, runtime):
    launch = harness.launch(harness.deaf())
    runtime.start(launch)
    runtime.stop(key_of(launch), grace_s=1)
    assert seen(runtime, launch)[0].stopping
    assert ended(runtime, launch).exit_code == 137
