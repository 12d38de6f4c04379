"""Recorded snapshots, and the plans of this version of the engine for them.

`python -m scheduler.tests.engine.golden` records them anew. It refuses to if a plan has changed and
ENGINE_VERSION has not.
"""

import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from scheduler.engine import ENGINE_VERSION, Plan, Snapshot, make_plan
from scheduler.engine.codec import canonical, decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import Policy, ReservationRecord, Running, Workload
from scheduler.tests.engine import crowds
from scheduler.tests.engine.build import NOW, allocated_by, job, of, owned, window
from scheduler.tests.engine.plans import fitting, free_amounts

OWNERS = ("ann", "ben", "cleo")
FILE = Path(__file__).with_name("golden.json")
BESIDE_A_RESERVATION = (66, 134, 150, 182)  # with an eviction
RESERVATIONS = (56, 60, 78, 1694, 1698, 1880)  # that have doubled, or avoid services
SEEDS = (*range(44), *BESIDE_A_RESERVATION, *RESERVATIONS)
OWNED_SEEDS = range(1000, 1016)  # of several owners, with fair shares, quotas or both
GANG_SEEDS = range(2000, 2006)  # with a gang among victims of equal cost
WINDOW_SEEDS = range(3000, 3012)  # some of a pool, which has none
CHANGED = (
    "{names}: engine version {version} made other plans of these snapshots. If that is meant, "
    "raise ENGINE_VERSION in scheduler/engine/__init__.py, so that replay does not compare what "
    "cannot be compared, and run `python -m scheduler.tests.engine.golden`. Else it is a mistake."
)
NOT_RECORDED = (
    "The recorded plans are those of engine version {recorded}, and this is {version}: run "
    "`python -m scheduler.tests.engine.golden`."
)


class UnpinnedError(Exception):
    """The recorded plans or their version are not those of this engine; the message says what to
    do."""


def verify(recorded: dict[str, Any], plan: Callable[[Snapshot], Plan] = make_plan) -> None:
    """Raise UnpinnedError unless the plans and the version are those recorded."""
    changed = [
        name
        for name, (text, digest) in recorded["plans"].items()
        if digest != digest_of(text, plan)
    ]
    if recorded["engine_version"] == ENGINE_VERSION and changed:
        raise UnpinnedError(CHANGED.format(names=", ".join(changed), version=ENGINE_VERSION))
    if recorded["engine_version"] != ENGINE_VERSION:
        versions = {"recorded": recorded["engine_version"], "version": ENGINE_VERSION}
        raise UnpinnedError(NOT_RECORDED.format(**versions))


def digest_of(text: str, plan: Callable[[Snapshot], Plan] = make_plan) -> str:
    """The digest of what is planned for a snapshot in canonical JSON."""
    snapshot = decode_snapshot(zlib.compress(text.encode()))
    return sha256(canonical(encode_plan(plan(snapshot)))).hexdigest()


