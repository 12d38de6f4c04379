"""What accounts ask of the apps above: each hook is a function that an upper app sets in its
`AppConfig.ready`.

Call a hook as `hooks.name(...)`, so that the call finds the function that is set.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from accounts.models import ApiKey, User
from mlops_platform.api.errors import Invalid


class CheckInvitation(Protocol):
    """Refuses a code that lets no user in (400 naming `invite_code`). Locks nothing."""

    def __call__(self, code: str) -> None: ...


class AcceptInvitation(Protocol):
    """Makes a new user a member by the code, in the caller's transaction; refuses as above."""

    def __call__(self, user: User, code: str) -> object: ...


class NoteAccount(Protocol):
    """Writes what has changed of an account, by what the API calls it, to the feeds of the user's
    organizations, in the caller's transaction. `by`: where it is not the user of the request."""

    def __call__(
        self,
        user: User,
        *,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        by: User | None = None,
    ) -> None: ...


class NoteOperators(Protocol):
    """The same of what belongs to operators, and to no organization."""

    def __call__(
        self, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None: ...


class NoteKey(Protocol):
    """Writes that a key was created, or revoked, to the feeds of the organizations that it opens,
    in the caller's transaction."""

    def __call__(self, key: ApiKey, *, revoked: bool, by: User | None) -> None: ...


def _know_no_code(code: str) -> None:
    """Without an upper app there are no organizations."""
    raise Invalid({"invite_code": "There is nothing to be invited to."})


REPLACED = "replaced"
"""What events say of what they do not show."""


def _accept_none(user: User, code: str) -> None:
    _know_no_code(code)


def _note_no_account(
    user: User,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    by: User | None = None,
) -> None:
    """Without an upper app there are no feeds."""


def _note_no_operators(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
    """As above."""


def _note_no_key(key: ApiKey, *, revoked: bool, by: User | None) -> None:
    """As above."""


check_invitation: CheckInvitation = _know_no_code
accept_invitation: AcceptInvitation = _accept_none
note_account: NoteAccount = _note_no_account
note_operators: NoteOperators = _note_no_operators
note_key: NoteKey = _note_no_key
