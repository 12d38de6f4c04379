"""What Swagger says of the feed of an organization's events."""

from drf_yasg import openapi

from deployments.api.feed import following
from deployments.api.feed.parameters import PARAMETERS
from deployments.api.representation import FeedEventSerializer
from mlops_platform.api.schema import Doc

FEED = {
    "list": Doc(
        "organizations",
        "What happens in the organization, in the order of commits",
        "Go on with the `Next-Cursor` of each answer: no event is missed, and none comes twice. A "
        "page may be empty while a `Link` says that there is more.",
        parameters=PARAMETERS,
        answers={
            200: openapi.Response(
                "A page", FeedEventSerializer(many=True), headers=dict(following.NEXT)
            ),
            410: following.EXPIRED,
        },
    )
}
