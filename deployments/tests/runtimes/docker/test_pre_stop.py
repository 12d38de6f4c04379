"""What a container hears before its end on a Docker engine: its pre-stop command, its signal."""

from dataclasses import replace

import pytest

from deployments.runtimes.base import Container, Phase, Sandbox
from deployments.runtimes.docker import containers
from deployments.runtimes.docker.pre_stop import number_of
from deployments.tests.runtimes.harness import ended, key_of, ready, seen, wait_until

pytestmark = pytest.mark.docker

# Ends by itself on the two signals that the tests send, and says which one it was.
SAVES = (
    "trap 'echo saved; exit 7' USR1; trap 'echo ended; exit 0' TERM; echo on;"
    "while true; do sleep 0.1; done"
)


@pytest.fixture
def start(busybox, docker_runtime):
    """Starts a shell line, and waits until it has written `on`."""

    def start(line=SAVES, **given):
        sandbox = given.pop("sandbox", Sandbox())
        spec = replace(
            busybox.launch_spec(busybox.shell(line)), container=Container(**given), sandbox=sandbox
        )
        docker_runtime.start(spec)
        ready(docker_runtime, spec)
        wait_until(lambda: b"on" in written(docker_runtime, spec) or None)
        return spec

    return start


def written(runtime, spec):
    return b"".join(runtime.logs(key_of(spec))).split()


def test_a_stop_sends_the_signal_that_was_asked_for(docker_runtime, start):
    spec = start(stop_signal="SIGUSR1")
    docker_runtime.stop(key_of(spec), grace_s=60)
    assert ended(docker_runtime, spec).exit_code == 7
    assert written(docker_runtime, spec) == [b"on", b"saved"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"user": "1000:1000"},
        {"sandbox": Sandbox(read_only_root=True)},
        {"stop_signal": "SIGTERM"},
    ],
)
def test_the_pre_stop_command_ends_before_the_signal_comes(docker_runtime, start, given):
    # 1 is the container's init, whose output is that of the container.
    hook = ["sh", "-c", 'sleep 1; echo "$1" >/proc/1/fd/1', "x", "a $b"]
    spec = start(pre_stop=hook, **given)
    docker_runtime.stop(key_of(spec), grace_s=60)
    assert ended(docker_runtime, spec).exit_code == 0
    assert written(docker_runtime, spec) == [b"on", b"a", b"$b", b"ended"]


def test_a_pre_stop_command_comes_before_the_signal_that_was_asked_for(docker_runtime, start):
    spec = start(pre_stop=["sh", "-c", "echo hook >/proc/1/fd/1"], stop_signal="SIGUSR1")
    docker_runtime.stop(key_of(spec), grace_s=60)
    assert ended(docker_runtime, spec).exit_code == 7
    assert written(docker_runtime, spec) == [b"on", b"hook", b"saved"]


def test_a_second_worker_does_not_begin_the_command_that_runs(busybox, docker_runtime, start):
    spec = start(pre_stop=["sh", "-c", "echo hook >/proc/1/fd/1; sleep 3"])
    docker_runtime.stop(key_of(spec), grace_s=60)
    other = busybox.runtime("ours")
    other.stop(key_of(spec), grace_s=60)
    other.close()
    ended(docker_runtime, spec)
    assert written(docker_runtime, spec) == [b"on", b"hook", b"ended"]


@pytest.mark.parametrize("hook", [["false"], ["/no/such/program"], ["sh", "-c", "kill -9 $$"]])
def test_a_pre_stop_command_that_fails_keeps_no_signal_back(docker_runtime, start, hook):
    spec = start(pre_stop=hook)
    docker_runtime.stop(key_of(spec), grace_s=60)
    assert ended(docker_runtime, spec).exit_code == 0


def test_in_an_image_without_a_shell_the_signal_comes_at_once(docker_runtime, start):
    line = "rm -f /bin/sh; echo on; exec sleep 600"
    spec = start(line, pre_stop=["sleep", "600"])
    docker_runtime.stop(key_of(spec), grace_s=60)
    assert ended(docker_runtime, spec).exit_code == 143


def test_a_kill_waits_for_no_pre_stop_command(docker_runtime, start):
    spec = start(pre_stop=["sleep", "600"])
    docker_runtime.stop(key_of(spec), grace_s=60)
    assert seen(docker_runtime, spec)[0].phase == Phase.RUNNING
    docker_runtime.stop(key_of(spec), grace_s=0)
    assert ended(docker_runtime, spec).exit_code == 137


def test_a_kill_alone_runs_no_pre_stop_command(docker_runtime, start):
    spec = start(pre_stop=["sh", "-c", "echo hook >/proc/1/fd/1"])
    docker_runtime.stop(key_of(spec), grace_s=0)
    ended(docker_runtime, spec)
    assert written(docker_runtime, spec) == [b"on"]


def test_no_pre_stop_command_is_run_for_a_paused_container(busybox, docker_runtime, start):
    spec = start(pre_stop=["sleep", "600"])
    busybox.engine.client.pause(containers.name(key_of(spec)))
    docker_runtime.stop(key_of(spec), grace_s=60)  # the engine resumes what it signals
    assert ended(docker_runtime, spec).exit_code == 0


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("sigint", 2),
        ("10", 10),
        ("SIGRTMIN+3", 37),
        ("SIGRTMIN", 34),
        ("; reboot", 15),
    ],
)
def test_a_signal_has_its_number_in_each_form_that_images_use(name, number):
    assert number_of(name) == number
