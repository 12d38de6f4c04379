"""The table of a run: by kind, how soon service was back, and what was lost."""

import json
import platform as machine
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from chaos.campaign import Fault, Result
from chaos.checks.findings import Breach, Finding
from chaos.load.calls import Came

HEADINGS = (
    "fault",
    "times",
    "runs again",
    "reads again",
    "ends late",
    "lost",
    "doubled",
    "over-committed",
    "5xx",
    "503",
    "cut",
)
SENTENCES_OF_A_KIND = 5
BEFORE, AT_THE_END = "before the first fault", "at the end"


def table(results: Sequence[Result]) -> str:
    """In Markdown. Times are seconds, median and worst."""
    faults: dict[str, list[Fault]] = defaultdict(list)
    for result in results:
        for fault in result.faults:
            faults[fault.kind].append(fault)
    counts = _counts(results)
    lines = [_row(HEADINGS), _row(["---", *["---:"] * (len(HEADINGS) - 1)])]
    for kind, some in sorted(faults.items()):
        recoveries = [each.recovery for each in some]
        lines.append(
            _row(
                [
                    kind,
                    len(some),
                    _seconds([each.runs for each in recoveries]),
                    _seconds([each.reads for each in recoveries]),
                    _seconds([each.ends for each in recoveries]),
                    *counts[kind],
                ]
            )
        )
    recoveries = [each.recovery for some in faults.values() for each in some]
    lines.append(
        _row(
            [
                "**all**",
                len(recoveries),
                _seconds([each.runs for each in recoveries]),
                _seconds([each.reads for each in recoveries]),
                _seconds([each.ends for each in recoveries]),
                *map(sum, zip(*counts.values(), strict=True)),
            ]
        )
    )
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    lines = []
    for result in results:
        calls = ", ".join(f"{result.calls[came]:,} {came}" for came in Came if result.calls[came])
        lines.append(
            f"{result.platform}: {len(result.faults)} faults of"
            f" {len({fault.kind for fault in result.faults})} kinds; {result.acknowledged:,}"
            f" submits acknowledged; {result.samples:,} looks at the capacity;"
            f" {result.cycles:,} cycles replayed; calls: {calls}."
        )
        lines += [f"  not injected: {name}: {why}" for name, why in sorted(result.reasons.items())]
    return "\n".join(lines)


def findings(results: Sequence[Result]) -> str:
    """A line for each, up to a few of each breach of each fault."""
    lines = []
    for result in results:
        seen: dict[tuple[str, Breach], int] = defaultdict(int)
        for each in result.findings:
            kind = _kind(result, each)
            seen[kind, each.breach] += 1
            if seen[kind, each.breach] <= SENTENCES_OF_A_KIND:
                lines.append(f"{result.platform}: {kind}: {each.breach}: {each.sentence}")
        lines += [
            f"{result.platform}: {kind}: {breach}: and {number - SENTENCES_OF_A_KIND} more"
            for (kind, breach), number in seen.items()
            if number > SENTENCES_OF_A_KIND
        ]
    return "\n".join(lines)


def as_json(results: Sequence[Result], seed: int) -> str:
    """Everything that was measured."""
    shown: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine.machine(),
        "seed": seed,
        "platforms": [
            {
                "platform": result.platform,
                "faults": [
                    {
                        "kind": fault.kind,
                        "lasted": round(fault.over_at - fault.began_at, 3),
                        **asdict(fault.recovery),
                    }
                    for fault in result.faults
                ],
                "not_injected": result.reasons,
                "findings": [
                    {"fault": _kind(result, each), "breach": each.breach, "sentence": each.sentence}
                    for each in result.findings
                ],
                "calls": result.calls,
                "acknowledged": result.acknowledged,
                "samples": result.samples,
                "cycles": result.cycles,
            }
            for result in results
        ],
    }
    return json.dumps(shown, indent=1) + "\n"


def _counts(results: Sequence[Result]) -> dict[str, list[int]]:
    """By kind: lost, doubled, over-committed, 5xx, 503, cut."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 6)
    columns = {Breach.LOST: 0, Breach.DOUBLED: 1, Breach.OVERCOMMITTED: 2}
    came = {Came.BROKEN: 3, Came.AWAY: 4, Came.CUT: 5, Came.SILENT: 5}
    for result in results:
        for each in result.findings:
            if each.breach in columns:
                counts[_kind(result, each)][columns[each.breach]] += 1
        for trouble in result.troubles:
            if trouble.came in came:
                fault = result.fault_at(trouble.at)
                counts[fault.kind if fault else BEFORE][came[trouble.came]] += 1
    return counts


def _kind(result: Result, finding: Finding) -> str:
    if finding.at is None:
        return AT_THE_END
    fault = result.fault_at(finding.at)
    return fault.kind if fault else BEFORE


def _seconds(measured: Sequence[float | None]) -> str:
    """Median and worst."""
    known = [each for each in measured if each is not None]
    middle = f"{median(known):.1f}" if known else "never"
    worst = f"{max(known):.1f}" if len(known) == len(measured) else "never"
    return f"{middle} / {worst}"


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
