"""A world with one of everything, its five people, and its fingerprint.

In `org` one deployment runs on the only node and one waits, as a real cycle decided that the ledger
has recorded. Sam, the stranger, is ADMIN of an organization with a cluster of its own.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from redis import Redis

from accounts import devices
from accounts.keys.services import create_key
from accounts.models import User
from accounts.recovery import addresses, passwords
from accounts.services import begin_login
from clusters.models import NodeState, Registry, WindowMode
from clusters.services.quotas import put_quota
from clusters.services.volumes import add_volume
from clusters.services.windows import plan_window
from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Deployment, Price, Status, Sweep
from deployments.services.submit import create_deployment
from deployments.subscriptions import DeliveryStatus, WebhookDelivery
from deployments.webhooks.services import add_webhook
from mlops_platform.api.scopes import KeyScope
from mlops_platform.broker import PROBE
from mlops_platform.sealing import seal
from organizations import service_accounts
from organizations.invitations.services import invite
from organizations.models import InviteCode, Role
from organizations.secrets import owners
from organizations.secrets.services import put_secret
from organizations.services import create_organization, remove_member
from organizations.tests.people import JsonClient, client_for, make_member, make_user
from scheduler import cycle
from scheduler.models import SchedulingCycle, Trigger

PEOPLE = ("anonymous", "stranger", "viewer", "developer", "admin")


@dataclass(frozen=True)
class World:
    ids: Mapping[str, str]
    """The values of a path's and a body's placeholders."""
    users: Mapping[str, User | None]
    secrets: tuple[str, ...]
    """Invite codes, which only an ADMIN may see."""

    clients: dict[str, JsonClient] = field(default_factory=dict)
    redis: dict[bytes, bytes] = field(default_factory=dict)
    """What Redis has of it, dumped key by key."""

    def client(self, person: str) -> JsonClient:
        """The person's client, kept: making one loads all middleware anew."""
        if person not in self.clients:
            self.clients[person] = client_for(self.users[person])
        return self.clients[person]

    def nowhere(self) -> dict[str, str]:
        """Well-formed ids of things that do not exist."""
        return {name: str(uuid4()) if name.endswith("_id") else "x" for name in self.ids}


