"""The snapshots for which a plan costs most: gangs over full nodes, and very many different victims
and preemptors."""

from collections.abc import Callable
from random import Random

from scheduler.engine.resources import ZERO, Resources, add_up
from scheduler.engine.snapshot import (
    ACTIVE,
    Node,
    Placement,
    Policy,
    PriorityClass,
    Running,
    Snapshot,
    Workload,
)

NOW = 1_700_000_000_000
LOW = PriorityClass("LOW", 0, may_preempt=False, preemptible=True)
HIGH = PriorityClass("HIGH", 1000, may_preempt=True, preemptible=False)
CORES = 128  # of a node


def gang(replicas: int, nodes: int) -> Snapshot:
    """Nodes of 128 cores full of LOW of 4 to 32 cores, and a HIGH gang of 1 core each."""
    random, running = Random(1), []
    for number in range(nodes):
        left = CORES
        while left:
            cores = min(random.choice([4, 8, 16, 32]), left)
            left -= cores
            request = Resources(cores * 1000, cores * 1024, 0)
            running.append(_running(random, len(running), request, f"n{number:04}"))
    return _snapshot(running, [_waiting(0, Resources(1000, 1024, 0), replicas)])


def pool(preemptors: int, victims: int) -> Snapshot:
    """A pool full of different LOW, and different HIGH of the same sizes."""
    random = Random(2)
    running = [_running(random, number, _size(random), None) for number in range(victims)]
    return _snapshot(running, [_waiting(n, _size(random)) for n in range(preemptors)])


def full_nodes(preemptors: int, nodes: int) -> Snapshot:
    """Nodes of ten different LOW each, and different HIGH about as large as two of them."""
    random = Random(3)
    running = [
        _running(random, number, _size(random), f"n{number % nodes:04}")
        for number in range(10 * nodes)
    ]
    requests = [_size(random).plus(_size(random)) for _ in range(preemptors)]
    return _snapshot(running, [_waiting(n, each) for n, each in enumerate(requests)])


CASES: dict[str, Callable[[], Snapshot]] = {
    "a gang of 100 on 200 full nodes": lambda: gang(100, 200),
    "a gang of 1,000 on 1,000 full nodes": lambda: gang(1_000, 1_000),
    "100 different HIGH, a pool of 1,000 different LOW": lambda: pool(100, 1_000),
    "1,000 different HIGH, a pool of 3,000 different LOW": lambda: pool(1_000, 3_000),
    "1,000 different HIGH on 1,000 nodes": lambda: full_nodes(1_000, 1_000),
}


def _size(random: Random) -> Resources:
    return Resources(
        random.randrange(1, 64_000), random.randrange(1, 300_000), random.randrange(0, 2)
    )


def _running(random: Random, number: int, request: Resources, node: str | None) -> Running:
    started_ms = NOW - random.randrange(10_000, 10_000_000)
    placement = (Placement(node, 1),)
    return Running(f"r{number:05}", "LOW", request, 1, placement, started_ms, None, 0)


def _waiting(number: int, request: Resources, replicas: int = 1) -> Workload:
    key = f"{request}/{replicas}"
    return Workload(f"w{number:05}", key, "HIGH", request, replicas, NOW - 1000, NOW - 1000)


def _snapshot(running: list[Running], queued: list[Workload]) -> Snapshot:
    """What runs allocates all there is, of each node or of the pool."""
    allocated: dict[str, Resources] = {}
    for each in running:
        if (node_id := each.placement[0].node_id) is not None:
            allocated[node_id] = allocated.get(node_id, ZERO).plus(each.request)
    total = add_up(each.request for each in running)
    return Snapshot(
        cluster_id="hard",
        state=ACTIVE,
        policy=Policy(),
        total=total,
        allocated=total,
        classes=(LOW, HIGH),
        nodes=tuple(Node(id_, id_, amount, amount) for id_, amount in sorted(allocated.items())),
        running=tuple(running),
        queued=tuple(queued),
        now_ms=NOW,
        max_starts=1_000,
    )
