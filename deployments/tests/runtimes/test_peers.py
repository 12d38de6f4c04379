"""The names, variables and hostfile by which the replicas of a gang find each other."""

import pytest

from deployments.runtimes.base import LaunchSpec
from deployments.runtimes.peers import Peers

PEERS = Peers("mlops-x-1", 3)


def spec(**changes: object) -> LaunchSpec:
    return LaunchSpec("x", 1, [], "x", "x", 1, 1, 0, **changes)  # type: ignore[arg-type]  # of any field


def test_a_replica_gets_its_rank_and_the_address_of_rank_0_in_the_names_that_launchers_read():
    assert spec(peers=PEERS).env_of(2) == {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "NODE_RANK": "2",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "replica-0.mlops-x-1",
        "MASTER_PORT": "29500",
        "PET_NNODES": "3",
        "PET_NODE_RANK": "2",
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": "replica-0.mlops-x-1",
        "PET_MASTER_PORT": "29500",
        "JAX_COORDINATOR_ADDRESS": "replica-0.mlops-x-1:29500",
        "JAX_NUM_PROCESSES": "3",
        "JAX_PROCESS_ID": "2",
        "MLOPS_GANG": "mlops-x-1",
        "MLOPS_HOSTFILE": "/etc/mlops/hostfile",
        "MLOPS_REPLICA": "2",
    }


def test_a_deployment_of_one_replica_gets_none_of_them():
    """Libraries take these variables for the sign that others run beside them."""
    assert spec().env_of(0) == {"MLOPS_REPLICA": "0"}


def test_a_launcher_starts_one_process_for_each_gpu():
    peers = Peers("mlops-x-1", 2, gpu=4)
    assert peers.env_of(1, {})["PET_NPROC_PER_NODE"] == "4"
    assert peers.hostfile == "replica-0.mlops-x-1 slots=4\nreplica-1.mlops-x-1 slots=4\n"


def test_a_users_value_wins_where_it_may_be_the_same_in_all_replicas():
    env = spec(peers=PEERS, env={"WORLD_SIZE": "24", "MASTER_PORT": "1234"}).env_of(1)
    assert env["WORLD_SIZE"] == "24"
    assert {env["MASTER_PORT"], env["PET_MASTER_PORT"]} == {"1234"}
    assert env["JAX_COORDINATOR_ADDRESS"] == "replica-0.mlops-x-1:1234"


@pytest.mark.parametrize("name", ["RANK", "NODE_RANK", "PET_NODE_RANK", "JAX_PROCESS_ID"])
def test_no_value_of_a_user_gives_all_replicas_the_same_rank(name):
    assert spec(peers=PEERS, env={name: "7"}).env_of(1)[name] == "1"


def test_replicas_that_no_network_connects_get_no_address_that_leads_nowhere():
    env = spec(peers=Peers("mlops-x-1", 2, reachable=False)).env_of(1)
    assert (env["RANK"], env["WORLD_SIZE"]) == ("1", "2")
    assert not [name for name in env if "ADDR" in name or "HOSTFILE" in name or "PORT" in name]
