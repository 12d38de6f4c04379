"""The replicas of a gang find each other on a real Docker engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import docker
import pytest

from deployments.runtimes.base import Code, LaunchSpec, Phase, RefusedError, Sandbox
from deployments.runtimes.docker import containers, networks
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.runtimes.peers import Peers, group_of
from deployments.tests.runtimes.docker.busybox import Busybox
from deployments.tests.runtimes.docker.engine import give_up
from deployments.tests.runtimes.harness import Work, key_of, ready, seen, wait_until

pytestmark = pytest.mark.docker

# Rank 0 listens and answers; the others call it by its name, until it is there.
RENDEZVOUS = """
if [ $RANK = 0 ]; then
    echo welcome to $WORLD_SIZE | nc -l -p $MASTER_PORT
else
    until nc $MASTER_ADDR $MASTER_PORT </dev/null 2>/dev/null | grep welcome; do sleep 0.1; done
fi
"""


def gang(busybox: Busybox, work: Work, replicas: int = 2, **changes: Any) -> LaunchSpec:
    spec = busybox.launch_spec(work, replicas=replicas, sandbox=Sandbox())
    peers = Peers(group_of(spec.deployment_id, spec.attempt), replicas)
    return replace(spec, **{"peers": peers, **changes})


def output(runtime: DockerRuntime, spec: LaunchSpec, replica: int) -> str:
    return b"".join(runtime.logs(key_of(spec, replica))).decode()


def all_ended(runtime: DockerRuntime, spec: LaunchSpec) -> list[int | None]:
    """The exit codes of all replicas, once all have ended."""
    statuses = wait_until(
        lambda: (
            found
            if len(found := seen(runtime, spec)) == len(spec.placement)
            and all(each.phase == Phase.ENDED for each in found)
            else None
        )
    )
    return [each.exit_code for each in statuses]


def networks_of(busybox: Busybox, spec: LaunchSpec) -> list[dict[str, Any]]:
    found = busybox.engine.client.networks(names=[group_of(spec.deployment_id, spec.attempt)])
    return list(found)


def refuse_engine_of_a_person(busybox: Busybox) -> None:
    if busybox.engine.daemon is None:
        give_up("The engine at DOCKER_HOST joins no swarm, and keeps its addresses.")


@pytest.fixture
def of_an_operator(busybox: Busybox) -> Iterator[str]:
    """A network that an operator has made, and named in the cluster's sandbox."""
    client = busybox.engine.client
    made = client.create_network("of-an-operator", driver="bridge", check_duplicate=True)
    yield "of-an-operator"
    busybox.clear_away()
    client.remove_network(made["Id"])


@pytest.fixture
def overlay(busybox: Busybox) -> Iterator[str]:
    """An attachable overlay network, on the only engine of a swarm."""
    refuse_engine_of_a_person(busybox)
    client = busybox.engine.client
    client.init_swarm("127.0.0.1", "127.0.0.1:0")
    try:
        client.create_network("overlay-of-an-operator", driver="overlay", attachable=True)
        yield "overlay-of-an-operator"
        busybox.clear_away()
        client.remove_network("overlay-of-an-operator")
    finally:
        client.leave_swarm(force=True)


def test_rank_1_reaches_rank_0_by_its_name(busybox, docker_runtime):
    spec = gang(busybox, busybox.shell(RENDEZVOUS))
    docker_runtime.start(spec)
    assert all_ended(docker_runtime, spec) == [0, 0]
    assert output(docker_runtime, spec, 1) == "welcome to 2\n"


def test_the_hostfile_names_all_replicas_and_each_name_resolves(busybox, docker_runtime):
    line = (
        "while read name slots; do nslookup $name >/dev/null && echo $name $slots; done"
        " <$MLOPS_HOSTFILE; hostname; sleep 600"
    )
    spec = gang(busybox, busybox.shell(line), replicas=3)
    docker_runtime.start(spec)
    assert spec.peers is not None
    expected = f"{spec.peers.hostfile}replica-2\n"
    assert wait_until(
        lambda: (said := output(docker_runtime, spec, 2)).endswith("replica-2\n") and said
    ) == (expected)


