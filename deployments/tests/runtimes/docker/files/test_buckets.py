"""Buckets are fetched on a real Docker engine, from a real S3 server, before a container starts."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deployments.runtimes.base import (
    Code,
    DataAwaited,
    ImageMissing,
    LaunchSpec,
    Phase,
    RefusedError,
    ReplicaStatus,
    Sandbox,
    Secrets,
)
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.runtimes.fetches import Bucket, Fetch
from deployments.runtimes.mounts import Mount
from deployments.tests.runtimes.docker.busybox import Busybox
from deployments.tests.runtimes.harness import ended, key_of, seen, wait_until
from deployments.tests.runtimes.s3 import BUCKET, KEY, KEY_ID

pytestmark = pytest.mark.docker

LOOK = "ls -l /data /data/deep | cut -c1-10; cat /data/a.txt; touch /data/b; env; ls /run"


@pytest.fixture
def fetching(
    busybox: Busybox, s3_network: tuple[str, str], fetch_image: str
) -> Callable[..., LaunchSpec]:
    """A launch spec that fetches the bucket's folder into /data."""
    network, url = s3_network

    def spec(line: str = LOOK, *, replicas: int = 1, image: str = fetch_image, **changes: Any):
        given = busybox.launch_spec(busybox.shell(line), replicas=replicas)
        bucket = Bucket("sets", url, BUCKET, "train", "", 10, True, KEY_ID, KEY)
        fetch = Fetch(image, {"/data": replace(bucket, **changes)}, within_s=60)
        mount = Mount("sets", "S3", "/data", read_only=True, never_written=True)
        return replace(
            given,
            sandbox=Sandbox(network=network),
            mounts=[mount],
            secrets=Secrets(document=fetch.document()),
            fetch=fetch,
        )

    return spec


def start(runtime: DockerRuntime, spec: LaunchSpec) -> None:
    """As passes of the reconciler do."""

    def has_started() -> bool:
        try:
            runtime.start(spec)
        except DataAwaited:
            return False
        return True

    wait_until(has_started)


def has(runtime: DockerRuntime, spec: LaunchSpec, code: Code) -> ReplicaStatus:
    return wait_until(
        lambda: next(
            (each for each in seen(runtime, spec) if each.problem and each.problem.code == code),
            None,
        )
    )


def left(busybox: Busybox, spec: LaunchSpec) -> tuple[list[Any], set[str]]:
    """The containers of the deployment, and the volumes of the engine."""
    client = busybox.engine.client
    found = client.containers(all=True, filters={"name": spec.deployment_id})
    volumes = {each["Name"] for each in client.volumes()["Volumes"] or ()}
    return [each["Names"][0].removeprefix("/") for each in found], volumes


def fetching_container(spec: LaunchSpec, replica: int = 0) -> str:
    return f"mlops-{spec.deployment_id}-{spec.attempt}-{replica}-fetch"


def test_the_program_reads_the_objects_and_may_not_write_and_nothing_stays(
    busybox, docker_runtime, fetching
):
    spec = fetching()
    _, before = left(busybox, spec)
    with pytest.raises(DataAwaited):
        docker_runtime.start(spec)
    [status] = seen(docker_runtime, spec)
    assert status.phase == Phase.PENDING
    inspected = busybox.engine.client.inspect_container(fetching_container(spec))
    assert KEY not in json.dumps(inspected)
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    start(docker_runtime, spec)
    assert ended(docker_runtime, spec).exit_code == 0
    said = b"".join(docker_runtime.logs(key_of(spec))).decode()
    assert "\na\n" in said
    assert "-rw-r--r--" in said
    assert "Read-only file system" in said
    assert "fetch" not in said
    name = f"mlops-{spec.deployment_id}-1-0"
    main = json.dumps(busybox.engine.client.inspect_container(name))
    assert KEY not in main + said
    assert KEY_ID not in main + said
    assert left(busybox, spec)[0] == [name]
    docker_runtime.remove(key_of(spec))
    assert left(busybox, spec) == ([], before)


