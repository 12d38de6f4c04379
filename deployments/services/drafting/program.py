"""What a deployment runs: its image, command, arguments and environment.

The values of `env` are never shown, also not to members of the organization. A program may show
them; so where there are any, the user whose env it is alone says which program gets them. That is
the owner of the deployment, or of the one of which it is a rerun.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from rest_framework.exceptions import PermissionDenied

from accounts.models import User
from deployments import env
from deployments.models import Deployment
from deployments.runtimes.peers import RANKS, why_no_rank
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.sealing import Unsealable
from organizations.secrets.owners import Scope

PROGRAM = frozenset({"image", "command", "args", "env"})
MOST_VARIABLES = 256
MOST_ARGUMENT_BYTES = 128 * 1024  # of command and args together, with a NUL behind each
TOO_MANY_ARGUMENT_BYTES = f"command and args may have {MOST_ARGUMENT_BYTES // 1024} KiB together."
LONGEST_SHOWN = 200  # letters of a command in a timeline


def refuse_long(command: Sequence[str], args: Sequence[str]) -> None:
    """400 for more than a program can be given."""
    if sum(len(each.encode()) + 1 for each in (*command, *args)) > MOST_ARGUMENT_BYTES:
        raise Invalid({"args" if args else "command": TOO_MANY_ARGUMENT_BYTES})


def refuse_stranger_to(row: Deployment, user: User, *, also_secrets: bool) -> None:
    """403 for another program of a deployment with an environment, or with its owner's secrets,
    where these are another user's."""
    whose = env_owner_of(row)
    if whose not in (None, user.pk):
        if whose == row.owner_id:
            raise _not_owner("an environment", "its")
        raise _not_owner("the environment of another one", "that one's")
    personal = also_secrets and any(each["scope"] == Scope.PERSON for each in row.secrets)
    if personal and user.pk != row.owner_id:
        raise _not_owner("secrets of a person", "its")


def env_owner_of(row: Deployment) -> UUID | None:
    """The user who alone says what runs with the row's environment; None where it has none."""
    return (row.env_owner_id or row.owner_id) if row.env_names else None


def _not_owner(what: str, whose: str) -> PermissionDenied:
    said = f"It has {what}: only {whose} owner may say what runs with it. Submit one of your own."
    return PermissionDenied(said, code="not_owner")


def values_of(row: Deployment) -> dict[str, str]:
    """The variables of `env`; 409 where no key of the platform opens them."""
    try:
        return env.unsealed(row.env)
    except Unsealable as error:
        raise Conflict(
            "Its environment cannot be opened with the keys that the platform has.",
            code="env_sealed",
        ) from error


def merged(values: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The variables after a change that names some; None removes one. 400 where that leaves too
    many."""
    found = {**values, **changes}
    kept = {name: value for name, value in found.items() if value is not None}
    if len(kept) > MOST_VARIABLES:
        raise Invalid({"env": f"At most {MOST_VARIABLES} variables."})
    return kept


def change(row: Deployment, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give a row another program, and return what changed, for its timeline: of variables the
    names."""
    changed: dict[str, Any] = {}
    for column in ("image", "command", "args"):
        before, after = getattr(row, column), changes.get(column)
        if after is not None and before != after:
            changed[column] = {"from": _brief(before), "to": _brief(after)}
            setattr(row, column, after)
    if given := changes.get("env"):
        values = values_of(row)
        after = merged(values, given)
        differing = sorted(name for name in given if values.get(name) != after.get(name))
        if differing:
            refuse_variables(row.replicas, after, row.secrets)
            changed["env"] = {"changed": differing}
            if not after:
                row.env_owner_id = None  # what it is given later is its owner's
            row.env = env.sealed(after)
    refuse_long(row.command, row.args)
    return changed


def refuse_variables(
    replicas: int, values: Collection[str], secrets: Sequence[Mapping[str, Any]]
) -> None:
    """400 for a variable that a secret sets too, or that is a rank of a gang."""
    if twice := sorted({str(each.get("env")) for each in secrets} & set(values)):
        raise Invalid({"env": f"A secret sets this variable too: {twice[0]}."})
    if replicas > 1 and (ranks := RANKS & set(values)):
        raise Invalid({"env": why_no_rank(ranks)})


def _brief(value: str | Sequence[str]) -> str:
    text = value if isinstance(value, str) else shlex.join(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"
