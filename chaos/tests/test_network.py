"""The network between the platform and a server: open, slow, silent, cut."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.platforms.network import Network
from chaos.platforms.platform import free_port

SLOW_S = 0.3
WAIT_S = 10.0


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """To a server that sends all back."""
    path = tmp_path / "server"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        threading.Thread(target=_serve, args=(listening,), daemon=True).start()
        network = Network(free_port(), path)
        yield network
        network.stop()


def _serve(listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:  # the end of the test
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(1024):
            connection.sendall(data)


def connect(network: Network, timeout_s: float = WAIT_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", network.port), timeout_s)


def echoes(connection: socket.socket) -> bool:
    """False where the connection breaks. Raises TimeoutError where nothing comes."""
    try:
        connection.sendall(b"hello")
        return connection.recv(1024) == b"hello"
    except ConnectionError:
        return False


def test_an_open_network_passes_all_on(network: Network) -> None:
    with connect(network) as connection:
        assert echoes(connection)


def test_a_slow_network_delays_both_directions_until_it_is_healed(network: Network) -> None:
    with connect(network) as connection:
        with network.slow(SLOW_S):
            began = time.monotonic()
            assert echoes(connection)
            assert time.monotonic() - began >= 2 * SLOW_S
        assert echoes(connection)


def test_a_silent_network_takes_connections_and_delivers_once_it_is_healed(
    network: Network,
) -> None:
    with connect(network, timeout_s=0.3) as connection:
        with network.silent(), pytest.raises(TimeoutError):
            echoes(connection)
        connection.settimeout(WAIT_S)
        assert connection.recv(1024) == b"hello"


def test_a_cut_network_breaks_old_and_new_connections(network: Network) -> None:
    with connect(network) as connection:
        assert echoes(connection)
        with network.cut():
            assert not echoes(connection)
            with connect(network) as new:
                assert not echoes(new)
    with connect(network) as after:
        assert echoes(after)


def test_a_reset_breaks_old_connections_alone(network: Network) -> None:
    with connect(network) as connection:
        assert echoes(connection)
        network.reset()
        assert not echoes(connection)
    with connect(network) as new:
        assert echoes(new)
