"""What Swagger says of the user calls."""

from accounts.api.serializers import MeSerializer, RegisteredSerializer, TokenPairSerializer
from accounts.services import BadCredentials, BadToken
from mlops_platform.api.errors import FAULTY
from mlops_platform.api.schema import Doc, error

BAD_CREDENTIALS = error(
    "Wrong user name or password", BadCredentials.default_code, BadCredentials.default_detail
)
BAD_TOKEN = error("A token that cannot be used", BadToken.default_code, BadToken.default_detail)
CLOSED = error(
    "Operators alone make users here",
    "registration_closed",
    "Registration is closed; ask an operator.",
)
TAKEN = error(
    "Taken, weak or malformed; an e-mail address of another domain; an invite code that is missing "
    "or cannot be used (as in joining)",
    "invalid",
    FAULTY,
    username=["A user with that name exists already."],
)
WRONG_PASSWORD = error(
    "Not the old password, or a new one that is weak or the same",
    "invalid",
    FAULTY,
    old_password=["This is not your password."],
)

USERS = {
    "register": Doc(
        "users",
        "Register a user",
        "Operators may demand an invite code or an e-mail address of their domains.",
        answers={201: RegisteredSerializer, 400: TAKEN, 403: CLOSED},
    ),
    "login": Doc("users", "Log in", answers={200: TokenPairSerializer, 401: BAD_CREDENTIALS}),
    "refresh": Doc(
        "users",
        "Trade a refresh token for a new pair",
        "Each refresh token can be used once. If the answer is lost, repeat the call within 10 "
        "seconds; a later second use ends the login.",
        answers={200: TokenPairSerializer, 401: BAD_TOKEN},
    ),
    "logout": Doc(
        "users",
        "Log out: end a login",
        "No refresh token of it can be used from now on; access tokens expire within minutes.",
        answers={205: "Logged out", 401: BAD_TOKEN},
    ),
    "me": Doc("users", "Yourself: profile and memberships", answers={200: MeSerializer}),
    "change_me": Doc(
        "users",
        "Change your e-mail address or profile",
        "What is not given stays as it is.",
        answers={200: MeSerializer},
    ),
    "change_password": Doc(
        "users",
        "Change your password",
        "All your logins end, and access tokens with them; the answer begins a new one. API keys "
        "stay: revoke those that you do not trust.",
        answers={200: TokenPairSerializer, 400: WRONG_PASSWORD},
    ),
}
