"""The limits of a container, as the engine itself reports them."""

from dataclasses import replace
from typing import Any

import pytest

from deployments.runtimes.base import Code, Container, LaunchSpec, RefusedError, Sandbox
from deployments.runtimes.docker import containers
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.docker.busybox import Busybox
from deployments.tests.runtimes.harness import ended, key_of, problem_of, ready, seen

pytestmark = pytest.mark.docker

MIB = 1024 * 1024


def inspected(busybox: Busybox, spec: LaunchSpec) -> dict[str, Any]:
    return busybox.engine.client.inspect_container(containers.name(key_of(spec)))


def said(runtime: DockerRuntime, spec: LaunchSpec) -> str:
    """The container's log, once it has ended."""
    ended(runtime, spec)
    return b"".join(runtime.logs(key_of(spec))).decode()


def test_a_container_is_locked_in(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    docker_runtime.start(spec)
    host = inspected(busybox, spec)["HostConfig"]
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["NetworkMode"] == "none"
    assert host["IpcMode"] == "private"
    assert host["CgroupnsMode"] == "private"
    assert (host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("", "", "")
    assert not host["Binds"]
    assert not host.get("Mounts")
    assert not host["VolumesFrom"]
    assert not host["Devices"]
    assert not host["DeviceRequests"]
    assert not host["PortBindings"]
    assert inspected(busybox, spec)["Mounts"] == []


def test_a_container_is_limited_to_its_resources(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), cpu_milli=250, ram_mib=96)
    docker_runtime.start(spec)
    host = inspected(busybox, spec)["HostConfig"]
    assert host["NanoCpus"] == 250_000_000
    assert host["Memory"] == 96 * MIB
    assert host["MemorySwap"] == host["Memory"]
    assert host["PidsLimit"] == 4096
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["Init"] is True
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "10m", "max-file": "3"},
    }


def test_the_smallest_request_is_a_limit_too(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), cpu_milli=1, ram_mib=1)
    docker_runtime.start(spec)
    host = inspected(busybox, spec)["HostConfig"]
    assert host["NanoCpus"] == 10_000_000
    assert host["Memory"] == host["MemorySwap"] == 6 * MIB


