"""Counts the line: how many deployments of each scheduling key wait for nothing but the scheduler,
and how many of them came before a given one. Through the index `deployment_ready` alone."""

from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from scheduler.engine.resources import Resources
from scheduler.store.queue.statements import GROUPS

MOST_COUNTED = 200_000  # deployments
MOST_GROUPS = 10_000


class Group(NamedTuple):
    """The waiting deployments of one scheduling key. `total` is what each asks for in all;
    `earlier` is how many of those `waiting` were submitted before the one that is asked about."""

    priority: str
    scheduling_key: str
    gang: bool
    total: Resources
    waiting: int
    earlier: int


def groups_in_line(cluster_id: UUID, own: UUID, *, is_new: bool) -> list[Group] | None:
    """All others that wait, beside the deployment `own`, before whose submit they came or not;
    before that of one that `is_new`, all. None where more wait than one answer counts. One
    query."""
    params: dict[str, Any] = {
        "cluster": cluster_id,
        "own": own,
        "before": UUID(int=2**128 - 1) if is_new else own,  # ids are in the order of submits
        "most_counted": MOST_COUNTED + 1,
        "most_groups": MOST_GROUPS + 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(GROUPS, params)
        rows = cursor.fetchall()
    groups = [
        Group(priority, key, gang, Resources(cpu, ram, gpu), count, earlier)
        for priority, key, gang, cpu, ram, gpu, count, earlier in rows
    ]
    if len(groups) > MOST_GROUPS or sum(each.waiting for each in groups) > MOST_COUNTED:
        return None
    return groups
