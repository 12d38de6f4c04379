"""What came of a call: an honest refusal, a broken answer, a broken connection, silence."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.load import calls
from chaos.load.calls import Came, Client, Tally

Respond = Callable[[socket.socket], None]


@contextmanager
def server(respond: Respond) -> Iterator[int]:
    """Its port; it answers one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                respond(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def answer(status: str, *headers: str) -> Respond:
    lines = "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 2", *headers, "", "{}"])
    return lambda connection: connection.sendall(lines.encode())


@pytest.mark.parametrize(
    ("respond", "came"),
    [
        (answer("201 Created"), Came.FINE),
        (answer("409 Conflict"), Came.REFUSED),
        (answer("429 Too Many Requests"), Came.REFUSED),
        (answer("503 Service Unavailable", "Retry-After: 5"), Came.AWAY),
        (answer("503 Service Unavailable"), Came.BROKEN),
        (answer("500 Internal Server Error"), Came.BROKEN),
        (answer("502 Bad Gateway", "Retry-After: 5"), Came.BROKEN),
        (answer("404 Not Found"), Came.WRONG),
        (answer("401 Unauthorized"), Came.WRONG),
        (lambda connection: connection.shutdown(socket.SHUT_RDWR), Came.CUT),
        (lambda connection: connection.sendall(b"HTTP/1.1 20"), Came.CUT),
    ],
)
def test_answers_are_told_apart(respond: Respond, came: Came) -> None:
    tally = Tally()
    with server(respond) as port:
        assert Client(port, {}, tally).call("GET", "/").came is came
    assert tally.counts == {came: 1}
    fine = came in {Came.FINE, Came.REFUSED}
    assert [each.came for each in tally.troubles] == ([] if fine else [came])


def test_a_server_that_is_not_there_is_a_cut_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert Client(port, {}, Tally()).call("GET", "/").came is Came.CUT


def test_a_server_that_says_nothing_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "TIMEOUT_S", 0.2)
    said = threading.Event()

    def say_nothing(_connection: socket.socket) -> None:
        said.wait(10)

    with server(say_nothing) as port:
        assert Client(port, {}, Tally()).call("GET", "/").came is Came.SILENT
        said.set()
