"""Writes events, in the transaction of the change that causes them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.apps.registry import Apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, connections
from psycopg2.extras import Json, execute_values

from accounts.hooks import REPLACED as REPLACED
from accounts.models import User
from mlops_platform import logs
from mlops_platform.api.resources import PUBLIC_NAMES, public_amount
from organizations.events.actors import acting
from organizations.events.models import OrganizationEventType, TargetType

Columns = Mapping[str, Any]
_INSERT = """
INSERT INTO organizations_organizationevent
       (organization_id, cluster_id, type, target_type, target_id, target_name, before, after,
        actor_kind, actor_id, actor_name, api_key, request_id, cycle_id, transaction_id, at)
VALUES %s
"""
_ROW = f"({', '.join(['%s'] * 14)}, pg_current_xact_id()::text::bigint, clock_timestamp())"

# As of deployments' events (deployments/lifecycle/timeline.py).
_RESTORED = """
SELECT EXISTS (
       SELECT FROM organizations_organizationevent
        WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
"""
_ADOPT = "UPDATE organizations_organizationevent SET transaction_id = 0 WHERE transaction_id > 0"


class Target(NamedTuple):
    """What an event has happened to, and in which cluster, if in one."""

    type: TargetType
    id: UUID | str | None
    name: str
    cluster_id: UUID | None = None


class Event(NamedTuple):
    """`before` and `after`: columns that have changed, by what the API calls them. Never a secret,
    an environment or credentials: only that they were replaced."""

    organization_id: UUID | None
    type: OrganizationEventType
    target: Target
    before: Columns | None = None
    after: Columns | None = None


def record(
    organization_id: UUID | None,
    type_: OrganizationEventType,
    target: Target,
    *,
    before: Columns | None = None,
    after: Columns | None = None,
    actor: User | None = None,
) -> None:
    """Add one event. `actor`: where it is not the user of the request. One query."""
    record_all([Event(organization_id, type_, target, before, after)], actor=actor)


def record_all(events: Iterable[Event], *, actor: User | None = None) -> None:
    """Add events, in their order. One query, none for none."""
    by = acting(actor)
    common = (by.kind, by.id, by.name, by.api_key, logs.request_id.get(), logs.cycle_id.get())
    rows = [
        (
            each.organization_id,
            each.target.cluster_id,
            each.type,
            each.target.type,
            None if each.target.id is None else str(each.target.id),
            each.target.name[:512],
            _json(each.before),
            _json(each.after),
            *common,
        )
        for each in events
    ]
    if rows:
        with connection.cursor() as cursor:
            execute_values(cursor, _INSERT, rows, _ROW, page_size=len(rows))


def differing(before: Columns, after: Columns) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of both only what differs, as `shown`."""
    names = [name for name in after if before.get(name) != after[name]]
    return shown({name: before.get(name) for name in names}), shown({n: after[n] for n in names})


def shown(columns: Columns) -> dict[str, Any]:
    """The columns by what the API calls them: amounts of CPU in cores."""
    return dict(_public(name, value) for name, value in columns.items())


def columns_of(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """The row's values of these columns."""
    return {name: getattr(row, name) for name in names}


def adopt_restored(using: str, apps: Apps) -> None:
    """Put the events of a restored dump before all that are written from now on, where their
    transactions' ids are ahead of this server's. One query, and one more to do so. Does nothing
    where `apps` are those of a migration from before these events."""
    try:
        apps.get_model("organizations", "OrganizationEvent")
    except LookupError:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(_RESTORED)
        [(restored,)] = cursor.fetchall()
        if restored:
            cursor.execute(_ADOPT)


def _public(name: str, value: Any) -> tuple[str, Any]:
    for column, public in PUBLIC_NAMES.items():
        if name.endswith(column):
            amount = public_amount(column, value) if isinstance(value, int) else value
            return name.removesuffix(column) + public, amount
    return name, value


_dumps = partial(DjangoJSONEncoder.encode, DjangoJSONEncoder())


def _json(columns: Columns | None) -> Json | None:
    return None if columns is None else Json(columns, _dumps)
