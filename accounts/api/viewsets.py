"""The user calls: parse, call one service, answer."""

from drf_yasg.utils import swagger_auto_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import queries, services
from accounts.api.callers import caller
from accounts.api.serializers import (
    ChangeMeSerializer,
    LoginSerializer,
    MeSerializer,
    RefreshTokenSerializer,
    RegisteredSerializer,
    RegisterSerializer,
    TokenPairSerializer,
)
from accounts.services import BadCredentials, BadToken
from mlops_platform.api.errors import FAULTY
from mlops_platform.api.requests import body_of
from mlops_platform.api.schema import error
from mlops_platform.api.throttles import LoginAddressThrottle, LoginThrottle, RegisterThrottle

BAD_CREDENTIALS = error(
    "Wrong user name or password", BadCredentials.default_code, BadCredentials.default_detail
)
BAD_TOKEN = error("A token that cannot be used", BadToken.default_code, BadToken.default_detail)


class OpenViewSet(ViewSet):
    """Calls that come before a login; they read no bearer header, which may be a stale one."""

    authentication_classes = []
    permission_classes = [AllowAny]


class RegistrationViewSet(OpenViewSet):
    throttle_classes = [RegisterThrottle]

    @swagger_auto_schema(
        operation_summary="Register a user",
        tags=["users"],
        security=[],
        request_body=RegisterSerializer,
        responses={
            201: RegisteredSerializer,
            400: error(
                "Taken, weak or malformed",
                "invalid",
                FAULTY,
                username=["A user with that name exists already."],
            ),
        },
    )
    def create(self, request: Request) -> Response:
        body = body_of(request, RegisterSerializer)
        user = services.register(**body)
        return Response(RegisteredSerializer(user).data, status=201)


class LoginViewSet(OpenViewSet):
    throttle_classes = [LoginThrottle, LoginAddressThrottle]

    @swagger_auto_schema(
        operation_summary="Log in",
        tags=["users"],
        security=[],
        request_body=LoginSerializer,
        responses={200: TokenPairSerializer, 401: BAD_CREDENTIALS},
    )
    def create(self, request: Request) -> Response:
        body = body_of(request, LoginSerializer)
        return Response(TokenPairSerializer(services.log_in(**body)).data)


class TokenViewSet(OpenViewSet):
    @swagger_auto_schema(
        operation_summary="Trade a refresh token for a new pair",
        operation_description="Each refresh token can be used once.",
        tags=["users"],
        security=[],
        request_body=RefreshTokenSerializer,
        responses={200: TokenPairSerializer, 401: BAD_TOKEN},
    )
    def refresh(self, request: Request) -> Response:
        return Response(TokenPairSerializer(services.rotate(_refresh_token(request))).data)

    @swagger_auto_schema(
        operation_summary="Log out: end a refresh token",
        tags=["users"],
        security=[],
        request_body=RefreshTokenSerializer,
        responses={205: "The token is dead", 401: BAD_TOKEN},
    )
    def logout(self, request: Request) -> Response:
        services.log_out(_refresh_token(request))
        return Response(status=205)


class MeViewSet(ViewSet):
    @swagger_auto_schema(
        operation_summary="Yourself: profile and memberships",
        tags=["users"],
        responses={200: MeSerializer},
    )
    def retrieve(self, request: Request) -> Response:
        return Response(MeSerializer(queries.me(caller(request))).data)

    @swagger_auto_schema(
        operation_summary="Change your e-mail address or profile",
        operation_description="What is not given stays as it is.",
        tags=["users"],
        request_body=ChangeMeSerializer,
        needs_role=False,
        responses={200: MeSerializer},
    )
    def partial_update(self, request: Request) -> Response:
        body = body_of(request, ChangeMeSerializer)
        services.change_profile(caller(request), **body)
        return Response(MeSerializer(queries.me(caller(request))).data)


def _refresh_token(request: Request) -> str:
    return str(body_of(request, RefreshTokenSerializer)["refresh_token"])