def snapshot(seed: int) -> Snapshot:
    """A crowded cluster of any policy, with a preemptor and a queue."""
    random = Random(seed)
    base = crowds.cluster(seed)
    policy = Policy(
        queueing=("best_effort", "strict", "easy_backfill")[seed % 3],
        ordering=("gpu_weighted", "fifo")[seed // 3 % 2],
        preemption=random.choice(["lower_priority", "lower_priority", "never"]),
        placement=random.choice(["binpack", "spread"]),
        preempt_exempt_s=random.choice([0, 300]),
        reserve_after_s=random.choice([0, 3600, 3600]),
        max_preemptions=random.choice([0, 5]),
    )
    waiting = [*base.queued, *(_waiting(random) for _ in range(random.randint(0, 15)))]
    queued = tuple(replace(each, id=f"w{n:03}") for n, each in enumerate(waiting))
    running = tuple(_renamed_running(each, n, random) for n, each in enumerate(base.running))
    max_starts = random.choice([2, 1000, 1000])
    running = tuple(
        replace(each, endless=each.ends_ms is None and random.random() < 0.3) for each in running
    )
    reservation_history = tuple(
        _record_of(each, random) for each in queued if random.random() < 0.5
    )
    queued = tuple(
        replace(each, endless=each.limit_s is None and random.random() < 0.3) for each in queued
    )
    return replace(
        base,
        policy=policy,
        running=running,
        queued=queued,
        max_starts=max_starts,
        reservation_history=reservation_history,
    )


def snapshot_of_owners(seed: int) -> Snapshot:
    """The same cluster with three owners."""
    base, random = snapshot(seed), Random(seed)
    running = [allocated_by(random.choice(OWNERS), each) for each in base.running]
    queued = [of(random.choice(OWNERS), each) for each in base.queued]
    base = replace(base, running=tuple(running), queued=tuple(queued))
    if seed % 2:
        base = replace(base, policy=replace(base.policy, ordering="fair_share"))
    if seed % 4 == 3:
        return owned(base)
    return owned(base, others=_quota(random, base), ann=_quota(random, base))


def snapshot_of_a_gang(seed: int) -> Snapshot:
    """The same cluster, in which all has started at once, with a gang in place of the queue: four
    replicas more than fit."""
    base = snapshot(seed)
    running = tuple(replace(each, started_ms=NOW - 600_000) for each in base.running)
    policy = replace(base.policy, preemption="lower_priority", max_preemptions=5)
    gang = replace(job(0, 1, 1, high=True), id="gang")
    gang = replace(gang, replicas=fitting(free_amounts(base).values(), gang) + 4)
    return replace(base, running=running, policy=policy, queued=(gang,), reservation_history=())


def snapshot_with_windows(seed: int) -> Snapshot:
    """The same cluster, of whose nodes most have maintenance windows."""
    base, random = snapshot(seed), Random(seed)
    windows = [
        window(node.id, begins_s=random.choice([-60, 30, 1800, 20_000]) + number)
        for number, node in enumerate(base.nodes)
        if random.random() < 0.7
    ]
    windows.sort(key=lambda each: each.begins_ms)
    return replace(base, windows=tuple(windows))


def _quota(random: Random, base: Snapshot) -> Resources:
    return Resources(*(random.choice([total // 2, total, ENDLESS]) for total in base.total))


def _waiting(random: Random) -> Workload:
    waited_s = random.randint(0, 7000)
    return job(
        random.choice([0, 0, 1, 2]),
        random.randint(1, 4),
        random.randint(1, 8),
        priority=random.choice(["LOW", "LOW", "IDLE", "MID", "FIRM", "HIGH"]),
        replicas=random.choice([1, 1, 1, 2]),
        limit_s=random.choice([None, 60, 3600]),
        waited_s=waited_s,
        queued_ms=NOW - 1000 * random.randint(0, waited_s),
    )


def _record_of(workload: Workload, random: Random) -> ReservationRecord:
    before_s, since_s = random.choice([0, 20_000, 10**5]), random.choice([None, 100, 50_000])
    since_ms = None if since_s is None else NOW - 1000 * since_s
    return ReservationRecord(workload.id, 1000 * before_s, since_ms)


def _renamed_running(running: Running, number: int, random: Random) -> Running:
    limit_s = random.choice([None, random.randint(10, 5000)])
    ends_ms = None if limit_s is None else NOW + 1000 * limit_s
    return replace(running, id=f"r{number:03}", ends_ms=ends_ms)


def record() -> None:
    if FILE.exists() and (old := json.loads(FILE.read_text()))["engine_version"] == ENGINE_VERSION:
        verify(old)
    plans = {}
    for seed in SEEDS:
        text = canonical(encode_snapshot(snapshot(seed))).decode()
        plans[f"crowd {seed}"] = (text, digest_of(text))
    for seed in OWNED_SEEDS:
        text = canonical(encode_snapshot(snapshot_of_owners(seed))).decode()
        plans[f"owners {seed}"] = (text, digest_of(text))
    for seed in GANG_SEEDS:
        text = canonical(encode_snapshot(snapshot_of_a_gang(seed))).decode()
        plans[f"gang {seed}"] = (text, digest_of(text))
    for seed in WINDOW_SEEDS:
        text = canonical(encode_snapshot(snapshot_with_windows(seed))).decode()
        plans[f"windows {seed}"] = (text, digest_of(text))
    recorded = {"engine_version": ENGINE_VERSION, "plans": plans}
    FILE.write_text(json.dumps(recorded, indent=0) + "\n")


if __name__ == "__main__":
    try:
        record()
    except UnpinnedError as error:
        sys.exit(str(error))
