"""Each GPU of an engine is given to one container at a time."""

import pytest

from deployments.runtimes.base import ReplicaPlacement
from deployments.runtimes.docker import gpus
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.docker.busybox import Busybox

LABEL = gpus.LABEL


def container(state: str, indexes: str | None) -> dict:
    return {"State": state, "Labels": {LABEL: indexes} if indexes is not None else None}


@pytest.mark.parametrize(
    ("there", "next_ones"),
    [
        ([], ["0", "1", "2"]),
        ([container("running", "0,2")], ["1", "3", "4"]),
        ([container("created", "0"), container("running", None)], ["1", "2", "3"]),
        (
            [container("exited", "0,1"), container("dead", "2"), container("running", "1")],
            ["0", "2", "3"],
        ),
    ],
)
def test_the_lowest_unused_gpus_are_taken(there: list[dict], next_ones: list[str]):
    assert list(gpus.take(gpus.unused(there), 3)) == next_ones


@pytest.mark.docker
def test_no_two_containers_of_an_engine_share_a_gpu(
    busybox: Busybox, docker_runtime: DockerRuntime
):
    """The containers are created, and the engine cannot start them: this machine has no GPU."""
    pair = busybox.launch_spec(
        busybox.sleeps(),
        gpu=2,
        placement=[ReplicaPlacement(0, "node"), ReplicaPlacement(1, "node")],
    )
    single = busybox.launch_spec(busybox.sleeps(), gpu=1)
    for spec in (pair, single, pair):
        docker_runtime.start(spec)
    listed = docker_runtime._engine.call(lambda c: c.containers(all=True, filters={"label": LABEL}))
    assert sorted(each["Labels"][LABEL] for each in listed) == ["0,1", "2,3", "4"]
