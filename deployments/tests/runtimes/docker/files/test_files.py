"""When a file of a container was last written, as a Docker engine tells it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deployments.runtimes.base import RuntimeUnavailable
from deployments.runtimes.mounts import Mount
from deployments.tests.runtimes.harness import key_of, ready, wait_until

pytestmark = pytest.mark.docker

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
TOUCHES = "mkdir -p /out; touch -d '2026-03-01 09:30:00' {path}; echo done; exec sleep 600"


@pytest.fixture
def touch(busybox, docker_runtime):
    """Starts what writes the file, and waits until it has."""

    def touch(path, **given):
        line = TOUCHES.format(path=f"'{path}'")
        spec = replace(busybox.launch_spec(busybox.shell(line)), **given)
        docker_runtime.start(spec)
        [status] = ready(docker_runtime, spec)
        wait_until(lambda: b"done" in b"".join(docker_runtime.logs(key_of(spec))) or None)
        return spec, status

    return touch


@pytest.mark.parametrize("path", ["/out/model.pt", "/saved", "/out/of ada & b%2F?x=1"])
def test_a_file_has_the_time_of_its_last_write(docker_runtime, touch, path):
    spec, status = touch(path)
    assert docker_runtime.touched_at(key_of(spec), path, status.id) == AT
    assert docker_runtime.touched_at(key_of(spec), path) == AT


def test_a_file_in_a_volume_is_seen(docker_runtime, touch):
    spec, _ = touch("/out/model.pt", mounts=[Mount("checkpoints", "DOCKER_VOLUME", "/out")])
    assert docker_runtime.touched_at(key_of(spec), "/out/model.pt") == AT


@pytest.mark.parametrize("path", ["/out/other", "/no/such/folder/file"])
def test_a_file_that_is_not_there_has_no_time(docker_runtime, touch, path):
    spec, _ = touch("/out/model.pt")
    assert docker_runtime.touched_at(key_of(spec), path) is None


def test_a_container_that_is_gone_has_no_files(docker_runtime, touch):
    spec, status = touch("/out/model.pt")
    docker_runtime.remove(key_of(spec))
    assert docker_runtime.touched_at(key_of(spec), "/out/model.pt", status.id) is None


def test_an_engine_that_does_not_answer_is_unavailable(busybox, touch):
    spec, _ = touch("/out/model.pt")
    unreachable = busybox.unreachable()
    with pytest.raises(RuntimeUnavailable):
        unreachable.touched_at(key_of(spec), "/out/model.pt")
