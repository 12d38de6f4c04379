"""The client: where the platform is, with which token, and what can be asked of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from mlops import errors
from mlops.credentials import FixedToken, LoginTokens, ProfileTokens
from mlops.resources import RESOURCES
from mlops.transport import RETRIES, Credentials, Transport

if TYPE_CHECKING:
    from mlops import resources
    from mlops.profiles import Profile


class Client:
    """Calls a platform.

        client = Client("http://127.0.0.1:8000", token="mlops_...")
        for deployment in client.deployments.list(status="RUNNING"):
            print(deployment.name, deployment.owner)

    Without arguments it takes `MLOPS_URL` and `MLOPS_TOKEN`, and without these the profile that
    `mlops login` has stored. `retries`, or `MLOPS_RETRIES`, says how often a call is made again.
    A client may be shared by threads.
    """

    users: resources.Users
    keys: resources.Keys
    secrets: resources.Secrets
    organizations: resources.Organizations
    members: resources.Members
    invitations: resources.Invitations
    webhooks: resources.Webhooks
    organization_keys: resources.OrganizationKeys
    organization_secrets: resources.OrganizationSecrets
    clusters: resources.Clusters
    nodes: resources.Nodes
    windows: resources.Windows
    quotas: resources.Quotas
    registries: resources.Registries
    volumes: resources.Volumes
    deployments: resources.Deployments
    sweeps: resources.Sweeps

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        profile: str | None = None,
        retries: int | None = None,
    ) -> None:
        self.profile: Profile | None = None
        credentials: Credentials
        if url is None and profile is None:
            url = os.environ.get("MLOPS_URL") or None
        if token is None and profile is None:
            token = os.environ.get("MLOPS_TOKEN") or None
        if url is not None:
            credentials = FixedToken(token or None)
        else:
            url, credentials = self._of_profile(profile, token)
        if retries is None:
            retries = int(os.environ.get("MLOPS_RETRIES") or RETRIES)
        self.transport = Transport(url, credentials, retries)
        for name, kind in RESOURCES.items():
            setattr(self, name, kind(self))

    def login(self, username: str, password: str) -> Client:
        """Log in, and go on as that user: tokens are renewed by themselves, and kept in memory."""
        pair = self.users.login(username=username, password=password)
        self.transport.credentials = LoginTokens(pair.access_token, pair.refresh_token)
        return self

    def request(self, method: str, path: str, **fields: Any) -> Any:
        """Any call, by its path such as `/api/clusters`; the JSON of the answer. `fields` are the
        query of a GET or DELETE, else the body."""
        sends_body = method in {"POST", "PUT", "PATCH"}
        query, body = ({}, fields) if sends_body else (fields, None)
        answer = self.transport.call(method, path, query, body)
        return json.loads(answer.data) if answer.data else None

    def close(self) -> None:
        self.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.transport.url}: {', '.join(RESOURCES)}>"

    def _of_profile(self, name: str | None, token: str | None) -> tuple[str, Credentials]:
        from mlops.profiles import ProfileFile  # programs with a token read no file

        file = ProfileFile()
        profiles = file.read()
        wanted = name or os.environ.get("MLOPS_PROFILE") or profiles.current
        found = profiles.get(wanted)
        if found is None:
            known = ", ".join(profiles.by_name)
            missing = f"There is no profile {wanted!r}" if wanted else "You are not logged in"
            offered = f" Profiles: {known}." if known else ""
            raise errors.NotLoggedInError(f"{missing}: type `mlops login URL`.{offered}")
        self.profile = found
        return found.url, FixedToken(token) if token else ProfileTokens(file, found)
