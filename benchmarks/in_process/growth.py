"""What each list, page and question costs in a platform with a long history, beside one without.

In one process, through the whole of Django, on two databases of one server: no web server, no
worker. Both have the same people, clusters, queue and running deployments; they differ in what has
ended.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import combinations
from statistics import median
from typing import Any

from benchmarks.in_process.growth_rows import (
    DEPLOYMENTS_OF_A_CYCLE,
    EVENTS_OF_EACH,
    LARGE,
    SMALL,
    World,
    add_history,
    make_world,
    tidy,
)
from benchmarks.over_http.client import workload
from benchmarks.report import Result
from benchmarks.servers import platform

CALLS = 5  # of a round, in each database; the round's value is the ratio of their medians
UNTHROTTLED = ("THROTTLE_QUOTE", "THROTTLE_EXPLAIN")
DATABASES = {"small": "bench_small", "large": "bench_large"}
Ask = Callable[[], Any]
_open: dict[str, Any] = {}


def measure(rounds: int) -> Result:
    result = Result(
        "growth",
        "A long history beside a short one",
        notes=[
            f"Large: {LARGE:,} ended deployments, {LARGE * EVENTS_OF_EACH:,} events, "
            f"{LARGE // DEPLOYMENTS_OF_A_CYCLE:,} cycles; small: a hundredth of each. Each round "
            "is the median of some calls in the large one over that in the small one, in turn. In "
            "italics the large one's time. Failed, stopped, HIGH and services are rare and all "
            "old: the worst case for a list that is read newest first. The neighbour is in another "
            "organization, with 300 old deployments in both. Where a list of the small one is "
            "shorter, both are asked for so many rows: the answers are equally long.",
        ],
    )
    os.environ.update(dict.fromkeys(UNTHROTTLED, "100000/min"))
    with platform():
        world = _databases()
        for label, ask in _questions(world):
            ratios, times = _measured(ask, rounds)
            result.add(label, "x", ratios)
            result.add(f"{label}, large", "ms", times, reference=True)
        for kind, pairs in _pairs(world):
            measured = [(_measured(ask, 1)[0][0], label, ask) for label, ask in pairs]
            _, label, ask = max(measured, key=lambda each: each[0])
            result.add(f"the slowest pair of {kind}", "x", _measured(ask, rounds)[0])
            result.notes.append(f"Of {len(measured)} pairs of {kind}, {label} is the slowest.")
    return result


def _databases() -> World:
    """The small database, and its copy with the longer history."""
    from django.db import connection

    original = connection.settings_dict["NAME"]
    world = make_world()
    add_history(SMALL)
    for name in DATABASES.values():
        connection.close()
        connection.settings_dict["NAME"] = "postgres"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {original}")
    connection.close()
    for size in DATABASES:
        _use(size)
        if size == "large":
            add_history(LARGE, already=SMALL)
        tidy()
    return world


def _use(size: str) -> None:
    """Ask this database from now on; the connections to both stay open."""
    from django.db import connection

    name = connection.settings_dict["NAME"]
    if name != DATABASES[size]:
        _open[name], connection.connection = connection.connection, _open.get(DATABASES[size])
        connection.settings_dict["NAME"] = DATABASES[size]
        connection.ensure_connection()


def _measured(ask: Ask, rounds: int) -> tuple[list[float], list[float]]:
    """(large beside small, large in ms) of each round."""
    ratios, large = [], []
    for _ in range(rounds):
        times: dict[str, list[float]] = {size: [] for size in DATABASES}
        for _ in range(1 + CALLS):
            for size in DATABASES:
                _use(size)
                times[size].append(_time(ask))
        medians = {size: median(measured[1:]) for size, measured in times.items()}
        ratios.append(medians["large"] / medians["small"])
        large.append(medians["large"])
    return ratios, large


def _time(ask: Ask) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def _questions(world: World) -> Iterator[tuple[str, Ask]]:
    member, neighbour = _client(world.member), _client(world.neighbour)
    yield from _equally_long("/api/deployments", member, _lists(world))
    busy = f"/api/clusters/{world.busy.pk}"
    of_cluster = (query for query in _lists(world) if "cluster_id" not in query)
    yield from _equally_long(f"{busy}/deployments", member, of_cluster)
    for query in ("", "status=FAILED", "ordering=-priority", "owner=me"):
        label = f"GET /api/deployments?{query}, the neighbour"
        yield label, neighbour(f"/api/deployments?{query}")
    for path in ("/queue", "/cycles", "/status", "/nodes", "/quotas"):
        yield f"GET /api/clusters/…{path}", member(busy + path)
    yield "GET /api/clusters", member("/api/clusters")
    yield from _of_one(world, member)
    yield "GET /metrics", member("/metrics")
    yield from _admin(world)


def _pairs(world: World) -> Iterator[tuple[str, list[tuple[str, Ask]]]]:
    """What is paired, and each pair of two different parameters of it."""
    lists = [each for each in _lists(world) if each and "&" not in each and "limit" not in each]
    member = _client(world.member)
    yield (
        "parameters of GET /api/deployments",
        list(_equally_long("/api/deployments", member, _paired(lists))),
    )
    page = _page(world)
    for name, path, filters in _admin_lists(world):
        single = [each for each in filters if each and not each.startswith("p=")]
        if pairs := list(_equally_long(path, page, _paired(single))):
            yield f"filters of the admin's {name}", pairs


def _paired(queries: list[str]) -> Iterator[str]:
    for one, other in combinations(queries, 2):
        if one.partition("=")[0] != other.partition("=")[0]:
            yield f"{one}&{other}"


def _equally_long(
    path: str, prepared: Callable[..., Ask], queries: Iterable[str]
) -> Iterator[tuple[str, Ask]]:
    """The lists of these queries, each with as many rows in both databases; without those that are
    refused, that are empty in one alone, or that no limit makes equal."""
    for query in queries:
        address = f"{path}?{query}"
        lengths = {}
        for size in DATABASES:
            _use(size)
            lengths[size] = _rows_of(prepared(address))
        shorter = lengths["small"]
        if lengths["large"] is not None and shorter != lengths["large"]:
            if not shorter or path.startswith("/admin"):
                continue
            address += f"&limit={shorter}"
        elif shorter is None:
            continue
        yield f"GET {address}", prepared(address)


def _rows_of(ask: Ask) -> int | None:
    """None where the list is refused."""
    try:
        content = ask().content
    except RefusedError:
        return None
    if content.startswith(b"["):
        return len(json.loads(content))
    return int(content.count(b"<tr>"))


def _lists(world: World) -> Iterator[str]:
    from django.utils import timezone

    yield ""
    yield "limit=1000"
    for status in ("COMPLETED", "FAILED", "STOPPED", "RUNNING", "QUEUED"):
        yield f"status={status}"
    yield "priority=HIGH"
    yield "priority=LOW"
    yield "owner=me"
    yield f"owner={world.neighbour.pk}"
    for days in (1, 300):
        at = timezone.now() - timedelta(days=days)
        yield f"created_after={at:%Y-%m-%dT%H:%M:%SZ}"
    for column in ("created_at", "priority", "name", "status"):
        yield f"ordering={column}"
        yield f"ordering=-{column}"
    yield f"cluster_id={world.busy.pk}"
    yield "status=FAILED&priority=HIGH"
    yield "owner=me&status=FAILED&ordering=-priority"
    yield "owner=me&ordering=status"
    yield "status=STOPPED&ordering=created_at"


def _of_one(world: World, member: Callable[..., Ask]) -> Iterator[tuple[str, Ask]]:
    from deployments.models import Deployment

    _use("small")
    rows = Deployment.objects.filter(cluster=world.busy, owner=world.member)
    waiting = rows.filter(status="QUEUED").order_by("pk")[0]
    ended = rows.filter(status="COMPLETED").order_by("-pk")[0]
    for name, row in (("waiting", waiting), ("ended", ended)):
        path = f"/api/deployments/{row.pk}"
        yield f"GET /api/deployments/…, {name}", member(path)
        yield f"GET /api/deployments/…/events, {name}", member(f"{path}/events")
    yield "GET /api/deployments/…/explain", member(f"/api/deployments/{waiting.pk}/explain")
    body = workload(str(world.busy.pk), priority="HIGH")
    yield "POST /api/deployments/quote", member("/api/deployments/quote", body)


def _page(world: World) -> Callable[[str], Ask]:
    """Pages of the admin, for an operator who is logged in to both databases."""
    from django.test import Client

    clients = {}
    for size in DATABASES:
        _use(size)
        clients[size] = Client(HTTP_HOST="localhost")
        clients[size].force_login(world.operator)

    def page(path: str) -> Ask:
        from django.db import connection

        names = {name: size for size, name in DATABASES.items()}
        return lambda: _ok(clients[names[connection.settings_dict["NAME"]]].get(path))

    return page


def _admin(world: World) -> Iterator[tuple[str, Ask]]:
    page = _page(world)
    for _, path, queries in _admin_lists(world):
        yield from _equally_long(path, page, queries)
    yield "admin, one cluster", page(f"/admin/clusters/cluster/{world.busy.pk}/change/")


def _admin_lists(world: World) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name, path, and queries of each list of a history."""
    deployments = (
        "",
        "p=3",
        "status__exact=FAILED",
        "status__exact=COMPLETED",
        f"priority_class__id__exact={_high()}",
        "kind__exact=service",
        "kind__exact=job",
        f"cluster__id__exact={world.quiet.pk}",
        f"cluster__organization__id__exact={world.quiet.organization_id}",
        "within=day",
        "q=rare",
        "q=train-resnet-77",
        "q=no-such-thing",
        "q=neighbour",
        "q=registry.example.com/vision/train:3",
        "q=01980000",
        "o=8",
    )
    cycles = (
        "",
        "evicted=some",
        "evicted=none",
        "trigger__exact=SWEEP",
        "trigger__exact=SUBMITTED",
        "trigger__exact=OPERATOR",
        f"cluster__id__exact={world.busy.pk}",
        f"cluster__id__exact={world.quiet.pk}",
        "within=day",
        "q=0198",
    )
    yield "deployments", "/admin/deployments/deployment/", deployments
    yield "cycles", "/admin/scheduler/schedulingcycle/", cycles
    organization = world.busy.organization_id
    users = ("", "is_active__exact=1", "is_staff__exact=0", "is_superuser__exact=0", "q=coll")
    yield "users", "/admin/accounts/user/", users
    clusters = ("", "state__exact=ACTIVE", "q=c1")
    yield "clusters", "/admin/clusters/cluster/", clusters
    nodes = (
        "",
        f"cluster__id__exact={world.busy.pk}",
        f"cluster__organization__id__exact={organization}",
    )
    yield "nodes", "/admin/clusters/node/", nodes
    yield "organizations", "/admin/organizations/organization/", ("", "q=Ours")
    members = ("", "role__exact=ADMIN", f"organization__id__exact={organization}", "q=member")
    yield "memberships", "/admin/organizations/membership/", members


def _high() -> int:
    from deployments.models import PriorityClass

    return int(PriorityClass.objects.get(name="HIGH").pk)


def _client(user: Any) -> Callable[..., Ask]:
    from django.test import Client
    from rest_framework_simplejwt.tokens import AccessToken

    token = AccessToken.for_user(user)
    token.set_exp(lifetime=timedelta(days=1))
    client = Client(HTTP_HOST="localhost", HTTP_AUTHORIZATION=f"Bearer {token}")

    def prepared(path: str, body: dict[str, Any] | None = None) -> Ask:
        if body is None:
            return lambda: _ok(client.get(path))
        return lambda: _ok(client.post(path, body, content_type="application/json"))

    return prepared


class RefusedError(RuntimeError):
    pass


def _ok(response: Any) -> Any:
    if response.status_code != 200:
        path = response.request["PATH_INFO"] + "?" + response.request["QUERY_STRING"]
        raise RefusedError(f"{path}: {response.status_code} {response.content[:300]!r}")
    return response
