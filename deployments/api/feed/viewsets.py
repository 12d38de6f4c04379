"""The feed of an organization: parse, read, answer."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from accounts.api.requests import UserRequest, bearer_of
from deployments.api.feed import docs, following
from deployments.api.feed.parameters import wanted_events, wanted_stream
from deployments.api.feed.serializers import FeedEventSerializer
from deployments.api.feed.shown import shown_each
from deployments.api.feed.streams import EVENT_STREAM, EventStream
from deployments.feed import pages, window
from deployments.models import DeploymentEvent
from mlops_platform.api.answers.renderers import EventStreamRenderer
from mlops_platform.api.answers.streams import StreamResponse
from organizations.access import require
from organizations.api.permissions import NamedRoleViewSet
from organizations.events.models import FOR_ADMINS
from organizations.models import Role


class OrganizationEventViewSet(NamedRoleViewSet):
    roles = {"list": Role.VIEWER}
    docs = docs.FEED
    serializer_class = FeedEventSerializer
    queryset = DeploymentEvent.objects.none()
    renderer_classes = [JSONRenderer, EventStreamRenderer]

    def list(self, request: UserRequest, organization_id: UUID, **_: Any) -> HttpResponseBase:
        membership = require(request.user, organization_id, Role.VIEWER)
        hidden = () if membership.role == Role.ADMIN else FOR_ADMINS
        if request.accepted_renderer.media_type == EVENT_STREAM:
            return self._stream(request, organization_id, hidden)
        return self._page(request, organization_id, hidden)

    def _stream(
        self, request: UserRequest, organization_id: UUID, hidden: Collection[str]
    ) -> StreamResponse:
        """Three queries with the user's; one more without a cursor."""
        query = wanted_stream(request, organization_id, hidden)
        stream = EventStream(query, window.seen_now(), bearer_of(request))
        response = StreamResponse(request, stream, content_type=EVENT_STREAM)
        response["Cache-Control"] = "no-store"
        response["X-Accel-Buffering"] = "no"  # a proxy in front must not wait for the end
        return response

    def _page(
        self, request: UserRequest, organization_id: UUID, hidden: Collection[str]
    ) -> Response:
        """Five queries with the user's; four where nothing is new; one more without a cursor; two
        more where some are of no deployment."""
        query = wanted_events(request, organization_id, hidden)
        seen = window.seen_now()
        after, _ = query.start(seen)
        found = pages.events_after(
            organization_id,
            after,
            seen,
            limit=query.limit,
            wanted=query.filter,
            part=query.part,
            hidden=hidden,
        )
        shown = [each for each in shown_each(found.rows, seen) if each is not None]
        return following.answer(request, query.parameter, shown, found, seen)
