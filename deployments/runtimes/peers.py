"""How the replicas of a gang find each other: their names, their environment and their hostfile.

One replica is one process of the world, unless a launcher inside of it starts more: torchrun reads
the PET_ variables as the defaults of its options, and gives its own processes other ranks.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

MASTER_PORT = 29500  # the default of torch.distributed
FOLDER, HOSTFILE = "/etc/mlops", "hostfile"
GANG = "MLOPS_GANG"  # the variable with the domain of their names
# Each has another value in each replica, so no value of a user's can be right.
RANKS = frozenset({"RANK", "NODE_RANK", "PET_NODE_RANK", "JAX_PROCESS_ID"})


@dataclass(frozen=True, slots=True)
class Peers:
    """The replicas of one attempt of a gang, wherever they are placed."""

    group: str  # the domain of their names: a network on Docker, a Service on Kubernetes
    replicas: int
    gpu: int = 0  # of each replica
    reachable: bool = True  # False: no network connects them, so they have no addresses

    def name(self, replica: int) -> str:
        """Resolves to the replica's address, in each replica of the gang."""
        return f"{host_name(replica)}.{self.group}"

    @property
    def processes(self) -> int:
        """How many processes a launcher should start in each replica: one for each GPU."""
        return max(self.gpu, 1)

    @property
    def hostfile(self) -> str:
        """As Open MPI and DeepSpeed read it."""
        lines = [f"{self.name(number)} slots={self.processes}" for number in range(self.replicas)]
        return "".join(f"{line}\n" for line in lines)

    def env_of(self, replica: int, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of one replica, `given` by the user included.

        What is the same in all replicas may be given, so that a script that starts several
        processes by itself can set another WORLD_SIZE.
        """
        env = {
            "WORLD_SIZE": str(self.replicas),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "PET_NNODES": str(self.replicas),
            "PET_NPROC_PER_NODE": str(self.processes),
            "JAX_NUM_PROCESSES": str(self.replicas),
        }
        if self.reachable:
            address = given.get("MASTER_ADDR") or self.name(0)
            port = given.get("MASTER_PORT") or str(MASTER_PORT)
            env |= {
                "MASTER_ADDR": address,
                "MASTER_PORT": port,
                "PET_MASTER_ADDR": address,
                "PET_MASTER_PORT": port,
                "JAX_COORDINATOR_ADDRESS": f"{address}:{port}",
            }
        env |= given
        env |= dict.fromkeys(RANKS, str(replica))
        if self.reachable:
            env |= {GANG: self.group, "MLOPS_HOSTFILE": f"{FOLDER}/{HOSTFILE}"}
        return env


def host_name(replica: int) -> str:
    return f"replica-{replica}"


def why_no_rank(names: Collection[str]) -> str:
    """Why a user may not give these variables to a gang."""
    return f"Each replica of a gang gets its own {', '.join(sorted(names))}."


def group_of(deployment_id: str, attempt: int) -> str:
    return f"mlops-{deployment_id}-{attempt}"
