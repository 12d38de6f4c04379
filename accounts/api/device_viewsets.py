"""The calls of programs without a browser (RFC 8628): parse, call one service, answer."""

from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import devices
from accounts.api.serializers import TokenPairSerializer
from accounts.api.viewsets import OPEN
from mlops_platform.api.fields import Text
from mlops_platform.api.names import check_name
from mlops_platform.api.schema import Doc, error
from mlops_platform.api.serializers import StrictSerializer
from mlops_platform.api.throttling.throttles import DeviceThrottle
from mlops_platform.api.viewsets import ApiViewSet

PAGE = "/sign-on/device"


class NewDeviceSerializer(StrictSerializer):
    client = Text(
        max_length=100,
        required=False,
        allow_blank=True,
        validators=[check_name],
        help_text="How the program calls itself, for the person who lets it in.",
    )

    class Meta:
        swagger_schema_fields = {"example": {"client": "mlops on ada-laptop"}}


class DeviceSerializer(serializers.Serializer):
    """The fields of RFC 8628, 3.2."""

    device_code = serializers.CharField(help_text="For the program alone.")
    user_code = serializers.CharField(help_text="For the person.")
    verification_uri = serializers.CharField()
    verification_uri_complete = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")
    interval = serializers.IntegerField(help_text="Seconds between two calls for the tokens.")

    class Meta:
        swagger_schema_fields = {
            "example": {
                "device_code": "GmRhmhcxhwAzkoEqiMEg…",
                "user_code": "WDJB-MJHT",
                "verification_uri": "https://ml.example.org/sign-on/device",
                "verification_uri_complete": "https://ml.example.org/sign-on/device?user_code=WDJB-MJHT",
                "expires_in": devices.LASTS_S,
                "interval": devices.INTERVAL_S,
            }
        }


class DeviceCodeSerializer(StrictSerializer):
    device_code = Text(max_length=100)

    class Meta:
        swagger_schema_fields = {"example": {"device_code": "GmRhmhcxhwAzkoEqiMEg…"}}


NOT_YET = error(
    "Not let in yet (authorization_pending), asked too soon (slow_down), not let in at all "
    "(access_denied), expired or used (expired_token); or a malformed body",
    *devices.PENDING,
)
DOCS = {
    "create": Doc(
        "users",
        "Begin the login of a program without a browser",
        "Show the person `user_code` and `verification_uri`, and call for the tokens every "
        "`interval` seconds meanwhile.",
        answers={201: DeviceSerializer},
    ),
    "token": Doc(
        "users",
        "Trade a device code for the tokens of a login",
        "They are those of the person who has let the program in, by a password or a provider.",
        answers={200: TokenPairSerializer, 400: NOT_YET},
    ),
}


class DeviceViewSet(ApiViewSet):
    bodies = {"create": NewDeviceSerializer, "token": DeviceCodeSerializer}
    docs = DOCS
    authentication_classes = []
    permission_classes = [AllowAny]

    def get_throttles(self) -> list[Any]:
        return [DeviceThrottle()] if self.action == "create" else []

    def create(self, request: Request) -> Response:
        client: str = self.body().get("client", "")
        begun = devices.begin(client, DeviceThrottle().get_ident(request))
        host = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
        code = devices.shown(begun.grant.user_code)
        shown = {
            "device_code": begun.device_code,
            "user_code": code,
            "verification_uri": f"{host}{PAGE}",
            "verification_uri_complete": f"{host}{PAGE}?user_code={code}",
            "expires_in": devices.LASTS_S,
            "interval": devices.INTERVAL_S,
        }
        return Response(shown, status=201)

    @action(**OPEN)
    def token(self, request: Request) -> Response:
        return Response(TokenPairSerializer(devices.trade(**self.body())).data)
