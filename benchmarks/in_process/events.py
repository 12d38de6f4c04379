"""What the events of timelines and feeds cost a submit and a cycle, beside the same without them.

In one process, through the whole of Django, on servers of the benchmark's own: no web server, no
worker. CPU is that of this process and of its backend in PostgreSQL. Blocks of a few calls take
turns, in an order that changes, so that what else the machine does falls on all alike.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from benchmarks.in_process import tables
from benchmarks.over_http.client import workload
from benchmarks.report import Result
from benchmarks.servers import platform

BLOCKS = 30  # of each way, in a round; the round's value is the ratio of their medians
SUBMITS = 10  # of a block
STARTS = (1, 20)  # of a cycle

WAYS = ("feed", "timeline", "nothing")


class Cost(NamedTuple):
    """Of one call, in ms."""

    cpu: float
    wall: float


Block = Callable[[], tuple[int, Callable[[], object]]]
"""Prepares a block, and returns how many calls it has, and the block itself."""


def measure(rounds: int) -> Result:
    result = Result(
        "events",
        "The events of submits and cycles, beside none",
        notes=[
            f"A round is the ratio of the medians of {BLOCKS} blocks each way, which take turns. "
            "The feed beside the timeline alone is what following costs: its columns, the lookup "
            "of the organization, and the index. The feed beside nothing is all that writing "
            "events costs. CPU is that of Django and of its backend in PostgreSQL."
        ],
    )
    with platform():
        world = _World()
        for label, block in world.blocks():
            _measure(result, label, block, rounds)
    return result


def _measure(result: Result, label: str, block: Block, rounds: int) -> None:
    ratios: dict[tuple[str, str], list[float]] = {}
    times: dict[str, list[float]] = {"cpu": [], "wall": []}
    _measured(block, blocks=3)
    for _ in range(rounds):
        costs = _measured(block)
        for kind, values in times.items():
            values.append(getattr(costs["feed"], kind))
            for beside in WAYS[1:]:
                ratio = values[-1] / getattr(costs[beside], kind)
                ratios.setdefault((beside, kind), []).append(ratio)
    names = {"timeline": "the timeline alone", "nothing": "nothing"}
    for (beside, kind), values in ratios.items():
        name = "CPU" if kind == "cpu" else "time"
        result.add(f"{label}: the feed beside {names[beside]}, {name}", "x", values)
    result.add(f"{label}, CPU", "ms", times["cpu"], reference=True)
    result.add(f"{label}, time", "ms", times["wall"], reference=True)


def _measured(block: Block, blocks: int = BLOCKS) -> dict[str, Cost]:
    """The median cost of a call each way."""
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for number in range(blocks):
        for turn in range(len(WAYS)):
            way = WAYS[(number + turn) % len(WAYS)]
            with _writing(way):
                calls, work = block()
                cpu, wall = _cpu_ms(), time.perf_counter()
                work()
                wall = (time.perf_counter() - wall) * 1000
                costs[way].append(Cost((_cpu_ms() - cpu) / calls, wall / calls))
    return {
        way: Cost(median(each.cpu for each in found), median(each.wall for each in found))
        for way, found in costs.items()
    }


@contextmanager
def _writing(way: str) -> Iterator[None]:
    from deployments.lifecycle import timeline
    from deployments.services import bulk, submit

    if way == "timeline":
        with ExitStack() as stack:
            for name in ("_INSERT", "_INSERT_IN", "_INSERT_ONE_IN"):
                alone = _without_feed(getattr(timeline, name))
                stack.enter_context(patch.object(timeline, name, alone))
            yield
    elif way == "nothing":

        def nothing(*_: object, **__: object) -> None:
            pass

        with (
            patch.object(timeline, "record_all", nothing),
            patch.object(submit, "record_all", nothing),
            patch.object(bulk, "record_all", nothing),
        ):
            yield
    else:
        yield


def _without_feed(statement: str) -> str:
    """As entries were before they made feeds: with no organization there is no entry in the feed's
    index either."""
    for written in (
        "d.id, d.cluster_id, c.organization_id, pg_current_xact_id()::text::bigint",
        "line.id, %(cluster)s, %(organization)s, pg_current_xact_id()::text::bigint",
        "(%(ids)s::uuid[])[1], %(cluster)s, %(organization)s, pg_current_xact_id()::text::bigint",
    ):
        first = written.split(", ")[0].replace("d.id", "line.id")
        statement = statement.replace(written, first)
    joins = (
        "  JOIN deployments_deployment d ON d.id = line.id\n"
        "  JOIN clusters_cluster c ON c.id = d.cluster_id\n"
    )
    columns = "cluster_id, organization_id, transaction_id, "
    return statement.replace(joins, "").replace(columns, "")


def _cpu_ms() -> float:
    """Of this process and of its backend, which are on one machine."""
    from django.db import connection

    pid = connection.connection.info.backend_pid
    in_backend = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])  # ns on a CPU
    return time.process_time() * 1000 + in_backend / 1e6


class _World:
    """An organization with one developer, and what is measured in it."""

    def __init__(self) -> None:
        from organizations.models import Membership, Role

        self._user = tables.owner_named()
        self._role, self._members = Role.DEVELOPER, Membership.objects
        self._count = 0

    def blocks(self) -> Iterator[tuple[str, Block]]:
        yield "A submit", self._submits
        for starts in STARTS:
            label = f"A cycle with {starts} start{'s' if starts > 1 else ''}"
            yield label, lambda starts=starts: self._cycle(starts)

    def _submits(self) -> tuple[int, Callable[[], object]]:
        from rest_framework.test import APIClient
        from rest_framework_simplejwt.tokens import AccessToken

        client = APIClient(HTTP_HOST="localhost")
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(self._user)}")
        body = workload(str(self._new_cluster().pk))

        def work() -> None:
            for _ in range(SUBMITS):
                answer = client.post("/api/deployments", body, format="json")
                assert answer.status_code == 201, answer.content

        return SUBMITS, work

    def _cycle(self, starts: int) -> tuple[int, Callable[[], object]]:
        from deployments.services.bulk import create_deployments
        from deployments.services.drafting.drafts import Order
        from scheduler import cycle
        from scheduler.models import Trigger

        cluster = self._new_cluster()
        spec = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 1024, "gpu": 1}
        create_deployments(self._user, [Order(cluster.pk, spec)] * starts)

        def work() -> None:
            done = cycle.run(cluster.pk, Trigger.SUBMITTED)
            assert done is not None
            assert len(done.plan.starts) == starts

        return 1, work

    def _new_cluster(self) -> Any:
        """In an organization of its own; one for each block, so that all have as much to read."""
        self._count += 1
        made = tables.make_cluster(f"events-{self._count}", cpu=10**9, ram=10**9, gpu=10**6)
        self._members.create(user=self._user, organization_id=made.organization_id, role=self._role)
        return made