def test_root_in_a_container_has_no_capability_and_cannot_get_one(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.shell("grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status"))
    docker_runtime.start(spec)
    lines = dict(line.split(":\t") for line in said(docker_runtime, spec).splitlines())
    assert {lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert lines["NoNewPrivs"] == "1"


def test_a_fork_bomb_ends_at_the_limit_of_processes(busybox, docker_runtime):
    line = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait"
    spec = busybox.launch_spec(busybox.shell(line), sandbox=Sandbox(pids_limit=5, network="none"))
    docker_runtime.start(spec)
    assert "can't fork" in said(docker_runtime, spec)


def test_a_container_that_takes_too_much_memory_is_out_of_memory(busybox, docker_runtime):
    line = "a=x; while true; do a=$a$a; done"
    spec = busybox.launch_spec(busybox.shell(line), ram_mib=16)
    docker_runtime.start(spec)
    status = ended(docker_runtime, spec)
    assert problem_of(status) == Code.OUT_OF_MEMORY
    assert status.exit_code


def test_a_read_only_root_cannot_be_written(busybox, docker_runtime):
    sandbox = Sandbox(network="none", read_only_root=True)
    spec = busybox.launch_spec(busybox.shell("touch /file"), sandbox=sandbox)
    docker_runtime.start(spec)
    assert "Read-only file system" in said(docker_runtime, spec)


def test_under_a_read_only_root_programs_may_be_written_and_run_in_tmp(busybox, docker_runtime):
    sandbox = Sandbox(network="none", read_only_root=True)
    line = "cp /bin/busybox /tmp/echo && /tmp/echo works; df -m /tmp | tail -1"
    spec = busybox.launch_spec(busybox.shell(line), sandbox=sandbox, ram_mib=96)
    docker_runtime.start(spec)
    works, size = said(docker_runtime, spec).splitlines()
    assert works == "works"
    assert size.split()[1] == "48"


@pytest.mark.parametrize(("given", "mib"), [(None, "48"), (80, "80"), (500, "96")])
def test_shared_memory_is_half_of_the_ram_or_as_asked(busybox, docker_runtime, given, mib):
    line = "df -m /dev/shm | tail -1"
    container = Container(shm_mib=given)
    spec = busybox.launch_spec(busybox.shell(line), container=container, ram_mib=96)
    docker_runtime.start(spec)
    assert said(docker_runtime, spec).split()[1] == mib


def test_what_is_in_shared_memory_counts_as_ram(busybox, docker_runtime):
    line = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60"
    container = Container(shm_mib=32)
    spec = busybox.launch_spec(busybox.shell(line), container=container, ram_mib=32)
    docker_runtime.start(spec)
    assert ended(docker_runtime, spec).exit_code


def test_a_user_a_folder_and_limits_are_as_asked(busybox, docker_runtime):
    line = "id -u; id -g; pwd; ulimit -l; ulimit -n; ulimit -s"
    container = Container(
        user="1234:567",
        workdir="/new/folder",
        ulimits={"memlock": 4 * MIB, "nofile": 12345, "stack": 2 * MIB},
    )
    spec = busybox.launch_spec(busybox.shell(line), container=container)
    docker_runtime.start(spec)
    expected = ["1234", "567", "/new/folder", "4096", "12345", "2048"]
    assert said(docker_runtime, spec).split() == expected


def test_memory_may_be_locked_without_limit(busybox):
    """The tests' own engine may not raise its limit, so the container is not started."""
    container = Container(ulimits={"memlock": -1})
    spec = busybox.launch_spec(busybox.sleeps(), container=container)
    asked = containers.config(spec, 0, "ours")["HostConfig"]["Ulimits"]
    assert asked == [{"Name": "memlock", "Soft": -1, "Hard": -1}]


def test_an_operator_may_add_single_capabilities(busybox, docker_runtime):
    sandbox = Sandbox(network="none", add_capabilities=("CHOWN",), allow_privilege_escalation=True)
    spec = busybox.launch_spec(busybox.sleeps(), sandbox=sandbox)
    docker_runtime.start(spec)
    host = inspected(busybox, spec)["HostConfig"]
    assert [name.removeprefix("CAP_") for name in host["CapAdd"]] == ["CHOWN"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["SecurityOpt"]


@pytest.mark.parametrize(
    "sandbox",
    [
        Sandbox(network="host"),
        Sandbox(network="container:other"),
        Sandbox(network="ns:/proc/1/ns/net"),
        Sandbox(network=""),
        Sandbox(network="none", add_capabilities=("ALL",)),
        Sandbox(network="none", add_capabilities=("cap_all",)),
    ],
)
def test_no_sandbox_opens_onto_the_host(busybox, docker_runtime, sandbox):
    spec = busybox.launch_spec(busybox.sleeps(), sandbox=sandbox)
    with pytest.raises(RefusedError) as refusal:
        docker_runtime.start(spec)
    assert refusal.value.problem.code == Code.REFUSED
    assert seen(docker_runtime, spec) == []


def test_no_label_of_a_user_hides_one_of_the_platform(busybox, docker_runtime):
    labels = {"cluster": "theirs", "deployment": "another", "owner": "ada"}
    spec = busybox.launch_spec(busybox.sleeps(), labels=labels)
    docker_runtime.start(spec)
    there = inspected(busybox, spec)["Config"]["Labels"]
    assert there["mlops-platform.cluster"] == "ours"
    assert there["mlops-platform.deployment"] == spec.deployment_id
    assert there["mlops-platform.attempt"] == "1"
    assert there["mlops-platform.replica"] == "0"
    assert there["mlops-platform.label.owner"] == "ada"


@pytest.mark.parametrize("env", [{}, {"NVIDIA_VISIBLE_DEVICES": "all"}])
def test_a_container_without_gpus_sees_none(busybox, docker_runtime, env):
    spec = busybox.launch_spec(busybox.sleeps(), env=env)
    docker_runtime.start(spec)
    there = inspected(busybox, spec)["Config"]["Env"]
    assert [line for line in there if "NVIDIA" in line] == ["NVIDIA_VISIBLE_DEVICES=void"]


def test_a_gpu_that_the_machine_does_not_have_is_refused(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), gpu=1)
    docker_runtime.start(spec)
    (status,) = seen(docker_runtime, spec)
    (request,) = inspected(busybox, spec)["HostConfig"]["DeviceRequests"]
    assert (request["DeviceIDs"], request["Capabilities"]) == (["0"], [["gpu"]])
    assert problem_of(status) == Code.REFUSED
    assert "gpu" in str(status.problem)


def test_more_processors_than_there_are_is_refused(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), cpu_milli=10_000_000)
    with pytest.raises(RefusedError, match="CPUs"):
        docker_runtime.start(spec)


def test_a_container_of_others_with_a_replicas_name_is_left_alone(busybox, docker_runtime):
    client = busybox.engine.client
    spec = busybox.launch_spec(busybox.sleeps())
    name = containers.name(key_of(spec))
    config = {"Image": spec.image, "Cmd": ["true"], "Labels": {"theirs": "yes"}}
    made = client.create_container_from_config(config, name)
    try:
        with pytest.raises(RefusedError):
            docker_runtime.start(spec)
        docker_runtime.stop(key_of(spec), grace_s=0)
        docker_runtime.remove(key_of(spec))
        assert docker_runtime.observe() == []
        assert client.inspect_container(made["Id"])["State"]["Status"] == "created"
    finally:
        client.remove_container(made["Id"], force=True)


def test_a_network_that_does_not_exist_is_refused(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), sandbox=Sandbox(network="nowhere"))
    try:
        docker_runtime.start(spec)
    except RefusedError as refusal:  # newer engines look before they make it
        said_so = repr(refusal.problem)
    else:
        said_so = repr(seen(docker_runtime, spec)[0].problem)
    assert "REFUSED" in said_so
    assert "nowhere" in said_so


def test_secrets_are_in_no_error(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), env={"TOKEN": "s3cret"}, cpu_milli=10_000_000)
    with pytest.raises(RefusedError) as refusal:
        docker_runtime.start(spec)
    assert "s3cret" not in f"{refusal.value!r} {refusal.value.problem} {spec!r}"


def test_a_container_without_a_probe_is_ready_when_it_runs(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    docker_runtime.start(spec)
    ready(docker_runtime, spec)
    assert inspected(busybox, replace(spec))["Config"]["Healthcheck"]["Test"] == ["NONE"]
