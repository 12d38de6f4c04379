"""How soon the platform serves again: a new submit to each cluster runs and ends, reads answer."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from chaos.load.calls import Answer
from chaos.load.journal import Journal, Submit
from chaos.load.load import Load, body_of
from chaos.load.members import Place

LIMIT_S = 60.0
POLL_S, AGAIN_S = 0.05, 0.1
RUNTIME_S = 1
READS = 4  # that have to answer one after the other: there are several web processes


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from the fault's end; None where it took longer than LIMIT_S.

    `runs`: until what was submitted right after it runs, in the slowest of the clusters.
    `reads`: until reads answer. `ends`: by how much the submits end later than they should.
    """

    runs: float | None
    reads: float | None
    ends: float | None


def measure(load: Load, journal: Journal) -> Recovery:
    """Call it at the moment when the fault is over."""
    began = time.monotonic()
    places = load.world.places
    with ThreadPoolExecutor(len(places) + 1) as pool:
        reads = pool.submit(_until_reads_answer, places[0], began)
        probes = [pool.submit(_probe, load, journal, place, began) for place in places]
        measured = [probe.result() for probe in probes]
    return Recovery(
        _slowest([runs for runs, _ in measured]),
        reads.result(),
        _slowest([ends for _, ends in measured]),
    )


def _slowest(seconds: list[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return max(known) if len(known) == len(seconds) else None


def _until_reads_answer(place: Place, began: float) -> float | None:
    in_a_row = 0
    while time.monotonic() - began < LIMIT_S:
        answer = place.member.client().get("/api/deployments?limit=1")  # on a new connection
        in_a_row = in_a_row + 1 if answer.is_fine else 0
        if in_a_row == READS:
            return time.monotonic() - began
        if not answer.is_fine:
            time.sleep(AGAIN_S)
    return None


def _probe(
    load: Load, journal: Journal, place: Place, began: float
) -> tuple[float | None, float | None]:
    """Until it runs, and by how much it ends too late."""
    client = place.member.client()
    submit = Submit(journal.new_name(), place.cluster_id, "HIGH", RUNTIME_S)
    submit.key = f"key-{submit.name}"
    if not load.submit(client, [submit], [body_of(submit, cpu=0.1)]).is_fine:
        return None, None

    def until(*wanted: str) -> float | None:
        return _until(
            lambda: client.get(f"/api/deployments/{submit.id}"),
            lambda answer: answer.is_fine and answer.body["status"] in wanted,
            began + LIMIT_S,
        )

    runs_at = until("RUNNING", "COMPLETED")
    ends_at = until("COMPLETED") if runs_at is not None else None
    if runs_at is None:
        return None, None
    if ends_at is None:
        return runs_at - began, None
    return runs_at - began, max(0.0, ends_at - runs_at - RUNTIME_S)


def _until(
    ask: Callable[[], Answer], is_fine: Callable[[Answer], bool], deadline: float
) -> float | None:
    """When it came true, by time.monotonic()."""
    while time.monotonic() < deadline:
        if is_fine(ask()):
            return time.monotonic()
        time.sleep(POLL_S)
    return None
