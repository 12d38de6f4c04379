"""A recorded plan as readable tables."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deployments.models import Deployment
from deployments.names import all_references
from deployments.names import named as called
from deployments.reasons import codes
from mlops_platform.admin.markup import request, to_page
from scheduler.engine.plan import Plan

MOST_ROWS = 200  # of each table; the download has all

Named = dict[str, Deployment]


def readable(plan: Plan) -> dict[str, Any]:
    """Starts, evictions and waits, each with the deployments' names. One query."""
    starts, evictions = plan.starts[:MOST_ROWS], plan.evictions[:MOST_ROWS]
    waits = plan.waits[:MOST_ROWS]
    victims = {start.workload_id: start.victims[:MOST_ROWS] for start in starts}
    named = _named(
        [start.workload_id for start in starts]
        + [victim for each in victims.values() for victim in each]
        + [key for each in evictions for key in (each.workload_id, each.by) if key]
        + [wait.workload_id for wait in waits if wait.workload_id]
        + list(plan.reserved_for)
        + list(all_references(wait.reason.details for wait in waits))
    )
    names = {
        key: called(key, row.name, row.owner.username, row.image, row.kind)
        for key, row in named.items()
    }
    return {
        "starts": [
            {
                "deployment": _link(start.workload_id, named),
                "victims": format_html_join(
                    ", ", "{}", [(_link(key, named),) for key in victims[start.workload_id]]
                ),
            }
            for start in starts
        ],
        "evictions": [
            {
                "deployment": _link(each.workload_id, named),
                "by": _link(each.by, named) if each.by else "-",
                "lost": f"{each.lost_ms // 1000} s",
                "reason": codes.render(each.reason.code, each.reason.details, names),
            }
            for each in evictions
        ],
        "waits": [
            {
                "subject": _link(wait.workload_id, named)
                if wait.workload_id
                else _request_of(wait.scheduling_key),
                "key": wait.scheduling_key,
                "reason": codes.render(wait.reason.code, wait.reason.details, names),
            }
            for wait in waits
        ],
        "unfinished": plan.unfinished,
        "reserved_for": format_html_join(
            ", ", "{}", [(_link(key, named),) for key in plan.reserved_for]
        ),
        "hidden": {
            name: len(rows) - MOST_ROWS
            for name, rows in (
                ("starts", plan.starts),
                ("evictions", plan.evictions),
                ("waits", plan.waits),
            )
            if len(rows) > MOST_ROWS
        },
    }


def _named(keys: Iterable[str]) -> Named:
    found = Deployment.objects.select_related("owner")
    columns = ("pk", "name", "image", "kind", "owner__username")
    rows = found.only(*columns).in_bulk({UUID(key) for key in keys})
    return {str(key): row for key, row in rows.items()}


def _link(key: str, named: Named) -> SafeString:
    """The deployment's name as a link to its page, or the bare id if it was deleted."""
    if key in named:
        return format_html('<span title="{}">{}</span>', key, to_page(named[key]))
    return format_html('<span class="mono">{}</span>', key)


def _request_of(scheduling_key: str) -> str:
    """A key like `HIGH/4000/8192/1x2` in readable form, with the owner if the key has one. A key of
    another shape is returned unchanged."""
    key, _, owner = scheduling_key.partition("/u")
    try:
        name, cpu_milli, ram_mib, rest = key.split("/")
        gpu, replicas = rest.split("x")
        requested = request(int(cpu_milli), int(ram_mib), int(gpu), int(replicas))
        owned_by = f", of user {UUID(owner)}" if owner else ""
    except ValueError:
        return scheduling_key
    return f"{name}, {requested}{owned_by}"
