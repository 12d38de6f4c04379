"""Members of two organizations, with the clusters that they submit to."""

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from chaos.load.calls import Answer, Client, Tally
from chaos.platforms.platform import Platform

PASSWORD = secrets.token_urlsafe(16)
TOKEN_LASTS_S = 300.0  # an access token is valid for three times as long
SET_UP_TRIES, SET_UP_PAUSE_S = 20, 0.5

# A pool, a pool in strict order, and nodes with gangs.
POLICIES: tuple[dict[str, Any], ...] = (
    {"queueing": "best_effort"},
    {"queueing": "strict", "ordering": "fair_share"},
    {"queueing": "easy_backfill", "placement": "spread"},
)
CPU, RAM, GPU = 24, 98304, 12
NODES = 4


@dataclass
class Member:
    """A user who logs in again before the token ends. Safe to share among threads."""

    platform: Platform
    tally: Tally
    username: str
    organization_id: str = ""
    _token: str = ""
    _logged_in_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> "MembersClient":
        return MembersClient(self)

    def token(self, client: Client) -> str:
        """The last one, where logging in fails."""
        with self._lock:
            if time.monotonic() - self._logged_in_at > TOKEN_LASTS_S or not self._token:
                body = {"username": self.username, "password": PASSWORD}
                answer = client.call("POST", "/api/users/login", body)
                if answer.is_fine:
                    self._token = answer.body["access_token"]
                    self._logged_in_at = time.monotonic()
            return self._token


class MembersClient:
    """One connection of a member, for one thread."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._client = Client(member.platform.port, member.platform.headers, member.tally)

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        bearer = {"Authorization": f"Bearer {self.member.token(self._client)}"}
        return self._client.call(method, path, body, {**bearer, **(headers or {})})

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call(
            "POST", path, body, {key.replace("_", "-"): v for key, v in headers.items()}
        )


@dataclass(frozen=True)
class Place:
    """A cluster and the member who submits to it."""

    member: Member
    cluster_id: str
    has_nodes: bool


@dataclass(frozen=True)
class World:
    """`places` take the load; `full` is a cluster in which many wait all the time."""

    members: list[Member]
    places: list[Place]
    full: Place


def set_up(platform: Platform, tally: Tally) -> World:
    """Two members with an organization each, and four clusters. Raises RuntimeError."""
    members = [_register(platform, tally, name) for name in ("ada", "grace")]
    places = [
        _cluster(members[number % 2], f"load-{number}", policy)
        for number, policy in enumerate(POLICIES)
    ]
    full = _cluster(members[0], "full", {}, total_cpu=1, total_ram=1024, total_gpu=0)
    return World(members, places, full)


def _register(platform: Platform, tally: Tally, username: str) -> Member:
    member = Member(platform, tally, username)
    anonymous = Client(platform.port, platform.headers, tally)
    answer = anonymous.call(
        "POST", "/api/users/register", {"username": username, "password": PASSWORD}
    )
    if not answer.is_fine:
        raise RuntimeError(f"register: {answer}")
    member.organization_id = _made(member, "/api/orgs/create", {"name": f"Of {username}"})
    return member


def _cluster(member: Member, name: str, policy: dict[str, Any], **totals: int) -> Place:
    body = {
        "name": name,
        "organization_id": member.organization_id,
        "total_cpu": CPU,
        "total_ram": RAM,
        "total_gpu": GPU,
        **({"policy": policy} if policy else {}),
        **totals,
    }
    cluster_id = _made(member, "/api/clusters", body)
    has_nodes = policy.get("placement") == "spread"
    for number in range(NODES if has_nodes else 0):
        size = {"cpu": CPU // NODES, "ram": RAM // NODES, "gpu": GPU // NODES}
        _made(member, f"/api/clusters/{cluster_id}/nodes", {"name": f"node-{number}", **size})
    return Place(member, cluster_id, has_nodes)


def _made(member: Member, path: str, body: dict[str, Any]) -> str:
    answer = member.client().post(path, body)
    if not answer.is_fine:
        raise RuntimeError(f"{path}: {answer}")
    return str(answer.body["id"])
