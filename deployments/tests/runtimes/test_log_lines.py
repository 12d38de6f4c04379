"""Lines with their times, wherever the pieces of a log are cut."""

import pytest

from deployments.runtimes.log_lines import (
    LONGEST_LINE,
    Line,
    LineReader,
    nanoseconds,
    packed,
    unpacked,
)

AT, LATER = b"2026-03-01T09:30:00.123456789Z", b"2026-03-01T10:30:01+01:00"
WRITTEN = (
    AT + b" one\n" + LATER + b" \rbar 1%\rbar 2%\r\n" + AT + b" \n" + LATER + b" caf\xe9\xff\n"
    b"no time at all\n" + AT + b" last"
)
LINES = [
    Line(AT, b"one\n"),
    Line(LATER, b"\rbar 1%\rbar 2%\r\n"),
    Line(AT, b"\n"),
    Line(LATER, b"caf\xe9\xff\n"),
    Line(LATER, b"no time at all\n"),
    Line(AT, b"last"),
]


def lines_of(pieces, *, stamped=True):
    reader = LineReader(stamped=stamped)
    return [line for piece in pieces for line in reader.feed(piece)] + list(reader.end())


def cut(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 7, 31, 1000])
def test_lines_are_whole_wherever_pieces_cut_them(size):
    assert lines_of(cut(WRITTEN, size)) == LINES


def test_what_a_program_writes_itself_is_no_time_of_the_runtime():
    assert lines_of([AT + b" one\n"], stamped=False) == [Line(b"", AT + b" one\n")]
    assert lines_of([AT + b" " + LATER + b" one\n"]) == [Line(AT, LATER + b" one\n")]


@pytest.mark.parametrize("size", [4096, 100_001, 10_000_000])
@pytest.mark.parametrize("more", [-1, 0, 1, 2, LONGEST_LINE, 2 * LONGEST_LINE + 1])
def test_a_line_that_is_too_long_is_several_of_one_time(size, more):
    text = b"x" * (LONGEST_LINE + more)
    lines = lines_of(cut(AT + b" " + text + b"\n" + LATER + b" next\n", size))
    *parts, after = lines
    assert after == Line(LATER, b"next\n")
    assert b"".join(part.text for part in parts) == text + b"\n"
    assert {part.time for part in parts} == {AT}
    assert [part.begins for part in parts] == [True] + [False] * (len(parts) - 1)
    assert all(1 <= len(part.text.rstrip(b"\n")) <= LONGEST_LINE for part in parts)
    assert len(parts) == -(-len(text) // LONGEST_LINE)


@pytest.mark.parametrize("shift", range(4))
def test_a_long_line_is_cut_between_characters(shift):
    text = "x" * shift + "\U0001f642" * (LONGEST_LINE // 2)
    for part in lines_of([text.encode()], stamped=False):
        part.text.decode()


@pytest.mark.parametrize(
    ("stamp", "at_ns"),
    [
        (b"1970-01-01T00:00:01Z", 10**9),
        (b"1970-01-01T01:00:00.5+01:00", 500_000_000),
        (b"2026-03-01T09:30:00.123456789Z", 1772357400_123456789),
        (b"2026-13-01T09:30:00Z", None),
        (b"2026-03-01T09:30:00", None),
        (b"9999-12-31T23:59:59Z", None),
        (b"0001-01-01T00:00:00+23:00", None),
        (b"", None),
        (b"epoch", None),
    ],
)
def test_a_stamp_is_read_to_the_nanosecond(stamp, at_ns):
    assert nanoseconds(stamp) == at_ns


def test_packed_times_are_the_same_in_utc():
    times = packed([AT, LATER])
    assert times is not None
    assert unpacked(times) == [AT, b"2026-03-01T09:30:01.000000000Z"]
    assert packed([AT, b""]) is None
