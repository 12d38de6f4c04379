"""A container's life on a Docker engine, where Docker has its own ways."""

from dataclasses import replace

import pytest

from deployments.runtimes.base import Code, Phase, Probe, RefusedError, Registry, Sandbox
from deployments.runtimes.docker import DockerRuntime, containers
from deployments.tests.runtimes.docker.engine import IMAGE
from deployments.tests.runtimes.harness import (
    Work,
    ended,
    key_of,
    ready,
    seen,
    trouble_of,
    wait_until,
)

pytestmark = pytest.mark.docker


def made_but_not_begun(busybox, launch):
    """As a worker leaves it that is killed between the two."""
    config = containers.config(launch, 0, "ours")
    client = busybox.engine.client
    client.create_container_from_config(config, containers.name(key_of(launch)))


def test_one_that_was_made_and_never_begun_begins(busybox, docker_runtime):
    launch = busybox.launch(busybox.sleeps())
    made_but_not_begun(busybox, launch)
    assert [s.phase for s in seen(docker_runtime, launch)] == [Phase.PENDING]
    docker_runtime.start(launch)
    ready(docker_runtime, launch)


def test_one_that_was_made_and_never_begun_is_removed_when_stopped(busybox, docker_runtime):
    launch = busybox.launch(busybox.sleeps())
    made_but_not_begun(busybox, launch)
    docker_runtime.stop(key_of(launch), grace_s=30)
    assert seen(docker_runtime, launch) == []


def test_one_that_could_not_begin_stays_to_tell_why(busybox, docker_runtime):
    launch = busybox.launch(busybox.sleeps(), gpu=1)
    docker_runtime.start(launch)
    docker_runtime.start(launch)
    docker_runtime.stop(key_of(launch), grace_s=30)
    (sighting,) = seen(docker_runtime, launch)
    assert sighting.phase == Phase.ENDED
    assert (sighting.exit_code, sighting.started_at) == (None, None)
    assert sighting.trouble is not None
    assert sighting.trouble.message


def test_one_whose_image_is_gone_stays_as_it_is(busybox, docker_runtime):
    launch = busybox.launch(busybox.sleeps())
    docker_runtime.start(launch)
    before = ready(docker_runtime, launch)
    docker_runtime.start(replace(launch, image="gone:1"))
    assert seen(docker_runtime, launch) == before


@pytest.mark.parametrize(
    ("command", "message"), [("/no/such", "No such file"), ("/run", "Permission denied")]
)
def test_a_command_that_cannot_be_executed_is_told_in_the_machines_words(
    busybox, docker_runtime, command, message
):
    launch = busybox.launch(Work(IMAGE, (command,)))
    docker_runtime.start(launch)
    sighting = ended(docker_runtime, launch)
    assert trouble_of(sighting) == Code.COMMAND_FAILED
    assert message in str(sighting.trouble)


def test_a_name_that_is_no_images_is_refused(docker_runtime):
    with pytest.raises(RefusedError) as refusal:
        docker_runtime.pull("No Image:1")
    assert refusal.value.trouble.code == Code.IMAGE_PULL_FAILED


def test_a_password_is_not_told_when_a_pull_fails(busybox):
    registry = Registry("127.0.0.1:1", "ada", "s3cret")
    runtime = DockerRuntime(
        busybox.engine.access, cluster_id="ours", node="node-1", registries=[registry]
    )
    with pytest.raises(RefusedError) as refusal:
        runtime.pull("127.0.0.1:1/team/s3cret:1")
    assert "s3cret" not in refusal.value.trouble.message
    runtime.close()


def test_arguments_and_environment_arrive(busybox, docker_runtime):
    work = Work(IMAGE, ("sh", "-c", 'echo "$GREETING $0 $1"'), ("a b", "c"))
    launch = busybox.launch(work, env={"GREETING": "good day", "EMPTY": ""})
    docker_runtime.start(launch)
    ended(docker_runtime, launch)
    assert b"".join(docker_runtime.logs(key_of(launch))) == b"good day a b c\n"


def test_what_is_written_to_either_stream_is_in_the_logs(busybox, docker_runtime):
    launch = busybox.launch(busybox.shell("echo out; echo err >&2"))
    docker_runtime.start(launch)
    ended(docker_runtime, launch)
    lines = b"".join(docker_runtime.logs(key_of(launch))).splitlines()
    assert sorted(lines) == [b"err", b"out"]


