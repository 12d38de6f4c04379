"""Where a log is cut: at ends of lines, which are newlines, and never inside a character."""

import pytest

from clusters.models import Node
from deployments.models import DeploymentLog
from deployments.output.at_endpoint import CUT
from deployments.reconciler.garbage import KEPT_BYTES, KEPT_LINES
from deployments.runtimes.streams import from_whole_letter, to_whole_letter, whole_letters
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.workloads import make

pytestmark = pytest.mark.django_db

BAR = b"".join(b"epoch 1: %d%%\r" % part for part in range(0, 101, 5))
KEPT: dict[
    bytes, dict[int, bytes | None]
] = {  # what was written: the last lines of it, by how many are asked for
    b"loading\n" + BAR + b"\nloss 0.25\n": {1: b"loss 0.25\n", 2: BAR + b"\nloss 0.25\n", 3: None},
    BAR: {0: b"", 1: None},
    BAR + b"\n": {1: None, 5: None},
    b"one\r\ntwo\r\n": {1: b"two\r\n", 2: None},
    b"one\x0btwo\x0cthree\x1c\xe2\x80\xa8four\n": {1: None},
    b"one\n\n\ntwo": {0: b"", 1: b"two", 2: b"\ntwo", 3: b"\n\ntwo", 4: None},
    b"\n": {1: None},
    b"": {0: None, 1: None},
}
LETTERS = ["a", "\u00e4", "\u20ac", "\U0001f642"]  # of one to four bytes


@pytest.mark.parametrize(
    ("written", "count", "expected"),
    [(text, count, end) for text, ends in KEPT.items() for count, end in ends.items()],
)
def test_the_tail_of_a_kept_log_counts_newlines(api, dev, cluster, written, count, expected):
    row = make(cluster, dev, attempt=1)
    DeploymentLog.objects.create(deployment=row, attempt=1, replica=0, output=written)
    answer = api(dev).get(f"/api/deployments/{row.pk}/logs?tail={count}")
    assert answer.status_code == 200
    assert answer.getvalue() == (written if expected is None else expected)


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("shift", range(4))
def test_a_kept_log_begins_with_a_whole_character(testbed: Testbed, a: Node, letter, shift):
    testbed.reconcile()
    row = testbed.submit(replicas=2)
    testbed.settle()
    text = letter * (KEPT_BYTES // len(letter.encode()) + 10) + "x" * shift
    runtime = testbed.runtime_of(a)
    for replica in (0, 1):
        for start in range(0, len(text.encode()), 10_001):  # pieces end inside of characters
            piece = text.encode()[start : start + 10_001]
            runtime.write(testbed.key(row, replica), piece)
        runtime.finish(testbed.key(row, replica), 0)
    testbed.reconcile()
    for log in DeploymentLog.objects.filter(deployment=row):
        kept = bytes(log.output)
        assert kept.decode() == text[-len(kept.decode()) :]
        assert KEPT_BYTES - 4 < len(kept) <= KEPT_BYTES


def test_a_log_of_exactly_what_is_kept_stays_as_it_is(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    whole = b"\x80" * 3 + b"x" * (KEPT_BYTES - 3)
    testbed.runtime_of(a).write(testbed.key(row), whole)
    testbed.runtime_of(a).finish(testbed.key(row), 0)
    testbed.reconcile()
    assert bytes(DeploymentLog.objects.get(deployment=row).output) == whole


def test_an_endpoint_that_sends_more_lines_than_it_is_asked_for_fills_no_memory(
    testbed: Testbed, a: Node
):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    testbed.runtime_of(a).write(testbed.key(row), b"\n" * 200_000 + b"last")
    testbed.runtime_of(a).finish(testbed.key(row), 0)
    testbed.reconcile()
    log = DeploymentLog.objects.get(deployment=row)
    assert bytes(log.output) == b"\n" * (KEPT_LINES - 1) + b"last"
    assert log.times is not None
    assert len(log.times) == 8 * KEPT_LINES


@pytest.mark.parametrize("most", range(14, 20))
def test_a_long_log_is_cut_between_characters(api, vera, testbed, a, monkeypatch, most):
    testbed.reconcile()
    row = testbed.submit("chatty")
    testbed.settle()
    testbed.runtime_of(a).write(testbed.key(row), "\u20ac\U0001f642".encode())
    monkeypatch.setattr("deployments.output.at_endpoint.READ_BYTES", most)
    text = api(vera).get(f"/api/deployments/{row.pk}/logs").getvalue()
    assert text.removesuffix(CUT) != text
    assert "one\ntwo\nthree\n\u20ac\U0001f642".startswith(text.removesuffix(CUT).decode())


@pytest.mark.parametrize("size", range(1, 6))
def test_a_reader_may_stop_after_any_piece(size):
    text = ("".join(LETTERS) * 3).encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    read = list(whole_letters(pieces))
    assert b"".join(read) == text
    for piece in read:
        piece.decode()


@pytest.mark.parametrize(
    "text", [b"", b"\x80" * 9, b"\xff\xfe", b"caf\xe9", b"\xe2\x82", b"\xf0\x9f\x99", b"ok\xc3"]
)
def test_what_is_no_utf8_passes_as_it_is(text):
    assert b"".join(whole_letters([text])) == text
    assert b"".join(whole_letters([text, b"", b"next"])) == text + b"next"
    assert text.endswith(from_whole_letter(text))
    assert text.startswith(to_whole_letter(text))


def test_a_character_that_is_begun_waits_no_longer_than_the_next_tick():
    pieces = whole_letters(iter([b"caf\xe9", b"", b"!"]))
    assert [next(pieces), next(pieces), next(pieces)] == [b"caf", b"\xe9", b"!"]
