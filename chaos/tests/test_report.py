"""The table says what was measured, and a run with any finding fails."""

from collections import Counter
from pathlib import Path

import pytest

from chaos import report
from chaos.__main__ import verdict
from chaos.campaign import Fault, Result
from chaos.checks.findings import Breach, Finding
from chaos.checks.recovery import Recovery
from chaos.load.calls import Came, Trouble


def fault(kind: str, began_at: float, runs: float | None = 1.0) -> Fault:
    return Fault(kind, began_at, began_at + 1, Recovery(runs, 0.5, 0.0))


def result(*findings: Finding, troubles: tuple[Trouble, ...] = ()) -> Result:
    faults = [fault("killed", 10), fault("frozen", 20, runs=3.0), fault("killed", 30, runs=2.0)]
    return Result(
        "make run",
        faults=faults,
        findings=list(findings),
        troubles=list(troubles),
        calls=Counter({Came.FINE: 7}),
    )


def cells(results: list[Result]) -> dict[str, list[str]]:
    """The table's rows by their first cell."""
    lines = report.table(results).splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in rows}


def test_each_kind_has_median_and_worst() -> None:
    rows = cells([result(), result()])
    assert rows["killed"][:4] == ["4", "1.5 / 2.0", "0.5 / 0.5", "0.0 / 0.0"]
    assert rows["frozen"][:2] == ["2", "3.0 / 3.0"]
    assert rows["**all**"][:2] == ["6", "2.0 / 3.0"]


def test_what_never_recovers_is_the_worst() -> None:
    one = Result("make run", faults=[fault("killed", 1), fault("killed", 2, runs=None)])
    assert cells([one])["killed"][1] == "1.0 / never"


def test_findings_and_troubles_count_for_the_fault_that_had_begun_last() -> None:
    one = result(
        Finding(Breach.LOST, 12.0, "gone"),
        Finding(Breach.LOST, 19.9, "gone"),
        Finding(Breach.DOUBLED, 20.0, "twice"),
        Finding(Breach.OVERCOMMITTED, 31.0, "too much"),
        troubles=(
            Trouble(21.0, Came.AWAY, ""),
            Trouble(22.0, Came.BROKEN, ""),
            Trouble(35.0, Came.CUT, ""),
            Trouble(36.0, Came.SILENT, ""),
            Trouble(5.0, Came.AWAY, ""),
        ),
    )
    rows = cells([one])
    assert rows["killed"][4:] == ["2", "0", "1", "0", "0", "2"]
    assert rows["frozen"][4:] == ["0", "1", "0", "1", "1", "0"]
    assert rows["**all**"][4:] == ["2", "1", "1", "1", "2", "2"]


def test_only_a_few_sentences_of_one_breach_are_shown() -> None:
    lost = [Finding(Breach.LOST, 12.0, f"number {number}") for number in range(9)]
    lines = report.findings([result(*lost, Finding(Breach.REPLAY, None, "differs"))]).splitlines()
    assert lines[0] == "make run: killed: lost: number 0"
    assert lines[-1] == "make run: killed: lost: and 4 more"
    assert "make run: at the end: replay: differs" in lines
    assert len(lines) == report.SENTENCES_OF_A_KIND + 2


@pytest.mark.parametrize("breach", Breach)
def test_any_finding_fails_the_run(breach: Breach) -> None:
    assert verdict([result(Finding(breach, 12.0, "wrong"))], asked=3) == 1


def test_a_sound_run_passes() -> None:
    assert verdict([result()], asked=3) == 0


def test_a_run_that_injected_too_little_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict([result()], asked=5) == 0
    assert "Only 3 of 5" in capsys.readouterr().err
    assert verdict([result()], asked=7) == 1


def test_figures_are_written_as_json(tmp_path: Path) -> None:
    assert '"breach": "lost"' in report.as_json([result(Finding(Breach.LOST, 12.0, "x"))], seed=1)
