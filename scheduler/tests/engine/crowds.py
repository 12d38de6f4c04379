"""Random clusters, nearly full, with a workload that would have to evict. A seed gives one
cluster."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from scheduler.engine.resources import Resources, add_up
from scheduler.engine.snapshot import PriorityClass, Running, Snapshot, Workload
from scheduler.tests.engine.build import HIGH, IDLE, LOW, MID, NOW, job, node, pool, rack, run

FIRM = PriorityClass("FIRM", 300, may_preempt=False, preemptible=False)
CLASSES = (LOW, HIGH, IDLE, MID, FIRM)

Shape = tuple[int, int, int]


def cluster(seed: int) -> Snapshot:
    """A pool or nodes, nearly full, and one to three workloads that would have to evict others."""
    random = Random(seed)
    names = [] if random.random() < 0.3 else [f"n{n:02}" for n in range(random.randint(2, 12))]
    bins = len(names) or 1
    shapes, spanning = _shapes(random), random.choice([0, 0.1, 0.3, 0.6])
    running = [_running(random, shapes, names, spanning) for _ in range(_crowd(random, bins))]
    waiting = [_preemptor(random, bins, len(running)) for _ in range(random.choice([1, 1, 2, 3]))]
    policy = {"preempt_exempt_s": random.choice([0, 0, 300])}
    if not names:
        queued = [replace(each, selector=()) for each in waiting]
        base = pool(running=running, queued=queued, classes=CLASSES, **policy)
        return replace(base, total=base.allocated.plus(_spare(random)))
    zones = [{"zone": random.choice("xy")} for _ in names]
    states = random.choices(["READY", "CORDONED", "DRAINING"], [30, 1, 1], k=len(names))
    empty = [
        node(name, labels=zone, state=state)
        for name, zone, state in zip(names, zones, states, strict=True)
    ]
    base = rack(empty, running=running, queued=waiting, classes=CLASSES, **policy)
    nodes = tuple(
        replace(each, capacity=each.allocated.plus(_spare(random))) for each in base.nodes
    )
    return replace(base, nodes=nodes, total=add_up(each.capacity for each in nodes))


def _shapes(random: Random) -> list[Shape] | None:
    """A few sizes shared by all workloads, as in real clusters; or None: each has its own."""
    if random.random() < 0.3:
        return None
    return [_shape(random) for _ in range(random.randint(1, 6))]


def _shape(random: Random) -> Shape:
    gpu = random.choice([0, 0, 1, 1, 2, 4, 8])
    return gpu, random.randint(1, 16), random.choice([1, 2, 4, 8, 16, 30, 60])


def _crowd(random: Random, bins: int) -> int:
    return random.randint(5, 60) if bins == 1 else random.randint(bins, min(6 * bins, 60))


def _running(
    random: Random, shapes: list[Shape] | None, names: Sequence[str], spanning: float
) -> Running:
    gpu, cpu, ram = random.choice(shapes) if shapes else _shape(random)
    on: dict[str | None, int] = {random.choice(names) if names else None: 1}
    if len(names) > 1 and random.random() < spanning:
        on = dict.fromkeys(random.sample(names, min(random.randint(2, 4), len(names))), 1)
    ran_s = random.choice([None, *[60 * random.randint(0, 2000)] * 8])
    return run(
        gpu,
        cpu,
        ram,
        on=on,
        priority=random.choice(["LOW"] * 6 + ["IDLE", "IDLE", "MID", "MID", "HIGH", "FIRM"]),
        ran_s=ran_s,
        checkpoint_ms=random.choice([None, None, NOW - 60_000 * random.randint(0, 500)]),
        endless=random.random() < 0.1,
        admitted_ms=random.choice([None, NOW - 1000 * random.randint(0, 600)]),
        preemptions=random.choice([0] * 9 + [5]),
    )


def _preemptor(random: Random, bins: int, crowd: int) -> Workload:
    """A workload as large as a few of those that run in a bin."""
    parts = [_shape(random) for _ in range(random.randint(1, max(crowd // bins // 2, 1)))]
    gpu, cpu, ram = (sum(amounts) for amounts in zip(*parts, strict=True))
    wide = random.random() < (0.7 if bins > 1 else 0.2)
    return job(
        random.choice([0, gpu]),
        cpu,
        ram,
        priority=random.choice(["HIGH", "HIGH", "HIGH", "MID"]),
        replicas=random.randint(2, min(bins, 8) if bins > 1 else 4) if wide else 1,
        selector=random.choice([{}, {}, {}, {"zone": "x"}]),
    )


def _spare(random: Random) -> Resources:
    cpu, ram = random.randint(0, 4), random.randint(0, 8)
    return Resources(cpu * 1000, ram * 1024, random.choice([0, 0, 1, 2]))


def heap(seed: int) -> Snapshot:
    """A pool of many workloads of different sizes, and one that needs the capacity of half of them:
    the hardest case for a search for the cheapest victims."""
    random = Random(seed)
    weighty = random.random() < 0.5  # cost follows size, so no victim is clearly cheaper
    running = [
        run(
            random.randint(0, 8),
            random.randint(1, 64),
            random.randint(1, 64),
            ran_s=random.randint(3000, 3100) if weighty else random.randint(0, 5000),
            priority=random.choice(["LOW", "LOW", "IDLE"]),
        )
        for _ in range(random.randint(30, 90))
    ]
    some = [each.request for each in running if random.random() < random.choice([0.2, 0.5])]
    want = add_up(some or [running[0].request])
    waiting = job(want.gpu, want.cpu_milli // 1000, want.ram_mib // 1024, high=True)
    base = pool(running=running, queued=[waiting], classes=CLASSES)
    return replace(base, total=base.allocated)