def test_what_cannot_be_fetched_is_said_and_nothing_stays(busybox, docker_runtime, fetching):
    spec = fetching(bucket="no-such-bucket")
    _, before = left(busybox, spec)
    with pytest.raises(DataAwaited):
        docker_runtime.start(spec)
    status = has(docker_runtime, spec, Code.FETCH_FAILED)
    assert status.phase == Phase.ENDED
    assert status.problem is not None
    assert status.problem.message.startswith("s3://no-such-bucket/train/: NoSuchBucket: ")
    assert b"".join(docker_runtime.logs(key_of(spec))) == b""
    docker_runtime.remove(key_of(spec))
    assert left(busybox, spec) == ([], before)


def test_a_server_that_is_away_is_waited_for_and_a_stop_ends_that_at_once(
    busybox, docker_runtime, fetching, s3_network
):
    spec = fetching(endpoint=s3_network[1].rpartition(":")[0] + ":9")
    _, before = left(busybox, spec)
    with pytest.raises(DataAwaited):
        docker_runtime.start(spec)
    status = has(docker_runtime, spec, Code.FETCH_DELAYED)
    assert (status.phase, status.begun) == (Phase.PENDING, True)
    docker_runtime.stop(key_of(spec), grace_s=30)
    assert seen(docker_runtime, spec) == []
    assert left(busybox, spec) == ([], before)


def test_an_image_that_is_not_there_is_named_and_a_sandbox_without_network_refused(
    docker_runtime, fetching
):
    with pytest.raises(ImageMissing, match="mlops-platform-tests/none:1"):
        docker_runtime.start(fetching(image="mlops-platform-tests/none:1"))
    alone = replace(fetching(), sandbox=Sandbox(network="none"))
    with pytest.raises(RefusedError, match="has none") as refused:
        docker_runtime.start(alone)
    assert refused.value.problem.code == Code.FETCH_FAILED


def test_what_is_killed_fetches_anew_and_not_for_ever(
    busybox, docker_runtime, fetching, s3_network
):
    spec = fetching(endpoint=s3_network[1].rpartition(":")[0] + ":9")
    client, name = busybox.engine.client, fetching_container(spec)
    for _ in range(3):
        with pytest.raises(DataAwaited):
            docker_runtime.start(spec)
        client.kill(name)
        client.wait(name)
        [status] = seen(docker_runtime, spec)
        assert (status.phase, status.begun) == (Phase.PENDING, False)
    with pytest.raises(RefusedError, match="exit code 137, 3 times") as refused:
        docker_runtime.start(spec)
    assert refused.value.problem.code == Code.FETCH_FAILED


def test_no_program_of_several_replicas_begins_before_all_have_their_data(
    busybox, docker_runtime, fetching
):
    spec = fetching("cat /data/a.txt; exec sleep 600", replicas=2)
    with pytest.raises(DataAwaited):
        docker_runtime.start(spec)
    client = busybox.engine.client
    client.wait(fetching_container(spec, 0))
    client.kill(fetching_container(spec, 1)) if _runs(client, fetching_container(spec, 1)) else None
    client.remove_container(fetching_container(spec, 1), v=True, force=True)
    with pytest.raises(DataAwaited):  # it begins anew, and the other waits for it
        docker_runtime.start(spec)
    assert all(each.phase == Phase.PENDING for each in seen(docker_runtime, spec))
    start(docker_runtime, spec)
    assert [each.phase for each in seen(docker_runtime, spec)] == [Phase.RUNNING] * 2


def test_what_fetches_for_a_container_that_is_gone_is_removed(busybox, docker_runtime, fetching):
    spec = fetching()
    with pytest.raises(DataAwaited):
        docker_runtime.start(spec)
    busybox.engine.client.remove_container(f"mlops-{spec.deployment_id}-1-0", v=True, force=True)
    docker_runtime.tidy()
    assert left(busybox, spec)[0] == []
    busybox.runtime("ours").tidy()
    assert not [name for name in left(busybox, spec)[1] if spec.deployment_id in name]


def _runs(client: Any, name: str) -> bool:
    return bool(client.inspect_container(name)["State"]["Running"])
