"""The results of benchmarks, and their files."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass
class Figure:
    """One line of a table: the value of each round. A `reference` is for comparison."""

    label: str
    unit: str
    rounds: list[float]
    reference: bool = False

    @property
    def median(self) -> float:
        return median(self.rounds)


@dataclass
class Result:
    """One benchmark's table: `name` is its file's, `title` its heading, `notes` explain it."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, label: str, unit: str, rounds: list[float], *, reference: bool = False) -> None:
        self.figures.append(Figure(label, unit, [round(each, 3) for each in rounds], reference))


def percentile(values: list[float], percent: int) -> float:
    """The value below which so many percent lie; of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def write(results: list[Result], seconds: float) -> Path:
    """Write one JSON file per result, and a page with all tables; returns the page's path."""
    RESULTS.mkdir(exist_ok=True)
    about = _about(seconds)
    for result in results:
        body = {"about": about, **asdict(result)}
        (RESULTS / f"{result.name}.json").write_text(json.dumps(body, indent=1) + "\n")
    page = RESULTS / "README.md"
    page.write_text(_page(about))
    return page


def table(result: Result) -> str:
    """Markdown; median over the rounds, with the least and the most."""
    lines = [f"## {result.title}", "", "| | median | least | most | unit | rounds |"]
    lines.append("|---|---:|---:|---:|---|---:|")
    for each in result.figures:
        label = f"*{each.label}*" if each.reference else each.label
        numbers = (each.median, min(each.rounds), max(each.rounds))
        cells = " | ".join(_number(number) for number in numbers)
        lines.append(f"| {label} | {cells} | {each.unit} | {len(each.rounds)} |")
    return "\n".join([*lines, "", *result.notes, ""])


def _page(about: dict[str, Any]) -> str:
    """The page of all recorded results, so a run of one benchmark keeps the others' tables."""
    tables = []
    for path in sorted(RESULTS.glob("*.json")):
        body = json.loads(path.read_text())
        figures = [Figure(**each) for each in body["figures"]]
        tables.append(table(Result(body["name"], body["title"], figures, body["notes"])))
    head = [
        "# Results",
        "",
        "Written by `make bench`. References, in italics, were measured in the same run. Clients, "
        "servers and databases share the machine.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
    ]
    return "\n".join([*head, *tables])


def _number(value: float) -> str:
    return (
        f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:,.1f}"
        if abs(value) >= 10
        else f"{value:,.2f}"
    )


def _about(seconds: float) -> dict[str, Any]:
    cpu = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line
    ]
    ram_kib = next(
        (int(line.split()[1]) for line in _lines("/proc/meminfo") if "MemTotal" in line), 0
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=RESULTS.parent,
    ).stdout.strip()
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit or "unknown",
        "machine": f"{os.cpu_count()} x {cpu[0] if cpu else 'unknown'}, {ram_kib / 2**20:.0f} GiB",
        "python": sys.version.split()[0],
        "took": f"{seconds:.0f} s",
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
