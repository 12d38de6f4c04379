"""Events as they are shown, each by itself where one of them cannot be."""

import logging
from collections.abc import Sequence
from typing import Any

from deployments.api.event_serializers import FeedEventSerializer
from deployments.models import DeploymentEvent
from deployments.queries.names import named_in
from mlops_platform.api.answers.commit_order import Horizon

logger = logging.getLogger(__name__)
Shown = dict[str, Any]


def shown_each(rows: Sequence[DeploymentEvent], seen: Horizon) -> list[Shown | None]:
    """None for an event of which nothing can be shown, which is logged. One query at most."""
    context = {"seen": seen, "named": named_in(rows)}
    try:
        return list(FeedEventSerializer(rows, many=True, context=context).data)
    except Exception:  # whatever a row has: the others have to be shown
        return [_shown(row, context) for row in rows]


def _shown(row: DeploymentEvent, context: dict[str, Any]) -> Shown | None:
    try:
        return dict(FeedEventSerializer(row, context=context).data)
    except Exception:
        logger.exception("an event cannot be shown", extra={"event": row.pk})
        return None
