"""The feed of an organization: parse, read, answer."""

from typing import Any
from uuid import UUID

from rest_framework.response import Response

from accounts.api.requests import UserRequest
from deployments.api.feed import docs, following
from deployments.api.feed.parameters import wanted_events
from deployments.api.representation import FeedEventSerializer
from deployments.feed import pages, window
from deployments.models import DeploymentEvent
from organizations.api.permissions import RoleViewSet
from organizations.models import Role


class OrganizationEventViewSet(RoleViewSet):
    roles = {"list": Role.VIEWER}
    docs = docs.FEED
    serializer_class = FeedEventSerializer
    queryset = DeploymentEvent.objects.none()

    def list(self, request: UserRequest, organization_id: UUID, **_: Any) -> Response:
        """Four queries with the user's; three where nothing is new."""
        self.check_role(organization_id)
        query = wanted_events(request)
        seen = window.seen_now()
        found = pages.events_after(
            organization_id,
            query.start(seen),
            seen,
            limit=query.limit,
            wanted=query.filter,
        )
        shown = FeedEventSerializer(found.rows, many=True, context={"seen": seen})
        return following.answer(request, query.parameter, list(shown.data), found, seen)
