"""Makes the operators' home."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from clusters.models import State
from deployments import wakeup as runtimes_wakeup
from mlops_platform.coordination.presence import SeenWorker, seen_workers
from mlops_platform.coordination.wakeup import Backlog
from scheduler import freshness, wakeup
from scheduler.home import lights, statements
from scheduler.home.lights import GRAVITY, Light, Tone, span
from scheduler.home.reading import Rows, rows_of
from scheduler.timer.jobs import HOUR_S

MOST_ROWS = 10
DAY_H = 24


@dataclass(frozen=True)
class ClusterRow:
    """A cluster with what is wrong in it, in words."""

    id: UUID
    name: str
    organization: str
    gpu: tuple[int, int]  # allocated, total
    cpu_milli: tuple[int, int]
    waiting: int
    running: int
    troubles: list[str]


class _Found(NamedTuple):
    """A row of statements.CLUSTERS."""

    id: UUID
    name: str
    organization: str
    state: str
    gpu: int
    total_gpu: int
    cpu: int
    total_cpu: int
    waiting: int
    waits_s: float
    running: int
    nodes_away: int
    endpoints_away: int
    fails: bool


@dataclass(frozen=True)
class OwnerRow:
    """What is allocated to an organization, or to a user in all organizations."""

    id: UUID
    name: str
    gpu: int
    cpu_milli: int
    ram_mib: int
    running: int


@dataclass(frozen=True)
class Home:
    """`clusters`, `organizations` and `users` are None where they could not be read in time."""

    lights: list[Light]
    clusters: list[ClusterRow] | None
    organizations: list[OwnerRow] | None
    users: list[OwnerRow] | None

    @property
    def tone(self) -> Tone:
        """The gravest of all."""
        return min((each.tone for each in self.lights), key=GRAVITY.index)

    @property
    def summary(self) -> str:
        wrong = [each for each in self.lights if each.tone != Tone.GOOD]
        if not wrong:
            return "All is well."
        names = ", ".join(
            each.name for each in sorted(wrong, key=lambda at: GRAVITY.index(at.tone))
        )
        return f"Look at: {names}."


def home() -> Home:
    """Twelve queries at most, and three round trips to Redis."""
    fresh, seen, queues = _freshness(), _workers(), _backlogs()
    endpoints = rows_of(statements.ENDPOINTS)
    has_endpoints = bool(endpoints and endpoints[0][0])
    shown = [
        lights.timer_light(fresh),
        lights.answer_light(fresh),
        lights.workers_light(seen, has_endpoints=has_endpoints),
        lights.backlog_light(queues),
        lights.overlooked_light(rows_of(statements.OVERLOOKED)),
        lights.cycles_light(queues, rows_of(statements.SLOW_CYCLES)),
        lights.endpoints_light(endpoints),
        lights.webhooks_light(_webhooks()),
        lights.audit_light(rows_of(statements.AUDIT)),
        lights.database_light(rows_of(statements.SIZE)),
        lights.disk_light(),
    ]
    organizations, users = _allocated()
    failing = queues["scheduler"].failing if queues else []
    return Home(shown, _clusters(failing), organizations, users)


def _freshness() -> freshness.Freshness | None:
    try:
        return freshness.read()
    except (DatabaseError, InterfaceError):
        return None


def _workers() -> list[SeenWorker] | None:
    try:
        return seen_workers()
    except RedisError:
        return None


def _backlogs() -> dict[str, Backlog] | None:
    try:
        return {"scheduler": wakeup.backlog(), "runtimes": runtimes_wakeup.backlog()}
    except RedisError:
        return None


def _webhooks() -> Rows | None:
    off_s = (settings.WEBHOOK_OFF_AFTER_H + DAY_H) * HOUR_S
    return rows_of(statements.WEBHOOKS, {"off_s": off_s})


def _clusters(failing: list[UUID]) -> list[ClusterRow] | None:
    """Those in trouble first. A cluster in which deployments wait for long may only be full."""
    params = {"failing": [str(each) for each in failing], "most": MOST_ROWS}
    rows = rows_of(statements.CLUSTERS, params)
    return None if rows is None else [_cluster(_Found(*row)) for row in rows]


def _cluster(found: _Found) -> ClusterRow:
    troubles = []
    if found.fails:
        troubles.append("its cycles fail")
    if silent := found.endpoints_away:
        troubles.append(f"{silent} {'endpoint is' if silent == 1 else 'endpoints are'} away")
    if away := found.nodes_away:
        troubles.append(f"{away} {'node does' if away == 1 else 'nodes do'} not answer")
    if found.state != State.ACTIVE:
        troubles.append(found.state.lower())
    if found.waiting:
        troubles.append(f"the first waits for {span(found.waits_s)}")
    return ClusterRow(
        found.id,
        found.name,
        found.organization,
        (found.gpu, found.total_gpu),
        (found.cpu, found.total_cpu),
        found.waiting,
        found.running,
        troubles,
    )


def _allocated() -> tuple[list[OwnerRow] | None, list[OwnerRow] | None]:
    rows = rows_of(statements.ALLOCATED, {"most": MOST_ROWS})
    if rows is None:
        return None, None
    found: dict[bool, list[OwnerRow]] = {True: [], False: []}
    for is_organization, id_, name, gpu, cpu, ram, number in rows:
        found[is_organization].append(
            OwnerRow(id_, str(name), int(gpu), int(cpu), int(ram), int(number))
        )
    return found[True], found[False]
