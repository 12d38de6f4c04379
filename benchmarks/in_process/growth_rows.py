"""A platform with a history: many ended deployments, their events and the cycles that ran them."""

from dataclasses import dataclass
from typing import Any

SMALL = 5_000
LARGE = 500_000
EVENTS_OF_EACH = 4
DEPLOYMENTS_OF_A_CYCLE = 10
CLUSTERS = 8
RUNNING, WAITING = 200, 1_000
DAYS = 400
OLD_SHARE = 0.4  # the oldest part of the history, which alone has what is rare


@dataclass(frozen=True)
class World:
    """The people and clusters of the benchmark, the same in both databases."""

    organization: Any
    member: Any
    neighbour: Any
    operator: Any
    busy: Any
    quiet: Any


def make_world() -> World:
    """Two organizations. One has a busy cluster and small ones, the other has one quiet cluster
    of 300 old deployments, which stays as it is however the other one grows."""
    from accounts.models import User
    from benchmarks.in_process.tables import make_cluster
    from organizations.models import Membership, Organization, Role

    ours, theirs = (Organization.objects.create(name=name) for name in ("Ours", "Theirs"))
    member, neighbour = (User.objects.create_user(name) for name in ("member", "neighbour"))
    for number in range(18):
        User.objects.create_user(f"colleague{number:02}")
    operator = User.objects.create_superuser("operator", password="correct-horse-battery")
    for organization, user in ((ours, member), (theirs, neighbour)):
        Membership.objects.create(organization=organization, user=user, role=Role.ADMIN)
    clusters = []
    for number in range(CLUSTERS):
        cluster = make_cluster(f"c{number}", cpu=10**6, ram=10**9, gpu=RUNNING)
        cluster.organization = theirs if number == CLUSTERS - 1 else ours
        cluster.save()
        clusters.append(cluster)
    world = World(ours, member, neighbour, operator, clusters[0], clusters[-1])
    _ended(300, offset=0, only=world.quiet, owner=neighbour)
    for status, count in (("RUNNING", RUNNING), ("QUEUED", WAITING)):
        _live(world, status, count)
    return world


def add_history(total: int, *, already: int = 0) -> None:
    """Ended deployments up to `total`: nine of ten in the busy cluster. FAILED, STOPPED, HIGH and
    services are rare, and all of them old."""
    _ended(total - already, offset=already)


