"""Events as they are shown, each by itself where one of them cannot be."""

import logging
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from clusters.models import Cluster
from deployments.api.feed.serializers import FeedEventSerializer
from deployments.feed.pages import FeedEvent
from deployments.models import DeploymentEvent
from deployments.queries.names import named_in
from mlops_platform.api.answers.commit_order import Horizon

logger = logging.getLogger(__name__)
Shown = dict[str, Any]


def shown_each(rows: Sequence[FeedEvent], seen: Horizon) -> list[Shown | None]:
    """None for an event of which nothing can be shown, which is logged. Two queries at most."""
    of_deployments = [row for row in rows if isinstance(row, DeploymentEvent)]
    of_else = [row for row in rows if not isinstance(row, DeploymentEvent)]
    context = {
        "seen": seen,
        "named": named_in(of_deployments),
        "clusters": _names({row.cluster_id for row in of_else if row.cluster_id}),
    }
    try:
        return list(FeedEventSerializer(rows, many=True, context=context).data)
    except Exception:  # whatever a row has: the others have to be shown
        return [_shown(row, context) for row in rows]


def _shown(row: FeedEvent, context: dict[str, Any]) -> Shown | None:
    try:
        return dict(FeedEventSerializer(row, context=context).data)
    except Exception:
        logger.exception("an event cannot be shown", extra={"event": row.pk})
        return None


def _names(cluster_ids: Collection[UUID]) -> dict[UUID, str]:
    """One query, none for none."""
    if not cluster_ids:
        return {}
    return dict(Cluster.with_deleted.filter(pk__in=cluster_ids).values_list("pk", "name"))
