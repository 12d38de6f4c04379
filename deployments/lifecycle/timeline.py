"""Writes timelines and the feeds made of them: only adds entries, in the transaction of the change.

Every change of what a deployment's answer shows has an entry: clients that follow learn of it by
that (feed/).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps.registry import Apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, connections
from psycopg2.extras import Json

from accounts.models import User
from clusters.models import Cluster
from deployments.models import DeploymentEvent, EventType
from mlops_platform import logs
from organizations.events.actors import OPERATORS_PAGES
from organizations.events.models import ActorKind

# In the order given. The feed is ordered by the transaction's id (api/answers/commit_order.py).
_INSERT = """
INSERT INTO deployments_deploymentevent
       (deployment_id, cluster_id, organization_id, transaction_id, type, at, actor_id, cycle_id,
        details, actor_kind, request_id)
SELECT d.id, d.cluster_id, c.organization_id, pg_current_xact_id()::text::bigint, %(type)s,
       coalesce(line.at, statement_timestamp()), %(actor)s, %(cycle)s, line.details,
       %(kind)s, %(request)s
  FROM unnest(%(ids)s::uuid[], %(details)s::jsonb[], %(times)s::timestamptz[])
       WITH ORDINALITY AS line(id, details, at, number)
  JOIN deployments_deployment d ON d.id = line.id
  JOIN clusters_cluster c ON c.id = d.cluster_id
 ORDER BY line.number
"""

# The same where the cluster is at hand. Planning the two lookups of the statement above takes
# longer than all the rest of it.
_INSERT_IN = """
INSERT INTO deployments_deploymentevent
       (deployment_id, cluster_id, organization_id, transaction_id, type, at, actor_id, cycle_id,
        details, actor_kind, request_id)
SELECT line.id, %(cluster)s, %(organization)s, pg_current_xact_id()::text::bigint, %(type)s,
       coalesce(line.at, statement_timestamp()), %(actor)s, %(cycle)s, line.details,
       %(kind)s, %(request)s
  FROM unnest(%(ids)s::uuid[], %(details)s::jsonb[], %(times)s::timestamptz[])
       WITH ORDINALITY AS line(id, details, at, number)
 ORDER BY line.number
"""
_INSERT_ONE_IN = """
INSERT INTO deployments_deploymentevent
       (deployment_id, cluster_id, organization_id, transaction_id, type, at, actor_id, cycle_id,
        details, actor_kind, request_id)
VALUES ((%(ids)s::uuid[])[1], %(cluster)s, %(organization)s, pg_current_xact_id()::text::bigint,
        %(type)s, coalesce((%(times)s::timestamptz[])[1], statement_timestamp()), %(actor)s,
        %(cycle)s, (%(details)s::jsonb[])[1], %(kind)s, %(request)s)
"""

# In a restored database ids begin anew: what came with it is before all that will be written.
_RESTORED = """
SELECT EXISTS (
       SELECT FROM organizations_organization o
        CROSS JOIN LATERAL (
              SELECT transaction_id FROM deployments_deploymentevent
               WHERE organization_id = o.id ORDER BY transaction_id DESC, id DESC LIMIT 1) e
        WHERE e.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
"""
_ADOPT = "UPDATE deployments_deploymentevent SET transaction_id = 0 WHERE transaction_id > 0"


def keep_name(actor: User) -> None:
    """For a user that is about to be deleted: entries go on saying what the user was called. One
    query, of as many rows as the deletion would change by itself."""
    DeploymentEvent.objects.filter(actor=actor).update(actor=None, actor_name=actor.username)


NO_DETAILS: Mapping[str, Any] = {}


def record(
    deployment_id: UUID,
    event_type: EventType,
    *,
    at: datetime | None,
    actor: User | None = None,
    cycle_id: UUID | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add one entry. One query."""
    record_all(
        [(deployment_id, details or NO_DETAILS)], event_type, at=at, actor=actor, cycle_id=cycle_id
    )


def record_all(
    lines: Iterable[tuple[UUID, Mapping[str, Any]]],
    event_type: EventType,
    *,
    at: datetime | Mapping[UUID, datetime] | None,
    actor: User | None = None,
    cycle_id: UUID | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Add an entry of the same type to many deployments: at one time, each at its own, or now, by
    the database's clock; with the name of the API key by which the actor asked for it. One query.

    `cluster`: that of all of them, where it is at hand, and none of them can be deleted meanwhile.
    """
    request = logs.http_request.get()
    is_operators = request is not None and request.path.startswith(OPERATORS_PAGES)
    ids, details, times = [], [], []
    by_key = {"api_key": actor.api_key} if actor is not None and actor.api_key else NO_DETAILS
    for deployment_id, of_deployment in lines:
        ids.append(deployment_id)
        details.append(Json({**of_deployment, **by_key}))
        times.append(at[deployment_id] if isinstance(at, Mapping) else at)
    if not ids:
        return
    params: dict[str, Any] = {
        "ids": ids,
        "details": details,
        "type": event_type,
        "times": times,
        "actor": actor.pk if actor else None,
        "cycle": cycle_id,
        "kind": ActorKind.OPERATOR if is_operators and actor else None,
        "request": logs.request_id.get(),
    }
    statement = _INSERT
    if cluster is not None:
        params |= {"cluster": cluster.pk, "organization": cluster.organization_id}
        statement = _INSERT_ONE_IN if len(ids) == 1 else _INSERT_IN
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def adopt_restored(using: str, apps: Apps) -> None:
    """Put the events of a restored dump before all that are written from now on, where their
    transactions' ids are ahead of this server's. One query, and one more to do so. Does nothing
    where `apps` are those of a migration from before the feed."""
    try:
        apps.get_model("deployments", "DeploymentEvent")._meta.get_field("transaction_id")
    except (LookupError, FieldDoesNotExist):
        return
    with connections[using].cursor() as cursor:
        cursor.execute(_RESTORED)
        [(restored,)] = cursor.fetchall()
        if restored:
            cursor.execute(_ADOPT)