def test_the_hostfile_is_there_under_a_read_only_root_and_for_any_user(busybox, docker_runtime):
    work = busybox.shell("cat $MLOPS_HOSTFILE")
    spec = gang(busybox, work, sandbox=Sandbox(read_only_root=True))
    spec = replace(spec, container=replace(spec.container, user="1234:567"))
    docker_runtime.start(spec)
    assert all_ended(docker_runtime, spec) == [0, 0]
    assert spec.peers is not None
    assert output(docker_runtime, spec, 0) == spec.peers.hostfile


def test_a_gang_has_a_network_of_its_own_from_its_first_container_to_its_last(
    busybox, docker_runtime
):
    spec = gang(busybox, busybox.sleeps())
    docker_runtime.start(spec)
    ready(docker_runtime, spec)
    [network] = networks_of(busybox, spec)
    assert network["Labels"] == {"mlops-platform.cluster": "ours"}
    docker_runtime.remove(key_of(spec, 0))
    assert len(networks_of(busybox, spec)) == 1
    docker_runtime.remove(key_of(spec, 1))
    assert networks_of(busybox, spec) == []


def test_nothing_of_a_removed_gang_is_left(busybox, docker_runtime):
    """The hostfile is in an anonymous volume, which goes with its container."""

    def volumes() -> set[str]:
        return {each["Name"] for each in busybox.engine.client.volumes()["Volumes"] or []}

    before = volumes()  # of which some may go meanwhile, with containers of other tests
    spec = gang(busybox, busybox.sleeps())
    docker_runtime.start(spec)
    assert len(volumes() - before) == 2
    for number in (0, 1):
        docker_runtime.remove(key_of(spec, number))
    assert volumes() - before == set()


def test_other_gangs_and_other_attempts_are_in_other_networks(busybox, docker_runtime):
    first = gang(busybox, busybox.sleeps())
    second = gang(busybox, busybox.sleeps())
    for spec in (first, second):
        docker_runtime.start(spec)
        ready(docker_runtime, spec)
    inside = [networks_of(busybox, spec)[0]["Id"] for spec in (first, second)]
    assert len(set(inside)) == 2


def test_no_program_of_a_gang_runs_before_all_its_containers_are_there(busybox, docker_runtime):
    """As on several engines: each creates its containers before any starts one."""
    spec = gang(busybox, busybox.sleeps())
    docker_runtime.prepare(replace(spec, placement=spec.placement[:1]))
    (waiting,) = seen(docker_runtime, spec)
    assert (waiting.phase, waiting.begun) == (Phase.PENDING, False)
    assert waiting.created_at is not None
    docker_runtime.start(spec)
    assert [each.phase for each in ready(docker_runtime, spec)] == [Phase.RUNNING, Phase.RUNNING]


def test_a_prepared_gang_that_is_given_up_leaves_nothing(busybox, docker_runtime):
    spec = gang(busybox, busybox.sleeps())
    docker_runtime.prepare(spec)
    for number in (0, 1):
        docker_runtime.stop(key_of(spec, number), 30)
    assert seen(docker_runtime, spec) == []
    assert networks_of(busybox, spec) == []


def test_workers_at_once_make_one_network(busybox, docker_runtime):
    spec = gang(busybox, busybox.sleeps())
    group = group_of(spec.deployment_id, spec.attempt)
    engine = docker_runtime._engine
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _: networks.ensure(engine, group, "ours"), range(8)))
    assert len(networks_of(busybox, spec)) == 1
    docker_runtime.start(spec)
    ready(docker_runtime, spec)


def test_a_network_that_has_gone_between_creation_and_start_is_made_anew(busybox, docker_runtime):
    spec = gang(busybox, busybox.shell(RENDEZVOUS))
    docker_runtime.prepare(spec)
    [network] = networks_of(busybox, spec)
    busybox.engine.client.remove_network(network["Id"])
    docker_runtime.start(spec)
    assert all_ended(docker_runtime, spec) == [0, 0]


