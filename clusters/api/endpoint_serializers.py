"""Endpoints in bodies, where secrets go in, and in answers, where none comes out."""

from typing import Any

from rest_framework import serializers

from clusters.endpoints.attachment import LONGEST_URL
from clusters.endpoints.error_texts import shown_error
from clusters.endpoints.tls import LONGEST_PEM
from clusters.models import Endpoint
from mlops_platform.api.fields import Text
from mlops_platform.api.serializers import StrictSerializer

_PEM = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"
EXAMPLE_GIVEN = {
    "url": "tcp://gpu-1.example.org:2376",
    "ca": _PEM,
    "cert": _PEM,
    "key": "-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n",
}


def _pem(help_text: str) -> Text:
    return Text(max_length=LONGEST_PEM, required=False, write_only=True, help_text=help_text)


class GivenEndpointSerializer(StrictSerializer):
    """A Docker engine. All four are needed; what is below `url` is never shown again."""

    url = Text(
        max_length=LONGEST_URL,
        help_text="tcp://host:port, by TLS; other ways are for operators to attach.",
    )
    ca = _pem("PEM: the CA that signed the engine's certificate.")
    cert = _pem("PEM: whom the engine lets in.")
    key = _pem("PEM: the certificate's private key, without a passphrase.")

    class Meta:
        ref_name = "GivenEndpoint"
        swagger_schema_fields = {"example": EXAMPLE_GIVEN}


class ShownError(serializers.CharField):
    """Why an endpoint does not answer, as members may read it; null where it does."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, source="*", **kwargs)

    def to_representation(self, endpoint: Endpoint) -> str | None:  # type: ignore[override]  # null
        seen = endpoint.seen_at is not None
        return shown_error(endpoint.error, trusted=endpoint.trusted, seen=seen) or None


class ShownSince(serializers.DateTimeField):
    """Null also of a tenant's endpoint that has never answered: how soon that was known tells of
    machines that only the platform reaches."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, source="*", **kwargs)

    def to_representation(self, endpoint: Endpoint) -> Any:  # type: ignore[override]  # the row
        since = endpoint.away_since
        if since is None or not (endpoint.trusted or endpoint.seen_at):
            return None
        return super().to_representation(since)


class EndpointSerializer(serializers.Serializer):
    """Where a runtime is reached, as every member sees it."""

    url = serializers.CharField()
    seen_at = serializers.DateTimeField(allow_null=True, help_text="When it last answered.")
    error = ShownError(help_text="Why it does not answer now.")
    away_since = ShownSince(help_text="Since when it does not answer; null where it does.")

    class Meta:
        ref_name = "Endpoint"


class ApiServerSerializer(EndpointSerializer):
    namespace = serializers.CharField()

    class Meta:
        ref_name = "ApiServer"
