"""What Swagger says of the calls for secrets."""

from drf_yasg import openapi

from mlops_platform.api.schema import Doc, error, parameter
from organizations.api.secret_serializers import SecretSerializer, SecretUseSerializer

FORCE = parameter("force", openapi.TYPE_BOOLEAN, "Also while deployments use it.")
IN_USE = error(
    "Deployments use it that have not ended",
    "secret_in_use",
    "Deployments use it: 0199d1c5-3f10-7e42-8a6b-9c0d51e27f34. Stop them first, or delete with "
    "?force=true.",
)
FULL = error("As many as allowed", "too_many_secrets", "An organization may have 100 secrets.")
WRITTEN = {200: SecretSerializer, 201: SecretSerializer, 409: FULL}
USES = {200: SecretUseSerializer(many=True)}
WRITE = (
    "The value is never shown again. Another one makes the next version: what runs keeps its own, "
    "and whatever starts from then on, be it again, takes the newest."
)
DELETE = (
    "Refused while deployments use it that have not ended, unless forced: what runs goes on with "
    "it, and what starts later fails for want of it."
)
LAST = "The newest first, of which 1,000 are kept."

OF_ORGANIZATIONS = {
    "list": Doc("secrets", "The secrets of an organization, without their values"),
    "retrieve": Doc("secrets", "One secret of an organization, without its value"),
    "update": Doc("secrets", "Write a secret of an organization", WRITE, answers=WRITTEN),
    "destroy": Doc(
        "secrets",
        "Delete a secret of an organization",
        DELETE,
        parameters=[FORCE],
        answers={409: IN_USE},
    ),
    "uses": Doc("secrets", "Which deployments were started with a secret", LAST, answers=USES),
}
OF_PERSONS = {
    "list": Doc("secrets", "Your own secrets, without their values", "Only you see them."),
    "retrieve": Doc("secrets", "One of your own secrets, without its value"),
    "update": Doc(
        "secrets",
        "Write a secret of your own",
        f"Only your own deployments may use it. {WRITE}",
        answers=WRITTEN,
    ),
    "destroy": Doc(
        "secrets",
        "Delete a secret of your own",
        DELETE,
        parameters=[FORCE],
        answers={409: IN_USE},
    ),
    "uses": Doc("secrets", "Which of your deployments were started with it", LAST, answers=USES),
}
