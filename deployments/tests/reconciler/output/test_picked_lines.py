"""Lines of a log by their times, their contents and their number, while it runs and later."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from clusters.models import Node
from deployments import log_selection
from deployments.models import DeploymentLog
from deployments.output import at_endpoint
from deployments.runtimes.log_lines import LONGEST_LINE, packed
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.workloads import make

pytestmark = pytest.mark.django_db

LINES = [b"epoch 1", b"loss nan", b"epoch 2\rloss 0.5", b"caf\xe9 \xff", b"loss 0.25", b"end"]
STAMPS = [b"2026-03-01T09:30:0%d.123456789Z" % n for n in range(len(LINES))]
# The query, and which of the lines it answers.
PICKED = {
    "grep=loss": [1, 2, 4],
    "grep=loss&tail=2": [2, 4],
    "grep=loss&tail=0": [],
    "grep=loss&skip=1&limit=1": [2],
    "grep=loss&skip=5": [],
    "grep=Loss": [],
    "grep=.": [2, 4],
    "grep=%0Dloss": [2],
    "grep=a": [1, 3],
    "skip=2": [2, 3, 4, 5],
    "skip=2&limit=2": [2, 3],
    "limit=1": [0],
    "limit=100": [0, 1, 2, 3, 4, 5],
    "skip=6": [],
    "since=2026-03-01T09:30:02.123456Z": [2, 3, 4, 5],
    "since=2026-03-01T09:30:02.123457Z": [3, 4, 5],
    "since=2026-03-01T14:30:04%2B05:00": [4, 5],
    "until=2026-03-01T09:30:01.123456789Z": [0, 1],
    "until=2026-03-01T09:30:01.123Z": [0],
    "until=2026-03-01T09:30:03Z&tail=1": [2],
    "since=2026-03-01T09:30:01Z&until=2026-03-01T09:30:03Z&grep=loss": [1, 2],
    "since=2026-03-01T09:30:01Z&until=2026-03-01T09:30:01Z": [],
    "since=2026-03-01T09:30:01Z&limit=1": [1],
    "since=2026-03-01T09:30:01Z&tail=2": [4, 5],
    "timestamps=true&since=2999-01-01T00:00:00Z": [],
}


def read(api, person, row, query: str) -> bytes:
    answer = api(person).get(f"/api/deployments/{row.pk}/logs?{query}")
    assert answer.status_code == 200, answer.content
    return answer.getvalue()


def at(stamp: bytes) -> datetime:
    return datetime.fromisoformat(stamp.decode()).astimezone(UTC)


@pytest.fixture
def kept(cluster, dev):
    row = make(cluster, dev, attempt=1)
    DeploymentLog.objects.create(
        deployment=row, attempt=1, replica=0, output=b"\n".join(LINES), times=packed(STAMPS)
    )
    return row


@pytest.fixture
def running(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    written = testbed.runtime_of(a)._containers[testbed.key(row)].written
    for stamp, line in zip(STAMPS, LINES, strict=True):
        written.append((at(stamp), line + b"\n" * (line != LINES[-1])))
    return row


@pytest.mark.parametrize(("query", "expected"), PICKED.items())
@pytest.mark.parametrize("state", ["kept", "running"])
def test_lines_are_picked_alike_while_it_runs_and_later(api, vera, request, state, query, expected):
    row = request.getfixturevalue(state)
    whole = b"".join(line + b"\n" for line in LINES[:-1]) + LINES[-1]
    assert read(api, vera, row, "tail=100") == whole
    found = read(api, vera, row, query)
    assert found.removesuffix(b"\n") == b"\n".join(LINES[n] for n in expected)
    assert found.endswith(b"\n") == (bool(expected) and expected[-1] != len(LINES) - 1)


@pytest.mark.parametrize("query", ["", "&grep=loss", "&tail=3", "&skip=1&limit=3"])
def test_each_line_begins_with_its_time_if_asked(api, vera, kept, query):
    with_times = read(api, vera, kept, f"timestamps=true{query}").split(b"\n")
    without = read(api, vera, kept, f"timestamps=false{query}").split(b"\n")
    expected = {line: stamp + b" " + line for stamp, line in zip(STAMPS, LINES, strict=True)}
    assert with_times == [expected.get(line, b"") for line in without]


@pytest.mark.parametrize(
    ("person", "status"), [("vera", 200), ("dev", 200), ("ada", 200), ("sam", 404), (None, 401)]
)
def test_members_may_pick_lines(api, anyone, request, running, person, status):
    client = api(request.getfixturevalue(person)) if person else anyone
    answer = client.get(f"/api/deployments/{running.pk}/logs?grep=nan&timestamps=true")
    assert answer.status_code == status
    assert (b"loss nan" in answer.getvalue()) == (status == 200)


def test_pages_of_lines_are_the_whole_log(api, vera, running, kept):
    for row in (running, kept):
        pages = [read(api, vera, row, f"skip={skip}&limit=2") for skip in range(0, 8, 2)]
        assert b"".join(pages) == read(api, vera, row, "")


def test_times_of_the_runtime_are_kept_with_the_output(api, vera, testbed, a, running):
    before = read(api, vera, running, "timestamps=true")
    testbed.runtime_of(a).finish(testbed.key(running), 0)
    testbed.reconcile()
    assert testbed.replicas() == set()
    assert read(api, vera, running, "timestamps=true") == before
    assert read(api, vera, running, "") == read(api, vera, running, "skip=0&limit=9")


def test_the_times_of_an_end_that_is_cut_are_those_of_its_lines(api, vera, testbed, a, running):
    written = testbed.runtime_of(a)._containers[testbed.key(running)].written
    written.clear()
    moment = at(STAMPS[0])
    for n in range(4000):
        written.append((moment + timedelta(seconds=n), b"%04d " % n + b"x" * 94 + b"\n"))
    testbed.runtime_of(a).finish(testbed.key(running), 0)
    testbed.reconcile()
    lines = read(api, vera, running, "timestamps=true").splitlines()
    assert len(lines) == 256 * 1024 // 100 + 1
    for line in lines[1:]:
        stamp, number, _ = line.split(b" ")
        assert at(stamp) == moment + timedelta(seconds=int(number))
    assert at(lines[0].split(b" ")[0]) == moment + timedelta(seconds=4000 - len(lines))


@pytest.mark.parametrize("query", ["timestamps=true", "until=2026-03-01T09:30:00Z"])
def test_output_that_was_kept_without_times_says_so(api, vera, kept, query):
    DeploymentLog.objects.update(times=None)
    answer = api(vera).get(f"/api/deployments/{kept.pk}/logs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (409, "kept_without_times")
    assert read(api, vera, kept, "grep=loss&tail=1") == b"loss 0.25\n"
    assert read(api, vera, kept, "since=2999-01-01T00:00:00Z") == b"\n".join(LINES)


@pytest.mark.parametrize(
    "query", ["timestamps=true", "grep=x", "skip=1&limit=5", "until=2026-03-01T09:30:00Z"]
)
def test_a_simulated_deployment_has_no_lines(api, vera, dev, cluster, query):
    assert read(api, vera, make(cluster, dev, "RUNNING"), query) == b""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("grep=loss", [b"loss nan\n", b"epoch 2\rloss 0.5\n", b"loss 0.25\n", b"loss 0\n"]),
        ("grep=loss&tail=1", [b"loss 0.25\n", b"loss 0\n"]),
        ("grep=loss&tail=0", [b"loss 0\n"]),
        ("grep=loss&skip=2&limit=2", [b"loss 0.25\n", b"loss 0\n"]),
        ("skip=6&limit=1", [b"loss 0\n"]),
        ("since=2026-03-01T09:30:05Z&tail=9", [b"end\n", b"loss 0\n", b"over\n"]),
    ],
)
def test_lines_are_picked_while_a_log_is_followed(api, vera, running, testbed, a, query, expected):
    def go_on() -> None:
        time.sleep(0.5)
        for line in (b"\n", b"loss 0\n", b"over\n"):
            testbed.runtime_of(a).write(key, line)
        testbed.runtime_of(a).finish(key, 0)

    key = testbed.key(running)
    threading.Thread(target=go_on).start()
    assert read(api, vera, running, f"follow=true&{query}") == b"".join(expected)


def test_a_followed_log_ends_with_the_last_line_that_was_asked_for(api, vera, running):
    assert read(api, vera, running, "follow=true&grep=nan&limit=1") == b"loss nan\n"


@pytest.mark.parametrize("place", [0, 1000, LONGEST_LINE - 3, LONGEST_LINE + 1, 3 * LONGEST_LINE])
def test_a_text_is_found_anywhere_in_a_long_line(api, vera, running, testbed, a, place):
    runtime, key = testbed.runtime_of(a), testbed.key(running)
    line = b"x" * place + b"needle" + b"y" * (4 * LONGEST_LINE - place) + b"\n"
    for start in range(0, len(line), 60_000):
        runtime.write(key, line[start : start + 60_000])
    runtime.write(key, b"next\n")
    found = read(api, vera, running, "grep=needle")
    assert b"edle" in found
    assert len(found) <= 2 * LONGEST_LINE
    assert b"next" not in found
    assert read(api, vera, running, "grep=needless") == b""


def test_a_search_reads_no_more_than_a_log_may_cost(api, vera, running, monkeypatch):
    monkeypatch.setattr(at_endpoint, "PICKED_BYTES", 100)
    found = read(api, vera, running, "grep=loss")
    assert found == b"loss nan\nepoch 2\rloss 0.5\n" + at_endpoint.CUT_PICKING


def test_an_answer_of_picked_lines_is_cut_where_it_is_too_long(api, vera, running, monkeypatch):
    monkeypatch.setattr(at_endpoint, "READ_BYTES", 12)
    assert read(api, vera, running, "grep=loss") == b"loss nan\nepo" + at_endpoint.CUT_PICKING


def test_a_tail_that_is_too_large_says_so(api, vera, running, monkeypatch):
    monkeypatch.setattr(log_selection, "TAIL_BYTES", 30)
    found = read(api, vera, running, "grep=loss&tail=3")
    assert found == b"epoch 2\rloss 0.5\nloss 0.25\n" + at_endpoint.CUT_PICKING


def test_a_search_that_drips_ends(api, vera, running, testbed, a, monkeypatch):
    def drip(*_: object, **__: object):
        while True:
            time.sleep(0.01)
            yield b"2026-03-01T09:30:00Z nothing\n"

    monkeypatch.setattr(at_endpoint, "READ_S", 2.5)
    testbed.intercept(a, "logs", drip)
    assert read(api, vera, running, "grep=needle") == at_endpoint.CUT_PICKING
