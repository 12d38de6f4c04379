"""Reads parts of a cluster's queue: the deployments that wait for nothing but the scheduler."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from mlops_platform.api.ids import moment
from scheduler.engine import Snapshot
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.resources import Resources, add_up
from scheduler.engine.snapshot import DEFAULT_QUOTA, GPU_WEIGHTED, Workload
from scheduler.engine.upper_bounds import bounds_of
from scheduler.store.queue.statements import (
    ALL,
    BEST,
    CLASSES_WAITING,
    FIRST_HEADS_WITHIN,
    HEADS,
    HEADS_WITHIN,
    IN_ORDER,
    IN_ORDER_WITHIN,
    MEMBERS,
    OLDEST,
    STARVED,
    STARVED_WITHIN,
    STEP_BY_STEP,
    WITHOUT_SORTING,
)
from scheduler.store.volumes import away_from, selector_of

EVERY_KEY = 2**31 - 1
_cursors = count()  # for their names, each of which a transaction uses once
FreeByClass = Mapping[str, Sequence[Resources]]  # by priority class: what could be free, bin by bin


class SizeClass(NamedTuple):
    """The workloads of a priority class, gangs or not, that ask for no more than `most` in all."""

    priority: str
    gang: bool
    most: Resources


def size_classes(free: FreeByClass) -> list[SizeClass]:
    """A single replica has to fit in one bin, a gang in all of them together."""
    sizes = []
    for priority, amounts in free.items():
        sizes += [SizeClass(priority, False, bound) for bound in bounds_of(amounts)]
        sizes.append(SizeClass(priority, True, add_up(amounts)))
    return [size for size in sizes if size.most.cpu_milli > 0 and size.most.ram_mib > 0]


def merged(sizes: Iterable[SizeClass]) -> list[SizeClass]:
    """One per priority class, gangs or not, that contains all of its size classes."""
    around: dict[tuple[str, bool], Resources] = {}
    for priority, gang, most in sizes:
        had = around.get((priority, gang), most)
        around[priority, gang] = Resources(*map(max, had, most))
    return [SizeClass(*key, most) for key, most in around.items()]


class OrderKey(NamedTuple):
    """Where in the scheduling order a row stands: ascending."""

    value: int
    score: int
    submitted: datetime
    id: str


FIRST_KEY = OrderKey(-(2**40), -(2**40), datetime(1, 1, 1, tzinfo=UTC), str(UUID(int=0)))


@dataclass(frozen=True, slots=True)
class QueueReader:
    """The ready ones of one cluster: they wait for nothing but the scheduler."""

    cluster_id: UUID
    classes: Mapping[str, int]  # name -> primary key
    by_owner: bool = False  # whether the planner is to know the owners
    local: frozenset[str] = frozenset()  # the volumes that only some nodes have
    avoided: frozenset[str] = frozenset()  # the nodes that queued ones avoid

    def all(self, most: int) -> tuple[Workload, ...] | None:
        """All of them, unless they are more than `most`. One query."""
        rows = self._ask(ALL, (), most=most + 1)
        return tuple(map(self._workload, rows)) if len(rows) <= most else None

    def waiting(self, known: Iterable[str]) -> frozenset[str]:
        """The priority classes of which a deployment waits that is not among the ids `known`."""
        rows = self._ask(CLASSES_WAITING, (), known=list(known))
        return frozenset(row["name"] for row in rows)

    def heads(
        self, sizes: Sequence[SizeClass], most: int, quotas: OwnerUsage | None = None
    ) -> tuple[list[Workload], bool]:
        """The first of each scheduling key in the size classes, with `quotas` of those that these
        allow; False where one size class would have needed more than `most` steps for all."""
        if not sizes:
            return [], True
        if quotas is None:
            rows = self._ask(HEADS, sizes, most=most)
        else:
            rows = self._ask(HEADS_WITHIN, sizes, most=most, **_unused(quotas))
        by_key = {row["scheduling_key"]: self._workload(row) for row in rows if row["fits"]}
        return list(by_key.values()), all(row["hops"] < most for row in rows)

    def members(self, most: Mapping[Workload, int]) -> list[Workload]:
        """Behind each of these heads, at most so many of its scheduling key."""
        wanted = {head.id: count for head, count in most.items() if count > 0}
        if not wanted:
            return []
        head_of = {head.scheduling_key: head for head in most}
        rows = self._ask(MEMBERS, (), heads=list(wanted), most=list(wanted.values()))
        return [_behind(head_of[row["scheduling_key"]], row) for row in rows]

    def first_heads(
        self, snapshot: Snapshot, sizes: Sequence[SizeClass], quotas: OwnerUsage, most: int
    ) -> list[Workload]:
        """Of the heads in the size classes that these quotas allow, the first `most` in the
        scheduling order, as far as that does not depend on shares."""
        rows = self._ask(
            FIRST_HEADS_WITHIN,
            sizes,
            **_order_of(snapshot),
            **_unused(quotas),
            most=EVERY_KEY,
            first=most,
        )
        return [self._workload(row) for row in rows]

    def in_order(
        self,
        snapshot: Snapshot,
        sizes: Sequence[SizeClass],
        after: OrderKey,
        most: int,
        quotas: OwnerUsage | None = None,
    ) -> tuple[list[Workload], OrderKey]:
        """The next in the scheduling order that fit in the size classes, with `quotas` of those
        that these allow; and the order key of the last."""
        more = {**_order_of(snapshot), **after._asdict(), "known": [], "never": [], "most": most}
        if quotas is None:
            rows = self._ask(IN_ORDER, merged(sizes), **more)
        else:
            rows = self._ask(IN_ORDER_WITHIN, merged(sizes), **more, **_unused(quotas))
        if rows:
            last = rows[-1]
            after = OrderKey(-last["value"], -last["score"], last["created_at"], last["id"])
        return [self._workload(row) for row in rows], after

    def first(
        self,
        snapshot: Snapshot,
        sizes: Sequence[SizeClass],
        known: Iterable[str],
        never: Iterable[str],
    ) -> list[Workload]:
        """Of each size class, or at least of each priority class, the first in the scheduling order
        whose id is not known and whose scheduling key is none of `never`."""
        statement = BEST if snapshot.policy.ordering == GPU_WEIGHTED else OLDEST
        more = {"known": list(known), "never": list(never)}
        rows = self._ask(statement, sizes, **more, **_totals(snapshot))
        return [self._workload(row) for row in rows]

    def starved(
        self,
        sizes: Sequence[SizeClass],
        since_ms: int,
        most: int,
        quotas: OwnerUsage | None = None,
        never: Iterable[str] = (),
    ) -> list[Workload]:
        """Of each priority class, the first `most` in the size classes that have waited since then,
        the longest wait first, without the scheduling keys of `never`; with `quotas`, of those that
        these allow."""
        more = {"known": [], "never": list(never), "since": moment(since_ms + 1), "most": most}
        if quotas is None:
            rows = self._ask(STARVED, sizes, **more)
        else:
            rows = self._ask(STARVED_WITHIN, sizes, **more, **_unused(quotas))
        return [self._workload(row) for row in rows]

    def _workload(self, row: Mapping[str, Any]) -> Workload:
        labels = json.loads(row["node_selector"])
        if self.local:
            selector = selector_of(labels, json.loads(row["volumes"]), self.local)
        else:
            selector = tuple(sorted(labels.items()))
        if (avoided := row["avoided_node_id"]) is not None and str(avoided) in self.avoided:
            selector = away_from(avoided, selector)
        return Workload(
            id=row["id"],
            scheduling_key=row["scheduling_key"],
            priority=row["priority"],
            request=Resources(row["cpu_milli"], row["ram_mib"], row["gpu"]),
            replicas=row["replicas"],
            submitted_ms=row["submitted_ms"],
            queued_ms=row["queued_ms"],
            selector=selector,
            limit_s=row["max_runtime_s"],
            owner=str(row["owner_id"]) if self.by_owner else "",
            endless=row["endless"],
            preemptions=row["preemption_count"],
            whole=row["whole"],
            sweep=row["sweep_id"] or "",
        )

    def _ask(
        self, statement: str, sizes: Sequence[SizeClass], **params: Any
    ) -> list[dict[str, Any]]:
        params |= {
            "cluster": self.cluster_id,
            "classes": [self.classes[size.priority] for size in sizes],
            "gangs": [size.gang for size in sizes],
            "gpus": [size.most.gpu for size in sizes],
            "cpus": [size.most.cpu_milli for size in sizes],
            "rams": [size.most.ram_mib for size in sizes],
        }
        if statement in STEP_BY_STEP:
            name = f"step_by_step_{next(_cursors)}"
            statement = WITHOUT_SORTING.format(name=name, statement=statement)
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _behind(head: Workload, row: Mapping[str, Any]) -> Workload:
    """An equal of the head. There may be very many, and `replace` would take ten times as long."""
    return Workload(
        row["id"],
        head.scheduling_key,
        head.priority,
        head.request,
        head.replicas,
        row["submitted_ms"],
        row["queued_ms"],
        head.selector,
        head.limit_s,
        head.owner,
        row["endless"],
        row["preemption_count"],
        head.whole,
        head.sweep,
    )


def _unused(quotas: OwnerUsage) -> dict[str, Any]:
    """What quotas leave, as the statements that end with WITHIN take it."""
    unused = quotas.unused_quotas()
    others = unused.pop(DEFAULT_QUOTA)
    found: dict[str, Any] = {"owners": list(unused)}
    for dim, name in enumerate(("owner_cpus", "owner_rams", "owner_gpus")):
        found |= {name: [amount[dim] for amount in unused.values()], f"other_{name}": others[dim]}
    return found


def _order_of(snapshot: Snapshot) -> dict[str, int]:
    return {**_totals(snapshot), "scored": int(snapshot.policy.ordering == GPU_WEIGHTED)}


def _totals(snapshot: Snapshot) -> dict[str, int]:
    """What shares are of. A request for a resource of which there is none is one for all of it."""
    total = snapshot.total
    return {"gpu": total.gpu, "cpu": total.cpu_milli, "ram": total.ram_mib}
