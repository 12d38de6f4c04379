"""The user calls: parse, call one service or query, answer."""

from typing import Any

from rest_framework.decorators import action
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import queries, services
from accounts.api import docs
from accounts.api.requests import UserRequest
from accounts.api.serializers import (
    ChangeMeSerializer,
    ChangePasswordSerializer,
    LoginSerializer,
    MeSerializer,
    RefreshTokenSerializer,
    RegisteredSerializer,
    RegisterSerializer,
    TokenPairSerializer,
)
from mlops_platform.api.throttling.throttles import (
    LOGIN_THROTTLES,
    PasswordThrottle,
    RegisterThrottle,
    remember_address,
)
from mlops_platform.api.viewsets import ApiViewSet

# Calls that come before a login read no bearer header, which may be a stale one.
OPEN: dict[str, Any] = {
    "detail": False,
    "methods": ["post"],
    "authentication_classes": [],
    "permission_classes": [AllowAny],
}


class UserViewSet(ApiViewSet):
    bodies = {
        "register": RegisterSerializer,
        "login": LoginSerializer,
        "refresh": RefreshTokenSerializer,
        "logout": RefreshTokenSerializer,
        "change_me": ChangeMeSerializer,
        "change_password": ChangePasswordSerializer,
    }
    docs = docs.USERS
    key_scopes = {"change_me": None, "change_password": None}

    def check_throttles(self, request: Request) -> None:
        """429 by the first throttle that refuses: those behind it do not count the request. DRF
        asks all of them."""
        for throttle in self.get_throttles():
            if not throttle.allow_request(request, self):
                raise Throttled(throttle.wait())

    @action(**OPEN, throttle_classes=[RegisterThrottle])
    def register(self, request: Request) -> Response:
        user = services.register(**self.body())
        return Response(RegisteredSerializer(user).data, status=201)

    @action(**OPEN, throttle_classes=LOGIN_THROTTLES)
    def login(self, request: Request) -> Response:
        pair = services.log_in(**self.body())
        remember_address(request)
        return Response(TokenPairSerializer(pair).data)

    @action(**OPEN)
    def refresh(self, request: Request) -> Response:
        return Response(TokenPairSerializer(services.rotate(**self.body())).data)

    @action(**OPEN)
    def logout(self, request: Request) -> Response:
        services.log_out(**self.body())
        return Response(status=205)

    @action(detail=False)
    def me(self, request: UserRequest) -> Response:
        return Response(MeSerializer(queries.me(request.user)).data)

    @me.mapping.patch
    def change_me(self, request: UserRequest) -> Response:
        services.change_profile(request.user, **self.body())
        return Response(MeSerializer(queries.me(request.user)).data)

    @action(
        detail=False,
        methods=["post"],
        url_path="me/password",
        throttle_classes=[PasswordThrottle],
    )
    def change_password(self, request: UserRequest) -> Response:
        pair = services.change_password(request.user, **self.body())
        return Response(TokenPairSerializer(pair).data)
