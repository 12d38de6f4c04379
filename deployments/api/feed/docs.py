"""What Swagger says of the feed of an organization's events."""

from drf_yasg import openapi

from deployments.api.feed import following
from deployments.api.feed.parameters import OF_STREAMS, PARAMETERS
from deployments.api.feed.serializers import FeedEventSerializer
from deployments.api.feed.streams import EVENT_STREAM
from mlops_platform.api.errors import JSON
from mlops_platform.api.schema import Doc, error

TOO_MANY_STREAMS = error(
    "Too often, or too many streams just now",
    "throttled",
    "You, or others, follow too many events just now. Expected available in 11 seconds.",
)
STREAMED = (
    "retry: 1000\nid: WyI2YjFkM2M5ZTJmMDQiLDkwNDIsNTAsMTc3MjM1NTYwMDAwMF0\n\n"
    "id: WyI2YjFkM2M5ZTJmMDQiLDkwNDIsNTEsMTc3MjM1NTYwMDAwMF0\n"
    'data: {"type": "SUBMITTED", "actor": "ada"}\n\n'
)

FEED = {
    "list": Doc(
        "organizations",
        "What happens in the organization, in the order of commits",
        "Go on with the `Next-Cursor` of each answer: no event is missed, and none comes twice. A "
        "page may be empty while a `Link` says that there is more.\n\n"
        "With `Accept: text/event-stream` the same events come as they happen, as Server-Sent "
        "Events: `data` is the event, `id` its cursor. An event named `end` says why the platform "
        "ends the stream: `token_expired`, `time_is_up`, `not_allowed` or `cursor_expired`.",
        parameters=[*PARAMETERS, OF_STREAMS],
        answers={
            200: openapi.Response(
                "A page, or a stream",
                FeedEventSerializer(many=True),
                headers=dict(following.NEXT),
                examples={
                    JSON: [FeedEventSerializer.Meta.swagger_schema_fields["example"]],
                    EVENT_STREAM: STREAMED,
                },
            ),
            410: following.EXPIRED,
            429: TOO_MANY_STREAMS,
        },
    )
}
