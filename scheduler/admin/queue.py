"""The queue of a cluster in its order, and why a deployment waits, for operators."""

import json
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from rest_framework.exceptions import APIException
from rest_framework.utils.encoders import JSONEncoder

from accounts.models import User
from clusters.models import Cluster
from deployments.admin.presentation import reason_of
from deployments.models import Deployment, Status
from deployments.reasons.reader import reasons_for
from mlops_platform.admin.markup import ago, cpu_usage, gpu_usage, ram_usage, request, to_page
from mlops_platform.admin.sections import Section, add_section
from mlops_platform.api.throttling.concurrency import slot
from scheduler import queries
from scheduler.answers.explain import explain
from scheduler.answers.shares import shares_of
from scheduler.api.whatif_serializers import ExplanationSerializer

MOST = 100
HEADERS = ("Position", "Deployment", "Owner", "Priority, request", "Waits since", "Why")


def queue(http: HttpRequest, cluster_id: str) -> HttpResponse:
    """The first in line, as the engine orders them."""
    _check(http)
    cluster = get_object_or_404(Cluster.objects.select_related("organization"), pk=cluster_id)
    rows = list(queries.queue_of(cluster)[: MOST + 1])
    reasons = reasons_for(rows[:MOST])
    shown = [
        [
            number,
            to_page(row),
            to_page(row.owner),
            f"{row.priority_class.name}, "
            f"{request(row.cpu_milli, row.ram_mib, row.gpu, row.replicas)}",
            ago(row.queued_at),
            reason_of(reasons.get(row.pk)),
        ]
        for number, row in enumerate(rows[:MOST], 1)
    ]
    more = f", the first {MOST}" if len(rows) > MOST else ""
    usages = (
        ("GPUs", gpu_usage(cluster.allocated_gpu, cluster.total_gpu)),
        ("CPU", cpu_usage(cluster.allocated_cpu_milli, cluster.total_cpu_milli)),
        ("RAM", ram_usage(cluster.allocated_ram_mib, cluster.total_ram_mib)),
    )
    sections = [
        Section("In use", [name for name, _ in usages], [[usage for _, usage in usages]]),
        Section(f"In its order{more}", HEADERS, shown, "Nothing waits."),
    ]
    return _page(http, f"Queue of {cluster.name} ({cluster.organization.name})", cluster, sections)


def why(http: HttpRequest, deployment_id: str) -> HttpResponse:
    """The answer of `explain`, which the planner gives."""
    _check(http)
    owner = Prefetch("owner", User.objects.only("username"))
    rows = Deployment.objects.select_related("cluster", "priority_class").prefetch_related(owner)
    deployment = get_object_or_404(rows, pk=deployment_id)
    try:
        with slot(shares_of(deployment.cluster)):
            found = ExplanationSerializer(explain(deployment)).data
    except APIException as refusal:
        sections = [Section("Not answered", none=str(refusal.detail))]
        return _page(http, f"Why {deployment.name} waits", deployment, sections)
    occupants = [
        [
            format_html(
                '<a href="{}">{}</a>',
                reverse("admin:deployments_deployment_change", args=[each["deployment_id"]]),
                each["name"],
            ),
            each["owner"],
            each["priority"],
            _amounts(each["allocated"]),
            each["ends_at"] or "no limit",
        ]
        for each in found["allocated_to"]
    ]
    reason = found["reason"] or {"message": "It does not wait.", "code": deployment.status}
    sentences = [
        [what, found[name]["message"]]
        for name, what in (("ahead", "Ahead of it"), ("eta", "When"))
        if found[name]
    ]
    rest = {
        name: found[name]
        for name in ("queue_position", "ahead", "eta", "reserved_since", "starts_now_with")
    }
    sections = [
        Section("Reason", ("Sentence", "Code"), [[reason["message"], reason["code"]]]),
        Section(
            "What has allocated what it needs",
            ("Deployment", "Owner", "Priority", "Allocated", "Ends by"),
            occupants,
            "Nothing that could end would help.",
        ),
        Section("When it starts", ("Question", "Answer"), sentences, "It is not known."),
        Section("With what it would start now", ("As the API answers",), [[_text(rest)]]),
    ]
    return _page(http, f"Why {deployment.name} waits", deployment, sections)


def queue_link(cluster: Cluster) -> Section:
    address = reverse("admin:clusters_cluster_queue", args=[cluster.pk])
    return Section("Queue", links=[format_html('<a href="{}">In its order</a>', address)])


def why_link(deployment: Deployment) -> Section | None:
    if deployment.status != Status.QUEUED:
        return None
    address = reverse("admin:deployments_deployment_why", args=[deployment.pk])
    text = "Why it waits, and what would start it"
    return Section("Explanation", links=[format_html('<a href="{}">{}</a>', address, text)])


def _check(http: HttpRequest) -> None:
    if not http.user.has_perm("deployments.view_deployment"):
        raise PermissionDenied


def _amounts(allocated: dict[str, Any]) -> str:
    return f"{allocated['cpu']} cores, {allocated['ram']} MiB, {allocated['gpu']} GPUs"


def _text(values: Any) -> Any:
    text = json.dumps(values, indent=1, cls=JSONEncoder)
    return format_html(
        '<details><summary>All values</summary><pre class="mono">{}</pre></details>', text
    )


def _page(http: HttpRequest, title: str, of: Any, sections: list[Section]) -> HttpResponse:
    context = {
        **admin.site.each_context(http),
        "title": title,
        "opts": of._meta,
        "original": of,
        "sections": sections,
    }
    return TemplateResponse(http, "operators/sections_page.html", context)


PAGES = [
    path(
        "clusters/cluster/<uuid:cluster_id>/queue/",
        admin.site.admin_view(queue),
        name="clusters_cluster_queue",
    ),
    path(
        "deployments/deployment/<uuid:deployment_id>/why/",
        admin.site.admin_view(why),
        name="deployments_deployment_why",
    ),
]
admin.site.pages.extend(PAGES)  # type: ignore[attr-defined]  # operator_site.py
add_section(Cluster, queue_link)
add_section(Deployment, why_link)
