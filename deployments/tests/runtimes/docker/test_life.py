"""A container's life, as far as it differs on a Docker engine."""

from dataclasses import replace

import pytest

from deployments.runtimes.base import (
    Code,
    ImageDelayed,
    Phase,
    Probe,
    RefusedError,
    Registry,
    Sandbox,
)
from deployments.runtimes.docker import containers
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.docker.engine import IMAGE
from deployments.tests.runtimes.harness import (
    Work,
    ended,
    key_of,
    problem_of,
    ready,
    seen,
    wait_until,
)

pytestmark = pytest.mark.docker


def made_but_not_begun(busybox, spec):
    """As a worker leaves the container that is killed between creating and starting it."""
    config = containers.config(spec, 0, "ours")
    client = busybox.engine.client
    client.create_container_from_config(config, containers.name(key_of(spec)))


def test_a_container_that_was_created_and_never_started_starts(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    made_but_not_begun(busybox, spec)
    assert [s.phase for s in seen(docker_runtime, spec)] == [Phase.PENDING]
    docker_runtime.start(spec)
    ready(docker_runtime, spec)


def test_a_container_that_never_started_is_removed_when_stopped(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    made_but_not_begun(busybox, spec)
    docker_runtime.stop(key_of(spec), grace_s=30)
    assert seen(docker_runtime, spec) == []


def test_a_container_that_could_not_start_stays_and_says_why(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), gpu=1)
    docker_runtime.start(spec)
    docker_runtime.start(spec)
    docker_runtime.stop(key_of(spec), grace_s=30)
    (status,) = seen(docker_runtime, spec)
    assert status.phase == Phase.ENDED
    assert (status.exit_code, status.started_at) == (None, None)
    assert status.problem is not None
    assert status.problem.message


def test_a_container_whose_image_is_gone_stays_as_it_is(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    docker_runtime.start(spec)
    before = ready(docker_runtime, spec)
    docker_runtime.start(replace(spec, image="gone:1"))
    assert seen(docker_runtime, spec) == before


@pytest.mark.parametrize(
    ("command", "message"), [("/no/such", "No such file"), ("/run", "Permission denied")]
)
def test_a_command_that_cannot_be_executed_fails_with_the_machines_message(
    busybox, docker_runtime, command, message
):
    spec = busybox.launch_spec(Work(IMAGE, (command,)))
    docker_runtime.start(spec)
    status = ended(docker_runtime, spec)
    assert problem_of(status) == Code.COMMAND_FAILED
    assert message in str(status.problem)


def test_a_name_that_is_no_image_name_is_refused(docker_runtime):
    with pytest.raises(RefusedError) as refusal:
        docker_runtime.pull("No Image:1")
    assert refusal.value.problem.code == Code.IMAGE_PULL_FAILED


def test_a_failed_pull_does_not_show_the_password(busybox):
    registry = Registry("127.0.0.1:1", "ada", "s3cret")
    runtime = DockerRuntime(
        busybox.engine.access, cluster_id="ours", node="node-1", registries=[registry]
    )
    with pytest.raises(ImageDelayed) as delay:
        runtime.pull("127.0.0.1:1/team/s3cret:1")
    assert "s3cret" not in str(delay.value)
    runtime.close()


def test_a_container_gets_its_arguments_and_environment(busybox, docker_runtime):
    work = Work(IMAGE, ("sh", "-c", 'echo "$GREETING $0 $1"'), ("a b", "c"))
    spec = busybox.launch_spec(work, env={"GREETING": "good day", "EMPTY": ""})
    docker_runtime.start(spec)
    ended(docker_runtime, spec)
    assert b"".join(docker_runtime.logs(key_of(spec))) == b"good day a b c\n"


def test_the_log_contains_both_streams(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.shell("echo out; echo err >&2"))
    docker_runtime.start(spec)
    ended(docker_runtime, spec)
    lines = b"".join(docker_runtime.logs(key_of(spec))).splitlines()
    assert sorted(lines) == [b"err", b"out"]


def test_a_long_log_arrives_whole(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.shell("seq 100000"))
    docker_runtime.start(spec)
    ended(docker_runtime, spec)
    expected = b"".join(b"%d\n" % number for number in range(1, 100001))
    assert b"".join(docker_runtime.logs(key_of(spec))) == expected
    assert b"".join(docker_runtime.logs(key_of(spec), follow=True)) == expected


def test_the_images_own_stop_signal_is_sent(busybox, docker_runtime):
    client = busybox.engine.client
    plain = client.create_container_from_config({"Image": IMAGE, "Cmd": ["true"]})
    client.commit(plain["Id"], "mlops-platform-tests/usr1", "1", conf={"StopSignal": "SIGUSR1"})
    try:
        line = "trap 'exit 7' USR1; trap '' TERM; while true; do sleep 0.1; done"
        work = replace_image(busybox.shell(line), "mlops-platform-tests/usr1:1")
        spec = busybox.launch_spec(work)
        docker_runtime.start(spec)
        ready(docker_runtime, spec)

        def stopped() -> bool:
            """Stop again, as the shell may not have set its trap at the first stop."""
            docker_runtime.stop(key_of(spec), grace_s=30)
            return seen(docker_runtime, spec)[0].phase == Phase.ENDED

        wait_until(stopped)
        assert seen(docker_runtime, spec)[0].exit_code in {7, 128 + 10}
    finally:
        busybox.clear_away()
        client.remove_container(plain["Id"], force=True)
        client.remove_image("mlops-platform-tests/usr1:1", force=True)


def replace_image(work: Work, image: str) -> Work:
    return replace(work, image=image)


@pytest.mark.parametrize(
    "probe",
    [
        Probe("command", command=("test", "-e", "/run/ready"), interval_s=1),
        Probe("tcp", port=8080, interval_s=1),
        Probe("http", port=8080, path="/ready", interval_s=1),
    ],
    ids=lambda probe: probe.kind,
)
def test_a_container_is_ready_when_its_probe_passes(busybox, docker_runtime, probe):
    serve = "mkdir -p /run/www; touch /run/www/ready /run/ready; exec httpd -f -p 8080 -h /run/www"
    waits = f"while [ ! -e /run/go ]; do sleep 0.1; done; {serve}"
    spec = busybox.launch_spec(busybox.shell(waits), probe=probe)
    docker_runtime.start(spec)
    (before,) = seen(docker_runtime, spec)
    assert (before.phase, before.ready) == (Phase.RUNNING, False)
    assert problem_of(before) == Code.NOT_READY
    client = busybox.engine.client
    go = client.exec_create(containers.name(key_of(spec)), ["touch", "/run/go"])
    client.exec_start(go["Id"])
    (after,) = ready(docker_runtime, spec)
    assert after.problem is None


def test_an_http_probe_does_not_pass_on_an_error(busybox, docker_runtime):
    probe = Probe("http", port=8080, path="/missing", interval_s=1)
    line = "mkdir -p /run/www; exec httpd -f -p 8080 -h /run/www"
    spec = busybox.launch_spec(busybox.shell(line), probe=probe)
    docker_runtime.start(spec)
    name = containers.name(key_of(spec))
    client = busybox.engine.client
    wait_until(lambda: client.inspect_container(name)["State"]["Health"]["Status"] == "unhealthy")
    (status,) = seen(docker_runtime, spec)
    assert (status.ready, problem_of(status)) == (False, Code.NOT_READY)
    assert status.problem is not None
    assert status.problem.message == "HTTP status 404"


def test_a_paused_container_is_there_and_says_so(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    docker_runtime.start(spec)
    ready(docker_runtime, spec)
    busybox.engine.client.pause(containers.name(key_of(spec)))
    (status,) = seen(docker_runtime, spec)
    assert (status.phase, problem_of(status)) == (Phase.RUNNING, Code.PAUSED)
    docker_runtime.stop(key_of(spec), grace_s=0)
    assert ended(docker_runtime, spec).exit_code == 137


def test_an_images_volume_is_removed_with_its_container(busybox, docker_runtime):
    client = busybox.engine.client
    plain = client.create_container_from_config({"Image": IMAGE, "Cmd": ["true"]})
    client.commit(plain["Id"], "mlops-platform-tests/volume", "1", conf={"Volumes": {"/data": {}}})
    try:
        work = replace_image(busybox.exits(0), "mlops-platform-tests/volume:1")
        spec = busybox.launch_spec(work, sandbox=Sandbox(network="none"))
        docker_runtime.start(spec)
        ended(docker_runtime, spec)
        (mount,) = client.inspect_container(containers.name(key_of(spec)))["Mounts"]
        docker_runtime.remove(key_of(spec))
        names = {volume["Name"] for volume in client.volumes()["Volumes"] or []}
        assert mount["Name"] not in names
    finally:
        busybox.clear_away()
        client.remove_container(plain["Id"], force=True)
        client.remove_image("mlops-platform-tests/volume:1", force=True)


def test_a_machine_has_the_engines_id(busybox, docker_runtime):
    [capacity] = docker_runtime.capacity()
    assert capacity.machine
    assert capacity.machine == busybox.engine.client.info()["ID"]


def test_what_is_larger_than_its_engine_is_for_another_node(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), cpu_milli=10_000_000)
    with pytest.raises(RefusedError) as refusal:
        docker_runtime.start(spec)
    assert refusal.value.problem.code == Code.UNSCHEDULABLE


def test_an_engine_without_live_restore_is_warned_of(docker_runtime):
    [capacity] = docker_runtime.capacity()
    assert capacity.reason.startswith("live-restore is off")
