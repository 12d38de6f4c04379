"""Amounts, times and durations, as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any, Final

import click

UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_PART = re.compile(r"(\d+)([dhms])")


def now() -> datetime:
    return datetime.now(timezone.utc)


def seconds_in(text: str) -> int:
    """`90`, `90s`, `15m`, `2h30m` or `1d` as seconds."""
    if text.isdigit():
        return int(text)
    if not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        raise ValueError(f"{text!r} is no duration such as 90s, 15m, 2h30m or 1d.")
    return sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))


class Duration(click.ParamType):
    """An option's duration, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else seconds_in(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def duration(seconds: float) -> str:
    """The two largest units: `45s`, `3m10s`, `2h5m`, `4d1h`."""
    left = max(0, int(seconds))
    parts = []
    for unit, size in UNITS.items():
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number}{unit}")
        elif parts:
            break
    return "".join(parts[:2]) or "0s"


def age(since: datetime | None, until: datetime | None = None) -> str:
    return "" if since is None else duration(((until or now()) - since).total_seconds())


def clock(at: datetime | None) -> str:
    """A moment in the local time zone: `14:05:10`, or `Mar 2 14:05` on another day."""
    if at is None:
        return ""
    local = at.astimezone()
    same_day = local.date() == now().astimezone().date()
    return local.strftime("%H:%M:%S" if same_day else "%b %-d %H:%M")


def moment(at: datetime | None) -> str:
    """A moment that is to come: `14:05:10 (in 3m)`."""
    if at is None:
        return ""
    left = (at - now()).total_seconds()
    return f"{clock(at)} (in {duration(left)})" if left > 0 else f"{clock(at)} (any moment)"


def memory(mib: float | None) -> str:
    """MiB as the platform's users write them: `512Mi`, `16Gi`, `1.5Ti`."""
    if mib is None:
        return ""
    if mib == 0:
        return "0"
    size = float(mib)
    for unit in ("Mi", "Gi"):
        if size < 1024:
            return f"{size:.4g}{unit}"
        size /= 1024
    return f"{size:.4g}Ti"


def exact_memory(mib: int) -> str:
    """MiB as an option takes them, not rounded."""
    return f"{mib // 1024}Gi" if mib % 1024 == 0 else f"{mib}Mi"


def cores(cpu: float | None) -> str:
    return "" if cpu is None else f"{cpu:g}"


def many(number: int, thing: str) -> str:
    """`1 GPU`, `3 GPUs`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def request(row: Any) -> str:
    """What a deployment asks for: `2 times 8 GPUs, 16 CPUs, 64Gi`."""
    gpu = row["required_gpu"]
    gpus = "all GPUs" if gpu == "all" else many(gpu, "GPU")
    cpus = f"{row['required_cpu']:g} CPU" + ("" if row["required_cpu"] == 1 else "s")
    text = f"{gpus}, {cpus}, {memory(row['required_ram'])}"
    return text if row.get("replicas", 1) == 1 else f"{row['replicas']} times {text}"
