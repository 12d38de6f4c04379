"""What runs and ran on a node, on its page, and what a user has allocated, on theirs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Count, F, Min, Q, Sum
from django.urls import reverse
from django.utils.html import format_html

from accounts.models import User
from clusters.models import Cluster, Node
from deployments.admin.presentation import status_badge
from deployments.models import ALLOCATED, ENDED, PLACED, UNENDED, Deployment, Status
from deployments.queries.conditions import has_run_on
from deployments.queries.lists import Selection, list_of
from mlops_platform.admin.markup import EMPTY, ago, figure, ram, request, to_list, to_page
from mlops_platform.admin.sections import Section, add_section
from mlops_platform.api.fields import cores
from mlops_platform.api.ids import parse_uuid

MOST_RUNNING, MOST_ENDED, MOST_CLUSTERS = 100, 20, 50
OF_WHOM = ("owner__id__exact", "cluster__id__exact", "cluster__organization__id__exact")
HEADERS = ("Deployment", "Status", "Owner", "Request", "Since")


def running_on(node: Node) -> Section:
    """One query."""
    placed = Deployment.objects.filter(
        cluster=node.cluster_id, status__in=PLACED, placement__contains=[{"node_id": str(node.pk)}]
    )
    rows = placed.select_related("owner").order_by("-started_at")[:MOST_RUNNING]
    return Section("What runs here", HEADERS, _rows(rows, "started_at"), "Nothing runs here.")


def ended_on(node: Node) -> Section:
    """Those that ended last, of what ran here in any attempt. Four queries."""
    here = Cluster.with_deleted.filter(pk=node.cluster_id)
    chosen = Selection(here, statuses=ENDED, conditions=(has_run_on([node.pk]),))
    rows = list_of(Deployment.objects.select_related("owner"), chosen).first_rows(MOST_ENDED)
    shown = _rows(rows, "finished_at")
    return Section("What ran here", HEADERS, shown, "Nothing has ended here.")


def allocated_to(user: User) -> Section:
    """By cluster. One query."""
    rows = (
        Deployment.objects.filter(owner=user, status__in=UNENDED)
        .order_by("cluster__organization__name", "cluster__name")
        .values("cluster_id", "cluster__name", "cluster__organization__name")
        .annotate(
            gpus=Sum(F("gpu") * F("replicas"), filter=ALLOCATED, default=0),
            cpu=Sum(F("cpu_milli") * F("replicas"), filter=ALLOCATED, default=0),
            ram=Sum(F("ram_mib") * F("replicas"), filter=ALLOCATED, default=0),
            running=Count("pk", filter=ALLOCATED),
            waiting=Count("pk", filter=Q(status=Status.QUEUED)),
            since=Min("queued_at", filter=Q(status=Status.QUEUED)),
        )
    )
    headers = ("Cluster", "GPUs", "Waiting", "Running", "Cores", "RAM", "First waits since")
    shown = [_of_cluster(user, row) for row in rows[:MOST_CLUSTERS]]
    links = [to_list(Deployment, "All deployments of this user", owner__id__exact=user.pk)]
    return Section("Allocated", headers, shown, "Nothing runs or waits.", links)


def totals(filters: Mapping[str, Sequence[str]]) -> list[tuple[str, Any]]:
    """One query, none without any of OF_WHOM, or with a value that is no id."""
    chosen = {name: parse_uuid(filters[name][-1]) for name in OF_WHOM if name in filters}
    if not chosen or not all(chosen.values()):
        return []
    found = Deployment.objects.filter(ALLOCATED, **chosen).aggregate(
        gpus=Sum(F("gpu") * F("replicas"), default=0),
        cpu=Sum(F("cpu_milli") * F("replicas"), default=0),
        ram=Sum(F("ram_mib") * F("replicas"), default=0),
        running=Count("pk"),
    )
    return [
        ("Running", found["running"]),
        ("GPUs allocated", found["gpus"]),
        ("cores", figure(cores(found["cpu"]))),
        ("RAM", ram(found["ram"])),
    ]


def output_of(deployment: Deployment) -> Section:
    """A link to the output, which a worker reads at the endpoint."""
    name = "admin:deployments_deployment_output"
    text = "The last 1,000 lines of replica {}"
    links = [
        format_html(
            '<a href="{}">{}</a>',
            reverse(name, args=[deployment.pk], query={"replica": number}),
            text.format(number),
        )
        for number in range(min(deployment.replicas, 8))
    ]
    return Section("Output", links=links)


def _rows(rows: Iterable[Deployment], at: str) -> list[list[Any]]:
    return [
        [
            to_page(row),
            status_badge(row.status),
            to_page(row.owner),
            request(row.cpu_milli, row.ram_mib, row.gpu, row.replicas),
            ago(getattr(row, at)),
        ]
        for row in rows
    ]


def _of_cluster(user: User, row: Mapping[str, Any]) -> list[Any]:
    where = {"owner__id__exact": user.pk, "cluster__id__exact": row["cluster_id"]}
    return [
        f"{row['cluster__organization__name']} / {row['cluster__name']}",
        row["gpus"],
        to_list(Deployment, row["waiting"], **where, status__exact=Status.QUEUED),
        to_list(Deployment, row["running"], **where, status__in=",".join(PLACED)),
        figure(cores(row["cpu"])),
        ram(row["ram"]),
        ago(row["since"]) if row["since"] else EMPTY,
    ]


def register() -> None:
    for make in (running_on, ended_on):
        add_section(Node, make)
    add_section(User, allocated_to)
    add_section(Deployment, output_of)
