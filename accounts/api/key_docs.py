"""What Swagger says of the calls for API keys."""

from accounts.api.key_serializers import IssuedOwnKeySerializer
from accounts.keys.services import NAME_TAKEN
from mlops_platform.api.schema import Doc, error

FULL = error(
    "As many as allowed (too_many_keys), or one of that name (name_taken)", "name_taken", NAME_TAKEN
)
ONCE = "The answer has the secret in `key`: keep it, nothing shows it again."
REVOKED = {204: "Revoked: from now on it is refused"}

OF_USERS = {
    "list": Doc("keys", "Your own API keys", "Without their secrets; only you see them."),
    "retrieve": Doc("keys", "One of your own API keys, without its secret"),
    "create": Doc(
        "keys",
        "Make an API key of your own",
        f"A program that has it acts as you, within its scope and your roles. {ONCE}",
        answers={201: IssuedOwnKeySerializer, 409: FULL},
    ),
    "destroy": Doc("keys", "Revoke an API key of your own", answers=REVOKED),
}
