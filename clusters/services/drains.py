"""Drains of nodes as users ask for them: by when, why, and what they would do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from clusters import hooks
from clusters.models import DrainMode, Node
from clusters.services import nodes
from mlops_platform.api.errors import Invalid
from mlops_platform.database.clock import database_now


def drain(
    node: Node,
    *,
    by: str,
    mode: str = DrainMode.NOW,
    deadline: datetime | timedelta | None = None,
    reason: str = "",
    dry_run: bool = False,
) -> tuple[Node, Mapping[str, Any] | None]:
    """The node, and in a dry run, which changes nothing, what the drain would do. 400 for a
    deadline that has passed."""
    at = _moment(deadline)
    if dry_run:
        return node, hooks.preview_drain(node, mode, at)
    return nodes.drain(node, mode=mode, deadline=at, reason=reason, by=by), None


def _moment(deadline: datetime | timedelta | None) -> datetime | None:
    if deadline is None:
        return None
    now = database_now()
    at = now + deadline if isinstance(deadline, timedelta) else deadline
    if at <= now:
        raise Invalid({"deadline": "Must be in the future."})
    return at
