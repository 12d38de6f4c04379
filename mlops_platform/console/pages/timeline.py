"""The timeline of a deployment in sentences, which name deployments and have no ids."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.models import Deployment, DeploymentEvent, EventType
from deployments.names import Names, with_names
from deployments.queries.deployments import events_of
from deployments.queries.names import named_in
from deployments.reasons import codes
from mlops_platform.database.unreadable_json import UNREADABLE

logger = logging.getLogger(__name__)

MOST_EVENTS = 200
CODE_OF = {EventType.PREEMPTED: "PREEMPTED", EventType.DRAINED: "NODE_DRAINED"}
"""The reason of events that have no code of their own."""


@dataclass(frozen=True)
class Event:
    at: datetime
    type: str
    actor: str | None
    text: str


def timeline_of(row: Deployment) -> list[Event]:
    """The newest MOST_EVENTS, the last first. Two queries at most."""
    newest = list(events_of(row).order_by("-id")[:MOST_EVENTS])
    names = named_in(newest).names
    return [
        Event(
            at=each.at,
            type=each.type,
            actor=each.actor.username if each.actor else each.actor_name,
            text=_text(each, names),
        )
        for each in newest
    ]


def _text(event: DeploymentEvent, names: Names) -> str:
    try:
        return "" if event.details == UNREADABLE else in_words(event.type, event.details, names)
    except Exception:  # whatever a row has: the others have to be shown
        logger.exception("an event has no words", extra={"event": event.pk})
        return ""


def in_words(kind: str, details: Mapping[str, Any], names: Names) -> str:
    """`Made room for finetune of grace (HIGH), losing 12 s of work.`, `priority: LOW → HIGH`."""
    code = str(details.get("code") or CODE_OF.get(EventType(kind), ""))
    parts = []
    if code in codes.SENTENCES:
        parts.append(codes.render(code, details, names)["message"])
    if victims := with_names(details, names).get("victim_names"):
        parts.append(f"Evicts {', '.join(victims)}.")
    for field, change in codes.shown(details).items():
        if isinstance(change, Mapping) and change.keys() == {"from", "to"}:
            before, after = _value(change["from"]), _value(change["to"])
            parts.append(f"{field.replace('_', ' ')}: {before} → {after}")
    if details.get("attempt", 0) > 1:
        parts.append(f"Attempt {details['attempt']}.")
    if "exit_code" in details and not code:
        parts.append(f"Exit code {details['exit_code']}.")
    return " ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
