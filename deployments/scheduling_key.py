"""The scheduling key of a deployment: what the scheduler sees of it, as one text."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from clusters.models import Cluster
from deployments.models import ENDED, Deployment
from deployments.whole_nodes import ALL_GPUS, EXCLUSIVE
from mlops_platform.api.ids import first_uuid_at

# A submit that has read the cluster before its policy changed may commit so much later.
LATE = timedelta(seconds=60)
FOR_GOOD = "/p"
AVOIDED = "/a"  # scheduler/store/sql.py removes it
OWNER = "/u"
EVER = UUID(int=0)

# Where the key does not end as the cluster's policy needs.
_FOLLOW_POLICY = """
UPDATE deployments_deployment d SET scheduling_key = now.key
  FROM (SELECT id, regexp_replace(scheduling_key, '(/p)?(/u[0-9a-f]{32})?$', '')
            || CASE WHEN preemption_count >= greatest(%(max_preemptions)s, 1) THEN '/p' ELSE '' END
            || CASE WHEN %(by_owner)s THEN '/u' || replace(owner_id::text, '-', '') ELSE '' END
            AS key
          FROM deployments_deployment
         WHERE cluster_id = %(cluster)s AND status <> ALL(%(ended)s) AND id >= %(since)s
           AND (preemption_count > 0
                OR (right(scheduling_key, 32) = replace(owner_id::text, '-', ''))
                   <> %(by_owner)s)) now
 WHERE d.id = now.id AND d.scheduling_key <> now.key
"""


def key_of(deployment: Deployment, cluster: Cluster | None = None) -> str:
    """`HIGH/4000/8192/1x2`: workloads of one key ask for the same with the same urgency.

    The scheduler sees no difference between them but their age, so it plans for, and explains,
    thousands of them as one. Whether it takes whole nodes (`/wn`), all of their GPUs (`/wg`) or
    both (`/wng`), a time limit (`/t3600`), and a digest of the node selector, of the names of its
    volumes and of its sweep (`/n`) follow; the node that it avoids (`/a` and the id); `/p` after
    `max_preemptions`, from when on it runs for good: no head of the queue can count on its
    eviction; and, in clusters whose policy needs it, the owner (`/u` and the id). `cluster`: the
    deployment's cluster, where the caller has read it already.
    """
    row, cluster = deployment, cluster or deployment.cluster
    cpu_milli, ram_mib, gpu = row.asked if row.whole else (row.cpu_milli, row.ram_mib, row.gpu)
    key = f"{row.priority_class.name}/{cpu_milli}/{ram_mib}/{gpu}x{row.replicas}"
    if row.whole:
        key += f"/w{'n' * (EXCLUSIVE in row.whole)}{'g' * (ALL_GPUS in row.whole)}"
    if row.max_runtime_s is not None:
        key += f"/t{row.max_runtime_s}"
    if row.node_selector or row.volumes or row.sweep_id:
        labels = json.dumps(_nodes_and_sweep(row), sort_keys=True)
        key += f"/n{hashlib.sha256(labels.encode()).hexdigest()[:16]}"
    if row.avoided_node_id:
        key += f"{AVOIDED}{row.avoided_node_id.hex}"
    if row.preemption_count >= max(cluster.max_preemptions, 1):
        key += FOR_GOOD
    if cluster.by_owner:
        key += _owner(row)
    return key


def _nodes_and_sweep(row: Deployment) -> Any:
    """What decides which nodes may run it, and the sweep that limits how many run at once."""
    names = sorted({mount["name"] for mount in row.volumes})
    if row.sweep_id:
        return [row.node_selector, names, str(row.sweep_id)]
    return [row.node_selector, names] if names else row.node_selector


def request_in(scheduling_key: str) -> str:
    """The key without its owner, and whether it runs for good."""
    return scheduling_key.partition(OWNER)[0].removesuffix(FOR_GOOD)


def owner_in_key(deployment: Deployment) -> str:
    """The owner's id where the deployment's key has it; else the empty text."""
    named = deployment.scheduling_key.endswith(_owner(deployment))
    return str(deployment.owner_id) if named else ""


def follow_policy(cluster: Cluster, *, since: UUID = EVER) -> None:
    """Add owners, and who runs for good, to the keys of all deployments that have not ended, or
    remove them, as the cluster's policy needs. The caller has locked the cluster's row.

    Covers running deployments, since they may come back to the queue. One statement.
    """
    params: dict[str, Any] = {
        "cluster": cluster.pk,
        "by_owner": cluster.by_owner,
        "max_preemptions": cluster.max_preemptions,
        "ended": [str(status) for status in ENDED],
        "since": since,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FOLLOW_POLICY, params)


def name_owners_of_late(cluster: Cluster) -> None:
    """The same for deployments since the last cycle, submitted perhaps under the earlier policy."""
    if cluster.evaluated_at is None:
        follow_policy(cluster)
    else:
        since = min(cluster.evaluated_at, timezone.now()) - LATE
        follow_policy(cluster, since=first_uuid_at(since))


def _owner(deployment: Deployment) -> str:
    return f"{OWNER}{deployment.owner_id.hex}"
