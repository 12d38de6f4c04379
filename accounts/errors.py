"""Why somebody is not let in. DRF's AuthenticationFailed becomes 403 where a view authenticates
nobody, as register, login, refresh and logout do not; these are 401 everywhere."""

from rest_framework.exceptions import APIException


class Unauthorized(APIException):
    status_code = 401
    auth_header = 'Bearer realm="api"'  # answered as WWW-Authenticate


class BadCredentials(Unauthorized):
    default_detail = "No active account has this user name and password."
    default_code = "bad_credentials"


class BadToken(Unauthorized):
    default_detail = "This refresh token is invalid, expired or used already; log in again."
    default_code = "token_not_valid"
