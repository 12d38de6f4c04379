"""The calls that verify an address and reset a password: parse, call one service, answer."""

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.recovery_serializers import AskResetSerializer, LinkSerializer, ResetSerializer
from accounts.api.requests import UserRequest
from accounts.api.viewsets import OPEN
from accounts.recovery import addresses, mails, passwords
from mlops_platform.api.errors import FAULTY
from mlops_platform.api.schema import Doc, error
from mlops_platform.api.serializers import EmptySerializer
from mlops_platform.api.throttling.throttles import (
    MailThrottle,
    ResetAccountThrottle,
    ResetThrottle,
)
from mlops_platform.api.viewsets import ApiViewSet

NO_MAIL = error("The platform sends no mail", "no_mail", mails.NO_MAIL)
UNMAILED = error(
    "No address, or one that is verified already (verified_already); no mail (no_mail)",
    "no_email",
    "You have no e-mail address; set one first.",
)
TAKEN = error("Verified for another user", "email_taken", addresses.OF_ANOTHER)
BAD_LINK = error(
    "A link that does not count, or a weak password", "invalid", FAULTY, token=[passwords.BAD_LINK]
)
BAD_ADDRESS_LINK = error(
    "A link that does not count", "invalid", FAULTY, token=[addresses.BAD_LINK]
)
DOCS = {
    "reset": Doc(
        "users",
        "Ask for a new password, by mail",
        "A link is mailed where a user has verified this address and has a password; the answer is "
        "the same where none has.",
        answers={202: "Asked for", 409: NO_MAIL},
    ),
    "confirm_reset": Doc(
        "users",
        "Set a new password with a mailed link",
        "The link counts once, for an hour. All logins end.",
        answers={204: "Set", 400: BAD_LINK},
    ),
    "verify": Doc(
        "users",
        "Ask for a mail that verifies your address",
        "A verified address can reset the password.",
        answers={202: "Asked for", 409: UNMAILED},
    ),
    "confirm": Doc(
        "users",
        "Verify an address with a mailed link",
        "The link counts for a day, and while the address stays the same.",
        answers={204: "Verified", 400: BAD_ADDRESS_LINK, 409: TAKEN},
    ),
}


class PasswordResetViewSet(ApiViewSet):
    bodies = {"reset": AskResetSerializer, "confirm_reset": ResetSerializer}
    docs = DOCS

    @action(**OPEN, throttle_classes=[ResetThrottle, ResetAccountThrottle])
    def reset(self, request: Request) -> Response:
        passwords.ask(**self.body())
        return Response(status=202)

    @action(**OPEN, url_path="reset/confirm", throttle_classes=[ResetThrottle])
    def confirm_reset(self, request: Request) -> Response:
        passwords.reset(**self.body())
        return Response(status=204)


class EmailViewSet(ApiViewSet):
    bodies = {"verify": EmptySerializer, "confirm": LinkSerializer}
    docs = DOCS
    key_scopes = {"verify": None}

    @action(detail=False, methods=["post"], throttle_classes=[MailThrottle])
    def verify(self, request: UserRequest) -> Response:
        self.body()  # an empty one
        addresses.ask(request.user)
        return Response(status=202)

    @action(**OPEN, url_path="verify/confirm", throttle_classes=[ResetThrottle])
    def confirm(self, request: Request) -> Response:
        addresses.confirm(**self.body())
        return Response(status=204)
