"""The answers of the calls for events: timelines of deployments, and feeds of organizations."""

import logging
from collections.abc import Mapping
from typing import Any

from drf_yasg.utils import swagger_serializer_method
from rest_framework import serializers

from deployments.models import DeploymentEvent, EventType
from deployments.names import with_names
from deployments.reasons import codes
from mlops_platform.database.unreadable_json import UNREADABLE

logger = logging.getLogger(__name__)


class EventSerializer(serializers.Serializer):
    """Needs `named`, what its events name, in its context (queries/names.py)."""

    at = serializers.DateTimeField()
    type = serializers.ChoiceField(EventType.values)
    actor_id = serializers.UUIDField(
        allow_null=True, help_text="Null where no user asked for it, and of one that is gone."
    )
    actor = serializers.SerializerMethodField(
        help_text="The user's name, also of one that is gone."
    )
    cycle_id = serializers.UUIDField(allow_null=True)
    details = serializers.SerializerMethodField(
        help_text='`{"unreadable": true}` where the platform cannot read what it has stored.'
    )

    class Meta:
        swagger_schema_fields: Mapping[str, Any] = {
            "example": {
                "at": "2026-03-01T09:00:00Z",
                "type": "SUBMITTED",
                "actor_id": "0199d1c2-7a3e-7c51-9f0a-3b1f6f2d8e11",
                "actor": "ada",
                "cycle_id": None,
                "details": {},
            }
        }

    @swagger_serializer_method(serializers.CharField(allow_null=True))
    def get_actor(self, event: DeploymentEvent) -> str | None:
        return event.actor.username if event.actor else event.actor_name

    @swagger_serializer_method(serializers.DictField())
    def get_details(self, event: DeploymentEvent) -> dict[str, Any]:
        try:
            if event.details != UNREADABLE:
                return codes.shown(with_names(event.details, self.context["named"].names))
            error = ""
        except Exception as raised:  # whatever a row has: the others have to be shown
            error = str(raised)
        logger.error("an event's details are unreadable", extra={"event": event.pk, "error": error})
        return dict(UNREADABLE)
