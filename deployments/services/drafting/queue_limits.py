"""How many deployments may be queued in a cluster, and of one user in it: operators set both.

Submits alone are refused. What comes back into the queue, after an eviction or for a retry, is let
in and counts.

The queue is counted once in COUNT_EVERY_S at most, or where the allowance that was left by then is
used up. In between a submit takes from the allowance, whatever the length of the queue.
"""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now

from clusters.models import Cluster, State
from clusters.services.clusters import refuse_closing
from deployments.models import Deployment, QueueAllowance
from mlops_platform.api.errors import Conflict, not_found
from mlops_platform.database import row_waits
from mlops_platform.database.row_waits import SHORT_S

COUNT_EVERY_S = 10

# The locks end with the transaction. The first keeps a deletion of the cluster away, as the foreign
# key does only at the end; with the second, no other submit to the cluster commits from here on.
#
# Submits wait for each other as long as lock_timeout allows, and only shortly for a session that
# has the cluster's row, or, at the commit, the owner's.
_LOCK_AND_TAKE = """
SELECT set_config('lock_timeout', %(shortly)s, true);
SELECT id FROM clusters_cluster WHERE id = %(cluster)s FOR KEY SHARE;
SET LOCAL lock_timeout TO DEFAULT;
SELECT pg_advisory_xact_lock(%(lock)s);
SELECT set_config('lock_timeout', %(shortly)s, true);
UPDATE deployments_queueallowance SET remaining = remaining - %(new)s
 WHERE cluster_id = %(cluster)s AND remaining >= %(new)s
   AND EXISTS (SELECT FROM clusters_cluster
                WHERE id = %(cluster)s AND deleted_at IS NULL AND state <> 'DELETING')
   AND (owner_id IS NULL AND most = %(most)s OR owner_id = %(owner)s AND most = %(most_of_owner)s)
   AND counted_at > clock_timestamp() - make_interval(secs => %(every_s)s)
RETURNING id
"""

# No further than one beyond the limit.
_COUNT = """
SELECT count(*), count(*) FILTER (WHERE queued.owner_id = %(owner)s),
       (SELECT CASE WHEN deleted_at IS NULL THEN state END
          FROM clusters_cluster WHERE id = %(cluster)s)
  FROM (SELECT owner_id FROM deployments_deployment
         WHERE cluster_id = %(cluster)s AND status = 'QUEUED' LIMIT %(most)s + 1) queued
"""


def refuse_too_many(rows: Sequence[Deployment]) -> None:
    """409 where more are queued than may be with these rows of one owner, which were just inserted.
    404 where the cluster was deleted meanwhile, 409 where its deletion began.

    Call it last in the transaction. One query for each cluster, and three more where it counts.
    """
    new = Counter(row.cluster_id for row in rows)
    clusters = {row.cluster_id: row.cluster for row in rows}
    for cluster_id in sorted(clusters):  # in one order, so that no deadlock arises
        params: dict[str, int | UUID | str] = {
            "lock": int.from_bytes(cluster_id.bytes[-8:], signed=True),
            "new": new[cluster_id],
            "cluster": cluster_id,
            "owner": rows[0].owner_id,
            "most": clusters[cluster_id].max_queued or settings.MAX_QUEUED_PER_CLUSTER,
            "most_of_owner": clusters[cluster_id].max_queued_per_user
            or settings.MAX_QUEUED_PER_USER,
            "every_s": COUNT_EVERY_S,
            "shortly": f"{SHORT_S}s",
        }
        if cluster_id in row_waits.referred_in_vain:
            row_waits.try_reference(Cluster.objects.all(), cluster_id)
        try:
            with connection.cursor() as cursor:
                cursor.execute(_LOCK_AND_TAKE, params)
                taken = len(cursor.fetchall())
        except OperationalError as error:
            row_waits.note_reference(cluster_id, error)
            raise
        if taken < 2:  # of the cluster's allowance and the owner's in it
            _count(clusters[cluster_id], rows[0].owner_id, new[cluster_id])


def _count(cluster: Cluster, owner_id: UUID, new: int) -> None:
    """Count what is queued, and write down what the limits leave."""
    most = cluster.max_queued or settings.MAX_QUEUED_PER_CLUSTER
    most_of_owner = cluster.max_queued_per_user or settings.MAX_QUEUED_PER_USER
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"cluster": cluster.pk, "owner": owner_id, "most": most})
        queued, of_owner, state = cursor.fetchone()
    if state is None:
        raise not_found()
    if state == State.DELETING:
        refuse_closing(Cluster(state=state))
    if queued > most:
        raise _full(f"in the cluster {cluster.name!r}", most, queued - new)
    if of_owner > most_of_owner:
        raise _full(f"of yours in the cluster {cluster.name!r}", most_of_owner, of_owner - new)
    QueueAllowance.objects.bulk_create(
        [
            QueueAllowance(
                cluster=cluster,
                owner_id=owner,
                most=limit,
                remaining=limit - counted,
                counted_at=Now(),
            )
            for owner, limit, counted in (
                (None, most, queued),
                (owner_id, most_of_owner, of_owner),
            )
        ],
        update_conflicts=True,
        unique_fields=["cluster", "owner"],
        update_fields=["most", "remaining", "counted_at"],
    )


def _full(where: str, most: int, others: int) -> Conflict:
    return Conflict(
        f"At most {most} deployments may be queued {where}; {max(others, 0)} are, and nothing was "
        "added.",
        code="queue_full",
    )
