"""Writes a gang's hostfile into a container that has not been started."""

import io
import tarfile

from deployments.runtimes.docker.client import Engine
from deployments.runtimes.peers import FOLDER, HOSTFILE, Peers


def write(engine: Engine, container_id: str, peers: Peers) -> None:
    """Also where it has been written before: a worker may have been killed in between."""
    tar = _tar(peers.hostfile.encode())
    engine.call(lambda client: client.put_archive(container_id, FOLDER, tar))


def _tar(text: bytes) -> bytes:
    entry = tarfile.TarInfo(HOSTFILE)
    entry.size, entry.mode = len(text), 0o444
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()
