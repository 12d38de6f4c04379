"""Streams of an engine: logs and events, and how they end."""

import struct
from contextlib import closing
from threading import Event

import pytest

from deployments.runtimes.base import Access, Phase, RuntimeUnavailable
from deployments.runtimes.docker import output
from deployments.runtimes.docker.client import lines
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.runtimes.log_lines import LONGEST_LINE
from deployments.tests.runtimes.docker.engine import own_engine
from deployments.tests.runtimes.harness import key_of, ready, wait_until, watched


def frame(stream: int, text: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(text)) + text


@pytest.mark.parametrize("size", [1, 3, 8, 9, 100])
def test_frames_are_whole_wherever_pieces_cut_them(size):
    body = frame(1, b"one\n") + frame(2, b"") + frame(2, b"two\n")
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    assert b"".join(output.demultiplexed(cut)) == b"one\ntwo\n"


def test_an_unfinished_frame_is_left_out():
    assert list(output.demultiplexed([frame(1, b"one\n"), frame(1, b"two\n")[:-1]])) == [b"one\n"]


def test_a_silent_stream_yields_empty_pieces():
    assert list(output.demultiplexed([None, frame(1, b"one\n")])) == [b"", b"one\n"]


def test_lines_are_whole_wherever_pieces_cut_them():
    assert list(lines([b'{"a"', b': 1}\n{"b": 2}', None, b"\n\n3"])) == [
        b'{"a": 1}',
        b"",
        b'{"b": 2}',
        b"3",
    ]


def test_an_engine_cannot_fill_the_memory_of_its_reader():
    with pytest.raises(RuntimeUnavailable):
        list(output.demultiplexed([struct.pack(">BxxxL", 1, 2**31)]))
    with pytest.raises(RuntimeUnavailable):
        list(lines(b"x" * 65536 for _ in range(1000)))


@pytest.mark.docker
def test_no_event_is_missed_when_a_quiet_engine_is_asked_again(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps())
    with watched(busybox.runtime("ours", events_quiet_s=0.2)) as heard:
        wait_until(lambda: len(heard) > 2)
        docker_runtime.start(spec)
        wait_until(lambda: spec.deployment_id in heard)


@pytest.mark.docker
def test_a_watch_reports_no_changes_of_another_cluster(busybox, docker_runtime):
    spec, other = (
        busybox.launch_spec(busybox.sleeps()),
        busybox.launch_spec(busybox.sleeps()),
    )
    with watched(busybox.runtime("ours")) as heard:
        busybox.runtime("theirs").start(other)
        docker_runtime.start(spec)
        wait_until(lambda: spec.deployment_id in heard)
    assert other.deployment_id not in heard


@pytest.mark.docker
def test_an_end_that_a_watch_reports_is_observed(busybox, docker_runtime):
    """The engine reports an end before its list contains it."""
    spec = busybox.launch_spec(busybox.sleeps())
    docker_runtime.start(spec)
    ready(docker_runtime, spec)
    with closing(busybox.runtime("ours").watch(Event())) as heard:
        next(heard)
        docker_runtime.stop(key_of(spec), grace_s=30)
        next(each for each in heard if each == spec.deployment_id)
        [status] = docker_runtime.observe([spec.deployment_id])
    assert status.phase == Phase.ENDED


@pytest.mark.docker
def test_a_watch_ends_when_the_engine_goes_away():
    with own_engine() as (daemon, _):
        runtime = DockerRuntime(Access(daemon.url), cluster_id="ours", node="node-1")
        heard = runtime.watch(Event())
        assert next(heard) is None
    with pytest.raises(RuntimeUnavailable):
        list(heard)
    with pytest.raises(RuntimeUnavailable):
        runtime.observe()
    runtime.close()


A, B, C = (b"2026-03-01T09:30:0%d.000000000Z " % second for second in (1, 2, 3))


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_a_line_in_several_frames_has_one_time(size):
    body = (
        frame(1, A + b"long ")
        + frame(2, B + b"of the other stream\n")
        + frame(1, A + b"line\n")
        + frame(1, C + b"\n")
        + frame(2, C + b"last")
    )
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    expected = B + b"of the other stream\n" + A + b"long line\n" + C + b"\n" + C + b"last"
    assert b"".join(output.stamped(cut)) == expected


def test_a_line_that_does_not_end_leaves_memory_in_parts():
    part = b"x" * LONGEST_LINE
    begun = [frame(1, A + part), frame(1, A + b"y")]
    other, rest = frame(2, B + b"err\n"), frame(1, A + b"z\n")
    assert next(output.stamped(begun)) == A + part + b"y"
    assert b"".join(output.stamped([*begun, rest])) == A + part + b"yz\n"
    between = b"".join(output.stamped([*begun, other, rest]))
    assert between == A + part + b"y\n" + B + b"err\n" + A + b"z\n"


@pytest.mark.docker
def test_a_line_that_the_engine_cuts_has_one_time(busybox, docker_runtime):
    command = "head -c 40000 /dev/zero | tr '\\0' x; echo; echo err >&2; printf end"
    spec = busybox.launch_spec(busybox.shell(command))
    docker_runtime.start(spec)
    wait_until(lambda: docker_runtime.observe([spec.deployment_id])[0].phase == Phase.ENDED)
    written = b"".join(docker_runtime.logs(key_of(spec), timestamps=True))
    texts = sorted(line.split(b" ", 1)[1] for line in written.splitlines())
    assert texts == [b"end", b"err", b"x" * 40000]
