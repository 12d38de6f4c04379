"""What accounts ask of the apps above: each hook is a function that an upper app sets in its
`AppConfig.ready`.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from typing import Protocol

from accounts.models import User
from mlops_platform.api.errors import Invalid


class CheckInvitation(Protocol):
    """Refuses a code that lets no user in (400 naming `invite_code`). Locks nothing."""

    def __call__(self, code: str) -> None: ...


class AcceptInvitation(Protocol):
    """Makes a new user a member by the code, in the caller's transaction; refuses as above."""

    def __call__(self, user: User, code: str) -> object: ...


def _know_no_code(code: str) -> None:
    """Without an upper app there are no organizations."""
    raise Invalid({"invite_code": "There is nothing to be invited to."})


def _accept_none(user: User, code: str) -> None:
    _know_no_code(code)


check_invitation: CheckInvitation = _know_no_code
accept_invitation: AcceptInvitation = _accept_none