def test_much_output_arrives_whole(busybox, docker_runtime):
    launch = busybox.launch(busybox.shell("seq 100000"))
    docker_runtime.start(launch)
    ended(docker_runtime, launch)
    expected = b"".join(b"%d\n" % number for number in range(1, 100001))
    assert b"".join(docker_runtime.logs(key_of(launch))) == expected
    assert b"".join(docker_runtime.logs(key_of(launch), follow=True)) == expected


def test_the_images_own_stop_signal_is_sent(busybox, docker_runtime):
    client = busybox.engine.client
    plain = client.create_container_from_config({"Image": IMAGE, "Cmd": ["true"]})
    client.commit(plain["Id"], "mlops-platform-tests/usr1", "1", conf={"StopSignal": "SIGUSR1"})
    try:
        line = "trap 'exit 7' USR1; trap '' TERM; while true; do sleep 0.1; done"
        work = replace_image(busybox.shell(line), "mlops-platform-tests/usr1:1")
        launch = busybox.launch(work)
        docker_runtime.start(launch)
        ready(docker_runtime, launch)

        def stopped() -> bool:
            """Told again, since it may have been told before it listened."""
            docker_runtime.stop(key_of(launch), grace_s=30)
            return seen(docker_runtime, launch)[0].phase == Phase.ENDED

        wait_until(stopped)
        assert seen(docker_runtime, launch)[0].exit_code in {7, 128 + 10}
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
def test_one_is_ready_when_its_probe_passes(busybox, docker_runtime, probe):
    serve = "mkdir -p /run/www; touch /run/www/ready /run/ready; exec httpd -f -p 8080 -h /run/www"
    waits = f"while [ ! -e /run/go ]; do sleep 0.1; done; {serve}"
    launch = busybox.launch(busybox.shell(waits), probe=probe)
    docker_runtime.start(launch)
    (before,) = seen(docker_runtime, launch)
    assert (before.phase, before.ready) == (Phase.RUNNING, False)
    assert trouble_of(before) == Code.NOT_READY
    client = busybox.engine.client
    go = client.exec_create(containers.name(key_of(launch)), ["touch", "/run/go"])
    client.exec_start(go["Id"])
    (after,) = ready(docker_runtime, launch)
    assert after.trouble is None


def test_an_http_probe_does_not_pass_on_an_error(busybox, docker_runtime):
    probe = Probe("http", port=8080, path="/missing", interval_s=1)
    line = "mkdir -p /run/www; exec httpd -f -p 8080 -h /run/www"
    launch = busybox.launch(busybox.shell(line), probe=probe)
    docker_runtime.start(launch)
    name = containers.name(key_of(launch))
    client = busybox.engine.client
    wait_until(lambda: client.inspect_container(name)["State"]["Health"]["Status"] == "unhealthy")
    (sighting,) = seen(docker_runtime, launch)
    assert (sighting.ready, trouble_of(sighting)) == (False, Code.NOT_READY)


def test_one_that_is_paused_runs_but_is_not_ready(busybox, docker_runtime):
    launch = busybox.launch(busybox.sleeps())
    docker_runtime.start(launch)
    ready(docker_runtime, launch)
    busybox.engine.client.pause(containers.name(key_of(launch)))
    (sighting,) = seen(docker_runtime, launch)
    assert (sighting.phase, trouble_of(sighting)) == (Phase.RUNNING, Code.NOT_READY)
    docker_runtime.stop(key_of(launch), grace_s=0)
    assert ended(docker_runtime, launch).exit_code == 137


def test_what_an_image_calls_a_volume_goes_with_its_container(busybox, docker_runtime):
    client = busybox.engine.client
    plain = client.create_container_from_config({"Image": IMAGE, "Cmd": ["true"]})
    client.commit(plain["Id"], "mlops-platform-tests/volume", "1", conf={"Volumes": {"/data": {}}})
    try:
        work = replace_image(busybox.exits(0), "mlops-platform-tests/volume:1")
        launch = busybox.launch(work, sandbox=Sandbox(network="none"))
        docker_runtime.start(launch)
        ended(docker_runtime, launch)
        (mount,) = client.inspect_container(containers.name(key_of(launch)))["Mounts"]
        docker_runtime.remove(key_of(launch))
        names = {volume["Name"] for volume in client.volumes()["Volumes"] or []}
        assert mount["Name"] not in names
    finally:
        busybox.clear_away()
        client.remove_container(plain["Id"], force=True)
        client.remove_image("mlops-platform-tests/volume:1", force=True)


def test_its_machine_is_known_by_the_engines_id(busybox, docker_runtime):
    [capacity] = docker_runtime.capacity()
    assert capacity.machine
    assert capacity.machine == busybox.engine.client.info()["ID"]
