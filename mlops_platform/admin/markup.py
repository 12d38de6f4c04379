"""Small pieces of HTML for the operators' pages; their style is in operators.css."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from mlops_platform.api.fields import cores

GIB = 1024  # MiB
AMBER, RED = 0.75, 0.9  # of a bar
EMPTY = "-"  # as the admin's lists show it; its pages would say None


def badge(text: str, tone: str = "quiet") -> SafeString:
    """`tone`: good, busy, waiting, bad or quiet. The text says everything without the colour."""
    return format_html('<span class="badge badge-{}">{}</span>', tone, text)


def usage(used: float, total: float, unit: str) -> SafeString:
    """`6 / 8 GPUs, 75 %` over a bar, amber above 75 % and red above 90 %. The bar repeats the text,
    so it is hidden from readers."""
    if not total:
        return format_html('<span class="usage">no {}</span>', unit)
    percent = int(100 * used / total)
    return format_html(
        '<span class="usage">{} / {} {}, {} %'
        '<meter min="0" max="{}" low="{}" high="{}" optimum="0" value="{}" aria-hidden="true">'
        "</meter></span>",
        figure(used),
        figure(total),
        unit,
        max(percent, 1) if used else 0,
        total,
        total * AMBER,
        total * RED,
        used,
    )


def cpu_usage(used_milli: int, total_milli: int) -> SafeString:
    return usage(cores(used_milli), cores(total_milli), "cores")


def ram_usage(used_mib: int, total_mib: int) -> SafeString:
    if total_mib < GIB:
        return usage(used_mib, total_mib, "MiB")
    return usage(used_mib / GIB, total_mib / GIB, "GiB")


def gpu_usage(used: int, total: int) -> SafeString:
    return usage(used, total, "GPU" if total == 1 else "GPUs")


def figure(number: float) -> str:
    """At most two decimals, and none that is zero: `4`, `2.5`, `0.33`."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def ram(mib: int) -> str:
    """`512 MiB`, `16 GiB`; never rounded, for people compare it with what they asked for."""
    return f"{mib // GIB} GiB" if mib >= GIB and mib % GIB == 0 else f"{mib} MiB"


def request(cpu_milli: int, ram_mib: int, gpu: int, replicas: int = 1) -> str:
    """`4 cores, 16 GiB, 2 GPUs`, and `2 replicas of …` for two of that."""
    parts = [
        f"{figure(cores(cpu_milli))} {'core' if cpu_milli == 1000 else 'cores'}",
        ram(ram_mib),
    ]
    if gpu:
        parts.append(f"{gpu} {'GPU' if gpu == 1 else 'GPUs'}")
    one = ", ".join(parts)
    return one if replicas == 1 else f"{replicas} replicas of {one}"


def ago(moment: datetime | None) -> SafeString | str:
    """`3 minutes ago`, with the moment itself to hover over."""
    if moment is None:
        return EMPTY
    passed = timezone.now() - moment
    said = "just now" if passed < timedelta(minutes=1) else f"{timesince(moment, depth=1)} ago"
    return format_html(
        '<time datetime="{0}" title="{0}">{1}</time>', moment.isoformat(timespec="seconds"), said
    )


def to_page(instance: Any, text: str | None = None) -> SafeString:
    """A link to the page of an object."""
    meta = instance._meta
    page = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[instance.pk])
    return format_html('<a href="{}">{}</a>', page, text or str(instance))


def to_list(model: Any, text: str | int, **parameters: Any) -> SafeString:
    """A link to a filtered list: `to_list(Deployment, 3, status__exact="QUEUED")`."""
    meta = model._meta
    page = reverse(
        f"admin:{meta.app_label}_{meta.model_name}_changelist",
        query={name: str(value) for name, value in parameters.items()},
    )
    return format_html('<a href="{}">{}</a>', page, text)


def facts(values: Mapping[str, Any]) -> SafeString:
    """Names and values on one line; nested ones as `outer inner`."""
    pairs = [(name.replace("_", " "), value) for name, value in _flat(values)]
    return SafeString(render_to_string("operators/facts.html", {"facts": pairs}))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value.keys() == {"from", "to"}:
            yield f"{prefix}{name}", f"{value['from']} → {value['to']}"
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{name}", value