_ENDED = """
INSERT INTO deployments_deployment ({columns})
SELECT {values}
  FROM (SELECT n, now() - interval '1 hour' - (n::float8 / {count}) * interval '{days} days' AS at,
               n >= {count} * (1 - {old}) AS old,
               CASE WHEN n % 10 = 9 THEN 1 + n / 10 % {small} ELSE 0 END AS at_cluster
          FROM generate_series(0, {count} - 1) n) made
  CROSS JOIN LATERAL (SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
         || '7000' || '8' || substr(md5(n::text || '/' || {offset}), 1, 15))::uuid AS id) key
  JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM clusters_cluster) c
    ON c.number = {cluster}
  JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM accounts_user
         WHERE username NOT IN ('neighbour', 'operator')) u ON u.number = {owner}
"""
_VALUES = {
    "id": "key.id",
    "cluster_id": "c.id",
    "owner_id": "u.id",
    "name": "CASE WHEN n % 50 = 0 AND old THEN 'rare-' ELSE 'train-resnet-' END || n % 1000",
    "image": "'registry.example.com/vision/train:' || n % 40",
    "command": "'[]'",
    "args": """'["--epochs", "10"]'""",
    "env": """'["sealed"]'""",
    "kind": "CASE WHEN n % 20 = 3 AND old THEN 'service' ELSE 'job' END",
    "cpu_milli": "1000",
    "ram_mib": "1024",
    "gpu": "1",
    "replicas": "1",
    "priority_class_id": """(SELECT p.id FROM deployments_priorityclass p
        WHERE p.name = CASE WHEN n % 10 IN (1, 2) AND old THEN 'HIGH' ELSE 'LOW' END)""",
    "scheduling_key": "'LOW/1000/1024/1x1'",
    "node_selector": "'{}'",
    "pending_dependencies": "0",
    "grace_s": "30",
    "max_retries": "0",
    "status": """CASE WHEN old AND n % 7 = 1 THEN 'FAILED' WHEN old AND n % 7 = 2 THEN 'STOPPED'
        ELSE 'COMPLETED' END""",
    "reason_code": "''",
    "reason_details": "'{}'",
    "placement": "'[]'",
    "attempt": "1",
    "next_status": "''",
    "yielded": "false",
    "retry_count": "0",
    "preemption_count": "0",
    "created_at": "date_trunc('milliseconds', at)",
    "queued_at": "at",
    "admitted_at": "at",
    "started_at": "at",
    "finished_at": "at + interval '10 minutes'",
    "idempotency_key": "CASE WHEN n % 10 = 0 THEN 'key-' || {offset} || '-' || n END",
    "idempotency_digest": "''",
}
_EVENTS = """
INSERT INTO deployments_deploymentevent (deployment_id, at, type, details)
SELECT d.id, d.created_at, (ARRAY['SUBMITTED', 'STARTED', 'RUNNING', 'COMPLETED'])[n], '{}'
  FROM deployments_deployment d CROSS JOIN generate_series(1, %s) n
 WHERE NOT EXISTS (SELECT FROM deployments_deploymentevent e WHERE e.deployment_id = d.id)
 ORDER BY d.id, n
"""
_CYCLES = """
INSERT INTO scheduler_schedulingcycle (id, cluster_id, trigger, started_at, load_ms, plan_ms,
       apply_ms, evaluated_count, started_count, evicted_count, waiting_count, engine_version,
       snapshot, plan)
SELECT overlay(d.id::text placing '9' from 20 for 1)::uuid, d.cluster_id, 'SUBMITTED', d.created_at,
       1, 1, 1, 10, 1, CASE WHEN d.status = 'FAILED' THEN 1 ELSE 0 END, 9, '0',
       decode(repeat(md5(d.id::text), 64), 'hex'), decode(repeat(md5(d.id::text), 8), 'hex')
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM deployments_deployment
         WHERE status IN ('COMPLETED', 'FAILED', 'STOPPED')) d
 WHERE n %% %s = 0
    ON CONFLICT DO NOTHING
"""


def _ended(count: int, *, offset: int, only: Any = None, owner: Any = None) -> None:
    from django.db import connection

    query = _ENDED.format(
        columns=", ".join(_VALUES),
        values=", ".join(_VALUES.values()).replace("{offset}", str(offset)),
        count=count,
        days=DAYS,
        old=OLD_SHARE,
        small=CLUSTERS - 2,
        offset=offset,
        cluster=CLUSTERS - 1 if only else "at_cluster",
        owner="n % 19",
    )
    if owner:
        query = query.replace("username NOT IN ('neighbour', 'operator')", "username = 'neighbour'")
        query = query.replace("u.number = n % 19", "u.number = 0")
    with connection.cursor() as cursor:
        cursor.execute(query)
        cursor.execute(_EVENTS, [EVENTS_OF_EACH])
        cursor.execute(_CYCLES, [DEPLOYMENTS_OF_A_CYCLE])


def _live(world: World, status: str, count: int) -> None:
    from benchmarks.in_process.tables import fill

    fill(world.busy, count, 10, status=status, gpu_of=lambda n: 1, owners=[world.member])
    if status == "RUNNING":
        world.busy.allocated_gpu = world.busy.total_gpu
        world.busy.allocated_cpu_milli, world.busy.allocated_ram_mib = 1000 * count, 1034 * count
        world.busy.save()


def tidy() -> None:
    """What autovacuum would have done by now."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