@pytest.fixture(scope="module")
def _world_of_the_module(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once, in a transaction around all of the module's tests: it takes about 80 queries."""
    with (
        django_db_blocker.unblock(),
        transaction.atomic(),
        Redis.from_url(settings.REDIS_URL) as redis,
    ):
        with connection.cursor() as cursor:  # between two tests, a slow machine takes longer
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        redis.flushdb()
        world = make_world()
        world.redis.update(_dump(redis))
        yield world
        transaction.set_rollback(True)


@pytest.fixture
def world(_world_of_the_module: World, db: None, _empty_redis: None) -> World:
    """The world as it was made, whatever the module's other tests did to it.

    No test of the module may make its people (`ada`, `org`, ...) a second time, or want a database
    without a transaction around it: for the latter there is `committed_world`.
    """
    with Redis.from_url(settings.REDIS_URL) as redis:
        _restore(redis, _world_of_the_module.redis)
    return _world_of_the_module


@pytest.fixture
def committed_world(transactional_db: None) -> World:
    """A world that other processes see."""
    return make_world()


def make_world() -> World:
    ada, sam = make_user("ada"), make_user("sam")
    org, sams_org = create_organization(ada, "Engines"), create_organization(sam, "Sam's")
    dev, vera = (
        make_member(org, role.value.lower(), role) for role in (Role.DEVELOPER, Role.VIEWER)
    )
    cluster = make_cluster(org, total_gpu=1)
    node = make_node(cluster, gpu=1, labels={"zone": "b"})
    make_cluster(sams_org)
    registry = Registry.objects.create(
        cluster=cluster, host="r.example.org", username="robot", secret=seal({"password": "x"})
    )
    claim = {"name": "datasets", "kind": "PVC", "source": {"claim": "datasets"}}
    volume = add_volume(cluster, claim)
    begins_at = timezone.now() + timedelta(days=7)
    times = {"begins_at": begins_at, "ends_at": begins_at + timedelta(hours=2)}
    window = plan_window(
        cluster, {**times, "mode": WindowMode.CORDON, "reason": "new disks"}, by="ada"
    ).window
    colleague = make_member(org, "mia", Role.VIEWER)
    colleague.email = "mia@example.org"
    colleague.save(update_fields=["email"])
    put_secret(ada, owners.organization(org.pk), "of-the-engines", "of the robot")
    Price.objects.create(organization=org, rank=0, gpu_hour=1, core_hour=0, gib_hour=0)
    service_accounts.create_key(ada, org.pk, "engines-key", Role.DEVELOPER)
    for each in (ada, sam, dev, vera):
        put_secret(each, owners.person(each.pk), "of-my-own", "of the robot")
        create_key(each, "robot-key", KeyScope.READ)
    put_quota(cluster, None, {"max_gpu": 4})
    put_quota(cluster, colleague.pk, {"max_gpu": 2})
    spec = {"image": "train:1.2", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}
    running = create_deployment(dev, cluster.pk, spec).deployment
    member = create_deployment(dev, cluster.pk, spec).deployment
    sweep = Sweep.objects.create(
        cluster=cluster, owner=dev, name="lr", parameters=[{"lr": 0.1}], size=1
    )
    Deployment.objects.filter(pk=member.pk).update(sweep=sweep, sweep_index=0)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    node.state = NodeState.NOT_READY  # so that cordon, uncordon and drain all change something
    node.save(update_fields=["state"])
    running.refresh_from_db()
    assert running.status == Status.RUNNING
    banned = make_member(org, "max", Role.VIEWER)
    remove_member(ada, org.pk, banned.pk)
    invited = invite(ada, org.pk, Role.VIEWER)
    begun = devices.begin("", "127.0.0.1")
    devices.decide(colleague, begun.grant.user_code, allow=True)
    webhook = add_webhook(ada, org.pk, "https://192.0.2.8/mlops").webhook
    delivery = WebhookDelivery.objects.create(
        webhook=webhook, type="FAILED", body="{}", status=DeliveryStatus.FAILED
    )
    codes = dict(
        InviteCode.objects.filter(organization=org, rotated_at=None).values_list("role", "code")
    )
    return World(
        ids={
            "organization_id": str(org.pk),
            "user_id": str(colleague.pk),
            "banned_user_id": str(banned.pk),
            "cluster_id": str(cluster.pk),
            "node_id": str(node.pk),
            "registry_id": str(registry.pk),
            "volume_id": str(volume.pk),
            "window_id": str(window.pk),
            "deployment_id": str(running.pk),
            "sweep_id": str(sweep.pk),
            "secret_name": "of-the-engines",
            "own_secret_name": "of-my-own",
            "key_name": "engines-key",
            "own_key_name": "robot-key",
            "cycle_id": str(SchedulingCycle.objects.filter(cluster=cluster).latest("pk").pk),
            "webhook_id": str(webhook.pk),
            "delivery_id": str(delivery.pk),
            "invitation_id": str(invited.invitation.pk),
            "device_code": begun.device_code,
            "reset_token": passwords.token_for(colleague),
            "verify_token": addresses.token_for(colleague),
            "invite_code": codes[Role.DEVELOPER],
            "refresh_token": begin_login(colleague).refresh_token,
        },
        users=dict(zip(PEOPLE, (None, sam, vera, dev, ada), strict=True)),
        secrets=tuple(codes.values()),
    )


@contextmanager
def undone() -> Iterator[None]:
    """Undoes whatever the block changes in PostgreSQL and in Redis."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        before = _dump(redis)
        try:
            with transaction.atomic():
                yield
                transaction.set_rollback(True)
        finally:
            redis.flushdb()
            _restore(redis, before)


def _dump(redis: "Redis") -> dict[bytes, bytes]:
    dumped = {key: redis.dump(key) for key in redis.scan_iter()}
    return {key: value for key, value in dumped.items() if value is not None}


def _restore(redis: "Redis", dumped: Mapping[bytes, bytes]) -> None:
    for key, value in dumped.items():
        redis.restore(key, 0, value)


def fingerprint() -> dict[str, Any]:
    """A digest of each table's rows and of Redis without the throttles' counts, and without what
    proves that it takes writes.

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
    digest = hashlib.sha256()
    with Redis.from_url(settings.REDIS_URL) as client:
        for key in sorted(client.scan_iter()):
            if b"throttle" not in key and key not in (b"readyz", PROBE.encode()):
                digest.update(repr((key, client.dump(key))).encode())
    return digest.hexdigest()
