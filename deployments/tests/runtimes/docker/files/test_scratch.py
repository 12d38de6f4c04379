"""What a container writes beside its volumes, on a real engine."""

from dataclasses import replace
from typing import Any

import pytest

from deployments.runtimes.base import Access, Code, Container, Phase, Problem, RuntimeUnavailable
from deployments.runtimes.docker import containers
from deployments.runtimes.docker.client import Answered, Engine
from deployments.runtimes.docker.files import scratch
from deployments.runtimes.docker.files.scratch import LABEL, Scratch
from deployments.runtimes.mounts import Mount
from deployments.tests.runtimes.harness import key_of, problem_of, ready, seen, wait_until

pytestmark = pytest.mark.docker

LIMITED = Container(ephemeral_mib=4)
WRITES = "dd if=/dev/zero of={path} bs=1M count={mib} 2>/dev/null; echo done; exec sleep 600"


@pytest.fixture
def at_once(monkeypatch):
    """Each look measures anew."""
    monkeypatch.setattr(scratch, "EVERY_S", 0.0)
    monkeypatch.setattr(scratch, "SLOWLY", 0)


@pytest.fixture
def start(at_once, busybox):
    """`start(path, mib)`: a container that writes so much, and its runtime."""

    def start(path, mib, **given):
        runtime = busybox.runtime("ours")
        spec = busybox.launch_spec(busybox.shell(WRITES.format(path=path, mib=mib)), **given)
        spec = replace(spec, container=LIMITED)
        runtime.start(spec)
        wait_until(lambda: b"done" in b"".join(runtime.logs(key_of(spec))) or None)
        return runtime, spec

    return start


def test_a_container_that_writes_too_much_is_said_to_be_out_of_disk(start):
    runtime, spec = start("/file", 8)
    [status] = seen(runtime, spec)
    assert status.phase == Phase.RUNNING
    assert not status.ready
    assert problem_of(status) == Code.OUT_OF_DISK
    assert status.problem == Problem(Code.OUT_OF_DISK, "it has written 8 MiB, and may write 4")


@pytest.mark.parametrize(("path", "mib"), [("/file", 2), ("/dev/shm/file", 8)])
def test_what_is_within_the_limit_or_in_memory_is_not(start, path, mib):
    runtime, spec = start(path, mib, ram_mib=64)
    [status] = ready(runtime, spec)
    assert status.problem is None


def test_what_is_in_a_volume_does_not_count(at_once, busybox):
    runtime = busybox.runtime("ours")
    spec = busybox.launch_spec(busybox.shell(WRITES.format(path="/data/file", mib=8)))
    mounts = [Mount("data", "DOCKER_VOLUME", "/data")]
    spec = replace(spec, container=LIMITED, mounts=mounts)
    runtime.start(spec)
    wait_until(lambda: b"done" in b"".join(runtime.logs(key_of(spec))) or None)
    [status] = ready(runtime, spec)
    assert status.problem is None


def test_without_a_limit_nothing_is_measured(busybox, docker_runtime, monkeypatch):
    spec = busybox.launch_spec(busybox.shell(WRITES.format(path="/file", mib=8)))
    docker_runtime.start(spec)
    monkeypatch.setattr(scratch, "_written", lambda *_: pytest.fail("measured"))
    assert ready(docker_runtime, spec)[0].problem is None
    inspected = busybox.engine.client.inspect_container(containers.name(key_of(spec)))
    assert LABEL not in inspected["Config"]["Labels"]


def test_the_next_worker_measures_what_another_has_started(start, busybox):
    _, spec = start("/file", 8)
    other = busybox.runtime("ours")
    assert problem_of(seen(other, spec)[0]) == Code.OUT_OF_DISK
    other.close()


def test_a_layer_that_takes_the_engine_too_long_ends_no_look(start, monkeypatch):
    runtime, spec = start("/file", 8)

    def slow(*_):
        raise RuntimeUnavailable("too long")

    monkeypatch.setattr(scratch, "_written", slow)
    assert seen(runtime, spec)[0].problem is None


def test_scratch_is_gone_with_its_container(start, busybox):
    runtime, spec = start("/file", 2)
    runtime.remove(key_of(spec))
    left = busybox.engine.client.df()["Containers"] or []
    assert not [each for each in left if containers.name(key_of(spec)) in str(each["Names"])]


@pytest.mark.parametrize(
    ("said", "measures"),
    [
        ("--storage-opt is supported only for overlay over xfs with 'pquota' mount option", True),
        ("--storage-opt is not supported for aufs", True),
        ("Filesystem does not support, or has not enabled quotas", True),
        ("No such image: nothing:1", False),
        ("no space left on device", False),
    ],
)
def test_an_engine_with_quotas_enforces_the_limit_and_any_other_is_measured(said, measures):
    limits = Scratch(Engine(Access("unix:///nowhere"), 1.0))
    config: dict[str, Any] = {"HostConfig": {}, "Labels": {}}
    limits.limit(config, 4)
    assert config == {"HostConfig": {"StorageOpt": {"size": "4m"}}, "Labels": {}}
    assert limits.measures_instead(Answered(400, said), config) is measures
    if measures:
        following: dict[str, Any] = {"HostConfig": {}, "Labels": {}}
        limits.limit(following, 4)
        assert config == following == {"HostConfig": {}, "Labels": {LABEL: "4"}}
