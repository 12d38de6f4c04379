"""Output and events over connections that are lost, against a server that a test scripts."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mlops import ApiError, Client, UnreachableError, following
from mlops.following import MissingOutputError
from tests.equipment import Answer, Asked, Scripted

JOB = "01a21a4d-44c1-71b3-8efa-743dc4340f30"
AT = "2026-03-01T09:30:0{}.000000Z"


@pytest.fixture(autouse=True)
def _reconnects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RECONNECT_S", 0.0)


def line(second: int, text: str) -> bytes:
    return f"{AT.format(second)} {text}\n".encode()


class Output:
    """Streams of output, one after the other; the deployment runs until the last of them ends."""

    def __init__(self, scripted: Scripted, *streams: bytes) -> None:
        self._streams = list(streams)
        self.asked: list[dict[str, list[str]]] = []
        scripted.otherwise = self.answer

    def answer(self, asked: Asked) -> Answer:
        parts = urlsplit(asked.path)
        if not parts.path.endswith("/logs"):
            status = "RUNNING" if self._streams else "COMPLETED"
            return Answer(200, {"id": JOB, "name": "job", "status": status})
        self.asked.append(parse_qs(parts.query))
        return Answer(200, self._streams.pop(0))


def followed(scripted: Scripted, **selection: Any) -> list[str]:
    return list(Client(scripted.url, "key").deployments.logs(JOB, follow=True, **selection))


def test_output_is_read_line_by_line(scripted: Scripted) -> None:
    scripted.otherwise = lambda asked: Answer(200, "one\ntwo é\nthe last".encode())
    lines = list(Client(scripted.url, "key").deployments.logs(JOB, tail=3, grep="e"))
    assert lines == ["one", "two é", "the last"]
    assert scripted.asked[0].path.endswith("/logs?tail=3&grep=e")


def test_what_is_followed_goes_on_after_a_stream_that_ended(scripted: Scripted) -> None:
    output = Output(
        scripted,
        line(1, "a") + line(2, "b"),
        line(2, "b") + line(3, "c"),
    )
    assert followed(scripted) == ["a", "b", "c"]
    assert output.asked[0]["timestamps"] == ["true"]
    assert "since" not in output.asked[0]
    assert output.asked[1]["since"] == [AT.format(2)]


def test_lines_of_one_moment_come_once_each(scripted: Scripted) -> None:
    same = line(1, "x") + line(1, "x") + line(1, "y")
    Output(scripted, same, same + line(1, "z"), same + line(1, "z") + line(2, "end"))
    assert followed(scripted) == ["x", "x", "y", "z", "end"]


def test_a_stream_that_was_cut_is_gone_on_with_and_not_shown(scripted: Scripted) -> None:
    cut = b"\n[cut: the worker that read this log has ended, or Redis is away; ask again]\n"
    Output(scripted, line(1, "a") + cut, line(1, "a") + line(2, "b"))
    assert followed(scripted) == ["a", "b"]


def test_times_are_shown_where_they_are_asked_for(scripted: Scripted) -> None:
    Output(scripted, line(1, "a"))
    assert followed(scripted, timestamps=True) == [f"{AT.format(1)} a"]


def test_a_tail_counts_once(scripted: Scripted) -> None:
    output = Output(scripted, line(1, "a"), line(1, "a") + line(2, "b"))
    assert followed(scripted, tail=1) == ["a", "b"]
    assert ["tail" in asked for asked in output.asked] == [True, False]


def test_so_many_lines_end_it(scripted: Scripted) -> None:
    output = Output(scripted, line(1, "ready"), line(2, "more"))
    assert followed(scripted, grep="ready", limit=1) == ["ready"]
    assert len(output.asked) == 1


def test_output_that_is_not_there_says_why(scripted: Scripted) -> None:
    why = (("X-Logs-Missing", "not_started"), ("X-Logs-Missing-Detail", "It waits."))
    scripted.otherwise = lambda asked: Answer(200, b"", why)
    with pytest.raises(MissingOutputError, match="It waits") as caught:
        list(Client(scripted.url, "key").deployments.logs(JOB))
    assert caught.value.code == "not_started"


def event(cursor: str) -> bytes:
    return f"id: {cursor}\ndata: {json.dumps({'cursor': cursor, 'type': 'STARTED'})}\n\n".encode()


def events(scripted: Scripted, number: int, **filters: str) -> list[str]:
    found = Client(scripted.url, "key").organizations.follow_events("Engines", **filters)
    return [each.cursor for each in islice(found, number)]


def test_events_are_gone_on_with_after_the_last_cursor(scripted: Scripted) -> None:
    silent = b"retry: 1000\nid: c3\n\n"
    scripted.script.extend(
        [Answer(200, event("c1") + event("c2") + silent), Answer(0), Answer(200, event("c4"))]
    )
    assert events(scripted, 3, since="now") == ["c1", "c2", "c4"]
    assert "Last-Event-ID" not in scripted.asked[0].headers
    assert {asked.headers["Last-Event-ID"] for asked in scripted.asked[1:]} == {"c3"}
    assert scripted.asked[0].path == "/api/orgs/Engines/events?since=now"


def test_events_of_a_platform_that_does_not_answer_end_at_once(scripted: Scripted) -> None:
    scripted.otherwise = lambda asked: Answer(0)
    client = Client(scripted.url, "key", retries=0)
    with pytest.raises(UnreachableError):
        next(client.organizations.follow_events("Engines"))


@pytest.mark.parametrize("code", ["not_allowed", "cursor_expired"])
def test_an_end_for_good_is_raised(scripted: Scripted, code: str) -> None:
    end = f"event: end\ndata: {json.dumps({'detail': 'It is over.', 'code': code})}\n\n"
    scripted.script.append(Answer(200, event("c1") + end.encode()))
    with pytest.raises(ApiError, match="It is over") as caught:
        events(scripted, 2)
    assert caught.value.code == code


def test_an_end_for_now_is_gone_on_with(scripted: Scripted) -> None:
    end = b'event: end\ndata: {"detail": "An hour is over.", "code": "time_is_up"}\n\n'
    scripted.script.extend([Answer(200, event("c1") + end), Answer(200, event("c2"))])
    assert events(scripted, 2) == ["c1", "c2"]
