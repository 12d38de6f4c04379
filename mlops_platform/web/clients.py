"""By whose shares of the threads a request counts.

A request counts for its user, or without one for its address, and for the organization that it
concerns. No query is made to learn which that is, and a request's path does not prove it. So a
process remembers what checks of access have found while it answered earlier requests: for each
user the organization of the last one, and that of each id in a path. Until then a request counts
among strangers, for the first id in its path, which all that concerns a cluster has in common, and
for the organization in which others have found this id. It takes turns with this organization, and
not within it, as its user may be none of the members.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.state import token_backend

from accounts.keys.tokens import digest, is_whole
from mlops_platform.api.throttling.addresses import network_of
from mlops_platform.web.messages import Head

LONGEST_TOKEN = 4096
REMEMBERED = 20_000  # users, ids in paths, and pairs of both; about 5 MiB
STRANGERS = "strangers"

_SESSION = re.compile(rf"(?<![^; ]){settings.SESSION_COOKIE_NAME}=[0-9a-z]{{32}}(?![^; ])")
_ID = re.compile(r"/([0-9a-fA-F-]{36})(?:/|$)")


@dataclass(slots=True, eq=False)
class Client:
    """Of one request. `name`: its user or address; `subject`: the first id in its path; `key`: the
    digest of its API key or of its session, where it came with one.

    While it runs it counts for all that it has begun with: else a crowd whose organization is not
    known yet would take all threads, one as soon as another is known.
    """

    name: str
    subject: str = ""
    organization: str | None = None
    likely: str | None = None
    """The organization that the subject belongs to, whether or not this user does."""
    begun_with: frozenset[str] = frozenset()
    key: str = ""

    @property
    def group(self) -> str:
        """Those with which it takes turns as one: its organization, as far as that is known."""
        if self.organization:
            return _of(self.organization)
        return f"id {self.subject}" if self.subject else self.name

    @property
    def shares(self) -> frozenset[str]:
        shares = self.begun_with | {self.name, self.group}
        if self.organization is None:
            shares |= {STRANGERS, _of(self.likely)} if self.likely else {STRANGERS}
        return shares

    def begin(self) -> None:
        self.begun_with = self.shares


class Clients:
    """What this process has learned of its clients. All methods are the loop's."""

    def __init__(self) -> None:
        self._organizations: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._users: OrderedDict[str, str] = OrderedDict()  # by the digest of a key or session

    def of(self, head: Head) -> Client:
        """The user of a valid access token, read without the database, or of an API key or session
        that has been found in an earlier request; else the address."""
        token = _token_of(head)
        key = digest(token) if is_whole(token) else _session_of(head)
        user = self._users.get(key) if key else _user_of(token)
        if user is None:
            return Client(f"address {network_of(head.address)}", key=key)
        found = _ID.search(head.path)
        client = Client(f"user {user}", found[1].lower() if found else "", key=key)
        self.look_up(client)
        return client

    def learn_user(self, client: Client, user: str | None) -> None:
        """The API key or session of a request that runs is the user's, for whom it counts from here
        on beside its address; None: it counts no more."""
        self._users.pop(client.key, None)
        if user is None:
            return
        client.name = f"user {user}"
        self._users[client.key] = user
        while len(self._users) > REMEMBERED:
            self._users.popitem(last=False)

    def look_up(self, client: Client) -> None:
        known = self._organizations.get
        by_subject = known((client.name, client.subject))
        client.organization = by_subject or known((client.name, ""))
        client.likely = known(("", client.subject))

    def learn(self, client: Client, organization: str) -> None:
        """The user is a member of the organization, which the request concerns."""
        keys = {(client.name, client.subject), (client.name, "")}
        if client.subject:
            keys.add(("", client.subject))
        for key in keys:
            self._organizations[key] = organization
            self._organizations.move_to_end(key)
        while len(self._organizations) > REMEMBERED:
            self._organizations.popitem(last=False)


def _of(organization: str) -> str:
    return f"organization {organization}"


def _token_of(head: Head) -> str:
    """What follows the word Bearer; empty where it is too long, or nothing does."""
    scheme, _, token = head.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and len(token) <= LONGEST_TOKEN else ""


def _session_of(head: Head) -> str:
    """The digest of a browser's session; empty without one, or where a token comes as well."""
    if "authorization" in head.headers:
        return ""
    found = _SESSION.search(head.headers.get("cookie", "")[:LONGEST_TOKEN])
    return digest(found[0]) if found else ""


def _user_of(token: str) -> object:
    try:
        claims: Any = token_backend.decode(token)  # type: ignore[arg-type]  # takes text
    except TokenBackendError:
        return None
    return claims.get("user_id")