def test_the_network_that_a_killed_worker_has_left_is_removed_later(
    busybox, docker_runtime, monkeypatch
):
    left, used = gang(busybox, busybox.sleeps()), gang(busybox, busybox.sleeps())
    docker_runtime.start(used)
    networks.ensure(docker_runtime._engine, group_of(left.deployment_id, 1), "ours")
    networks.ensure(docker_runtime._engine, group_of(left.deployment_id, 2), "theirs")
    docker_runtime.tidy()
    assert len(networks_of(busybox, left)) == 1  # its start may be about to use it

    monkeypatch.setattr(networks, "UNUSED_FOR", timedelta(hours=-1))
    docker_runtime.tidy()
    assert networks_of(busybox, left) == []
    assert len(networks_of(busybox, used)) == 1
    other = busybox.engine.client.networks(names=[group_of(left.deployment_id, 2)])
    assert len(other) == 1
    busybox.engine.client.remove_network(other[0]["Id"])


@pytest.fixture
def no_addresses_left(busybox: Busybox) -> Iterator[None]:
    """Networks of others have all ranges of addresses that the engine gives away."""
    refuse_engine_of_a_person(busybox)
    client, made = busybox.engine.client, list[str]()
    try:
        while True:
            made.append(client.create_network(f"of-others-{len(made)}")["Id"])
    except docker.errors.APIError:
        yield
    finally:
        for id_ in made:
            client.remove_network(id_)


def test_an_engine_without_addresses_sends_a_gang_elsewhere(
    busybox, docker_runtime, no_addresses_left
):
    spec = gang(busybox, busybox.sleeps())
    with pytest.raises(RefusedError, match="no range of addresses") as refusal:
        docker_runtime.start(spec)
    assert refusal.value.problem.code == Code.UNSCHEDULABLE
    assert seen(docker_runtime, spec) == []


def test_in_an_operators_network_a_gang_meets_under_names_of_its_own(
    busybox, docker_runtime, of_an_operator
):
    specs = [
        gang(busybox, busybox.shell(RENDEZVOUS), sandbox=Sandbox(network=of_an_operator))
        for _ in range(2)
    ]
    for spec in specs:
        docker_runtime.start(spec)
    for spec in specs:
        assert all_ended(docker_runtime, spec) == [0, 0]
        assert networks_of(busybox, spec) == []


def test_a_gang_meets_in_an_overlay_network_as_engines_of_a_swarm_share_it(
    busybox, docker_runtime, overlay
):
    spec = gang(busybox, busybox.shell(RENDEZVOUS), sandbox=Sandbox(network=overlay))
    docker_runtime.start(spec)
    assert all_ended(docker_runtime, spec) == [0, 0]
    assert output(docker_runtime, spec, 1) == "welcome to 2\n"


def test_a_gang_without_a_network_runs_without_addresses(busybox, docker_runtime):
    spec = gang(busybox, busybox.shell("env; ls /etc/mlops"), sandbox=Sandbox(network="none"))
    assert spec.peers is not None
    spec = replace(spec, peers=replace(spec.peers, reachable=False))
    docker_runtime.start(spec)
    all_ended(docker_runtime, spec)
    said = output(docker_runtime, spec, 1)
    assert "RANK=1" in said
    assert "MASTER_ADDR" not in said
    assert "No such file" in said


def test_a_network_of_the_host_stays_refused_for_a_gang(busybox, docker_runtime):
    spec = gang(busybox, busybox.sleeps(), sandbox=Sandbox(network="host"))
    with pytest.raises(RefusedError) as refusal:
        docker_runtime.start(spec)
    assert refusal.value.problem.code == Code.REFUSED
    assert seen(docker_runtime, spec) == []


def test_a_container_of_a_gang_is_locked_in_like_any_other(busybox, docker_runtime):
    spec = gang(busybox, busybox.sleeps())
    docker_runtime.start(spec)
    there = busybox.engine.client.inspect_container(containers.name(key_of(spec)))
    assert there["HostConfig"]["CapDrop"] == ["ALL"]
    assert not there["HostConfig"]["Binds"]
    assert not there["HostConfig"]["PortBindings"]
    assert [each["Destination"] for each in there["Mounts"]] == ["/etc/mlops"]
