"""A world with one of everything, five people who look at it, and its fingerprint.

In `org` one deployment runs on the only node and one waits, decided by a real cycle that stands in
the ledger. Sam, the stranger, is ADMIN of an organization with a cluster of its own.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from redis import Redis
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import User
from clusters.models import NodeState, Registry
from clusters.secrets import seal
from clusters.services.quotas import put_quota
from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Status
from deployments.services.submit import create_deployment
from organizations.models import InviteCode, Organization, Role
from organizations.tests.people import JsonClient, client_for, make_member
from scheduler import cycle
from scheduler.models import SchedulingCycle, Trigger

PEOPLE = ("anonymous", "stranger", "viewer", "developer", "admin")


@dataclass(frozen=True)
class World:
    ids: Mapping[str, str]
    """What stands in the paths' braces, and what sound bodies are made of."""
    users: Mapping[str, User | None]
    secrets: tuple[str, ...]
    """Invite codes, which an ADMIN may see and nobody else."""

    clients: dict[str, JsonClient] = field(default_factory=dict)

    def client(self, person: str) -> JsonClient:
        """One for each person: making one loads all middleware anew."""
        if person not in self.clients:
            self.clients[person] = client_for(self.users[person])
        return self.clients[person]

    def nowhere(self) -> dict[str, str]:
        """Ids as sound as the real ones, of nothing."""
        return {name: str(uuid4()) if name.endswith("_id") else "x" for name in self.ids}


@pytest.fixture
def world(
    org: Organization, ada: User, dev: User, vera: User, sam: User, sams_org: Organization
) -> World:
    cluster = make_cluster(org, total_gpu=1)
    node = make_node(cluster, gpu=1, labels={"zone": "b"})
    make_cluster(sams_org)
    registry = Registry.objects.create(
        cluster=cluster, host="r.example.org", username="robot", secret=seal({"password": "x"})
    )
    colleague = make_member(org, "mia", Role.VIEWER)
    put_quota(cluster, None, {"max_gpu": 4})
    put_quota(cluster, colleague.pk, {"max_gpu": 2})
    spec = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}
    running = create_deployment(dev, cluster.pk, spec).deployment
    create_deployment(dev, cluster.pk, spec)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    node.state = NodeState.NOT_READY  # so that cordon, uncordon and drain all change something
    node.save(update_fields=["state"])
    running.refresh_from_db()
    assert running.status == Status.RUNNING
    codes = dict(InviteCode.objects.filter(organization=org).values_list("role", "code"))
    return World(
        ids={
            "organization_id": str(org.pk),
            "user_id": str(colleague.pk),
            "cluster_id": str(cluster.pk),
            "node_id": str(node.pk),
            "registry_id": str(registry.pk),
            "deployment_id": str(running.pk),
            "cycle_id": str(SchedulingCycle.objects.get(cluster=cluster).pk),
            "invite_code": codes[Role.DEVELOPER],
            "refresh_token": str(RefreshToken.for_user(colleague)),
        },
        users=dict(zip(PEOPLE, (None, sam, vera, dev, ada), strict=True)),
        secrets=tuple(codes.values()),
    )


def fingerprint() -> dict[str, Any]:
    """A digest of each table's rows and of what Redis holds but for the throttles' counts.

    Two are equal where nothing at all has changed in between.
    """
    return {**_tables(), "redis": _redis()}


def _tables() -> dict[str, str]:
    names = sorted(connection.introspection.table_names())
    digests = " UNION ALL ".join(
        f"SELECT '{name}', count(*) || md5(coalesce(string_agg(row::text, ' ' ORDER BY row::text),"
        f" '')) FROM \"{name}\" AS row"
        for name in names
    )
    with connection.cursor() as cursor:
        cursor.execute(digests)
        return dict(cursor.fetchall())


def _redis() -> str:
    held = hashlib.sha256()
    with Redis.from_url(settings.REDIS_URL) as client:
        for key in sorted(client.scan_iter()):
            if b"throttle" not in key:
                held.update(repr((key, client.dump(key))).encode())
    return held.hexdigest()
