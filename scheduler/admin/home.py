"""The operators' home as their first page shows it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import User
from clusters.models import Cluster
from deployments.models import PLACED, Deployment, Status
from mlops_platform.admin.markup import badge, cpu_usage, figure, gpu_usage, ram, to_list
from mlops_platform.api.fields import cores
from organizations.models import Organization
from scheduler.home import page
from scheduler.home.lights import Tone
from scheduler.home.page import ClusterRow, OwnerRow

WORDS = {
    Tone.GOOD: ("good", "good"),
    Tone.WATCH: ("watch", "waiting"),
    Tone.ACT: ("act", "bad"),
    Tone.UNKNOWN: ("unknown", "waiting"),
}
"""The word and the tone of a badge."""


def home_context() -> dict[str, Any]:
    """For operators/home.html. The queries of page.home."""
    home = page.home()
    return {
        "summary": home.summary,
        "summary_tone": WORDS[home.tone][1],
        "lights": [(each.name, badge(*WORDS[each.tone]), each.sentence) for each in home.lights],
        "clusters": None if home.clusters is None else list(map(_cluster, home.clusters)),
        "owners": [
            ("Organizations", "organization", _owners(home.organizations, Organization)),
            ("Users", "user", _owners(home.users, User)),
        ],
    }


def _cluster(row: ClusterRow) -> dict[str, Any]:
    which = {"cluster__id__exact": row.id}
    return {
        "name": _to(Cluster, row.id, row.name),
        "organization": row.organization,
        "gpu": gpu_usage(*row.gpu),
        "cpu": cpu_usage(*row.cpu_milli),
        "waiting": to_list(Deployment, row.waiting, **which, status__exact=Status.QUEUED),
        "running": to_list(Deployment, row.running, **which, status__in=",".join(PLACED)),
        "troubles": "; ".join(row.troubles) or "none",
    }


def _owners(rows: Iterable[OwnerRow] | None, model: Any) -> list[dict[str, Any]] | None:
    if rows is None:
        return None
    return [
        {
            "name": _to(model, row.id, row.name),
            "gpu": row.gpu,
            "cpu": figure(cores(row.cpu_milli)),
            "ram": ram(row.ram_mib),
            "running": row.running,
        }
        for row in rows
    ]


def _to(model: Any, key: object, text: str) -> SafeString:
    meta = model._meta
    address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[key])
    return format_html('<a href="{}">{}</a>', address, text)


admin.site.home = home_context  # type: ignore[attr-defined]  # operator_site.py
