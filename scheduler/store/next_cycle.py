"""When a cycle of a cluster could decide differently, though nothing else happens until then.

That is when the exempt time of a running deployment ends which a more urgent one might evict, when
a waiting one has itself waited for as long, so that none is exempt from it, or when one no longer
waits for a time limit instead of preempting. What
else a plan depends on in time needs no cycle of its own: an end, a retry and a stop wake the
scheduler, and a reservation that begins or grows only keeps others back, at the next cycle that
would start one.
"""

from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from mlops_platform.api.ids import moment
from mlops_platform.coordination.redis import redis_client
from scheduler.engine import Plan, Snapshot
from scheduler.engine.snapshot import ACTIVE, LOWER_PRIORITY
from scheduler.models import NextCycle

# A moment whose cycle has been asked for is asked for again after so long, unless the cycle has
# found the next one meanwhile: Redis may be away.
AGAIN_S = 5
MOST_AT_ONCE = 1000
# Many exempt times that end in a row are looked at together: so late may a cycle be.
APART_MS = 250

# From the tables, since a snapshot leaves out what cannot be evicted now, and what cannot start:
# the preemptible deployments of a lower class than one that waits and may preempt. As in
# engine/preemption/exemption.py, one that is STARTING is exempt from its admission on, and none is
# exempt for longer from a preemptor that waited before it began.
_NOTE = """
INSERT INTO scheduler_nextcycle AS next (cluster_id, due_at)
SELECT %(cluster)s, greatest(min(moments.at), %(now)s + %(apart_ms)s * interval '1 millisecond')
  FROM (SELECT %(planned)s::timestamptz AS at
         UNION ALL
        {exempt}) moments
HAVING min(moments.at) IS NOT NULL
    ON CONFLICT (cluster_id) DO UPDATE SET due_at = excluded.due_at
 WHERE next.due_at <> excluded.due_at OR %(is_due)s
RETURNING cluster_id
"""
_EXEMPT = """
SELECT least(min(exempt.began), CASE WHEN waits.since < max(exempt.began) THEN waits.since END)
           + %(exempt_s)s * interval '1 second'
  FROM (SELECT coalesce(d.started_at, d.admitted_at) AS began
          FROM deployments_deployment d
          JOIN deployments_priorityclass p ON p.id = d.priority_class_id AND p.preemptible
         WHERE d.cluster_id = %(cluster)s AND d.status IN ('STARTING', 'RUNNING')
           AND d.preemption_count < %(max_preemptions)s
           AND coalesce(d.started_at, d.admitted_at)
               > %(now)s - %(exempt_s)s * interval '1 second'
           AND p.value < (
               SELECT max(waiting.value) FROM deployments_priorityclass waiting
                WHERE waiting.may_preempt
                  AND EXISTS (SELECT FROM deployments_deployment q
                               WHERE q.cluster_id = %(cluster)s AND q.priority_class_id = waiting.id
                                 AND q.status = 'QUEUED' AND q.pending_dependencies = 0
                                 AND q.retry_at IS NULL))) exempt,
       (SELECT min(longest.queued_at) AS since
          FROM deployments_priorityclass waiting
         CROSS JOIN LATERAL (
               SELECT q.queued_at FROM deployments_deployment q
                WHERE q.cluster_id = %(cluster)s AND q.priority_class_id = waiting.id
                  AND q.status = 'QUEUED' AND q.pending_dependencies = 0 AND q.retry_at IS NULL
                  AND q.queued_at > %(now)s - %(exempt_s)s * interval '1 second'
                ORDER BY q.queued_at LIMIT 1) longest
         WHERE waiting.may_preempt) waits
 GROUP BY waits.since
"""

_DUE = """
SELECT cluster_id, due_at FROM scheduler_nextcycle
 WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT %s
"""
_CLAIMED = "cluster:{}:moment:{}"  # with the moment, as a number


def note(snapshot: Snapshot, plan: Plan, *, is_due: bool) -> None:
    """Write the moment down, in the transaction that has applied the snapshot's plan.

    No query where the policy knows no exempt time and the plan no moment, else one. `is_due`: the
    cycle ran because such a moment had come. Then one query more where there is no other moment;
    before that, a moment that has become void costs one needless cycle at most.
    """
    policy = snapshot.policy
    has_exempt_time = policy.preempt_exempt_s > 0 and policy.preemption == LOWER_PRIORITY
    may_have_moment = has_exempt_time or plan.due_ms is not None
    has_moment = (
        may_have_moment
        and snapshot.state == ACTIVE
        and _note(snapshot, plan.due_ms, is_due, has_exempt_time=has_exempt_time)
    )
    if is_due and not has_moment:
        NextCycle.objects.filter(pk=UUID(snapshot.cluster_id)).delete()


def claim_due() -> list[UUID]:
    """The clusters whose moment has come, each for one caller. One query, and one round trip to
    Redis where there are some.

    The claim is a key in Redis: a claim in the row would refuse the plan of a cycle under way,
    which is to write the row. Raises RedisError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [MOST_AT_ONCE])
        due = cursor.fetchall()
    if not due:
        return []
    with redis_client().pipeline(transaction=False) as pipe:
        for cluster_id, at in due:
            pipe.set(_CLAIMED.format(cluster_id, at.timestamp()), "1", nx=True, ex=AGAIN_S)
        claimed = pipe.execute()
    return [cluster_id for (cluster_id, _), mine in zip(due, claimed, strict=True) if mine]


def make_all_due() -> None:
    """Have each of these clusters run a cycle now, which finds its next moment. One query."""
    NextCycle.objects.filter(due_at__gt=Now()).update(due_at=Now())


def _note(
    snapshot: Snapshot, planned_ms: int | None, is_due: bool, *, has_exempt_time: bool
) -> bool:
    """Write it; whether it is another than before."""
    exempt = _EXEMPT if has_exempt_time else "SELECT NULL"
    params: dict[str, Any] = {
        "cluster": snapshot.cluster_id,
        "now": moment(snapshot.now_ms),
        "exempt_s": snapshot.policy.preempt_exempt_s,
        "max_preemptions": snapshot.policy.max_preemptions,
        "apart_ms": APART_MS,
        "is_due": is_due,
        "planned": None if planned_ms is None else moment(planned_ms),
    }
    with connection.cursor() as cursor:
        cursor.execute(_NOTE.replace("{exempt}", exempt), params)
        return cursor.rowcount > 0
