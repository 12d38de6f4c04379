"""Gives a container its secrets as files, before it starts.

The files lie in a volume of the container's own, which goes with the container: neither its image
layer nor `docker inspect` has them. It is no tmpfs, though that would keep them from the engine's
disk: an engine mounts one only while the container's process is made, so nothing can be put into it
before the program runs. Beneath a read-only root only a volume can be written from outside.
"""

import io
import tarfile
from pathlib import PurePosixPath
from typing import Any

from deployments.runtimes.base import SECRETS, RuntimeUnavailable, Secrets
from deployments.runtimes.docker.client import Answered, Engine

ROOT = 0
USERS = "/etc/passwd"
LONGEST_USERS = 1024 * 1024
MOST_LINKS = 8  # from one to the next


def mounts_of(secrets: Secrets) -> list[dict[str, Any]]:
    """Without a name the volume is the container's own. What the image has there is not copied."""
    if not secrets.files:
        return []
    return [{"Type": "volume", "Target": SECRETS, "VolumeOptions": {"NoCopy": True}}]


def put(engine: Engine, container_id: str, secrets: Secrets, *, keep: bool) -> None:
    """Write the files, for the container's user alone. Done again, they are replaced; with `keep`
    those that are there stay: another replica has started with these values."""
    if not secrets.files or (keep and _has_files(engine, container_id, secrets)):
        return
    archive = _archive(secrets, _user_of(engine, container_id))
    if not engine.call(lambda client: client.put_archive(container_id, SECRETS, archive)):
        raise RuntimeUnavailable("The engine has not taken the files of secrets.")


def _has_files(engine: Engine, container_id: str, secrets: Secrets) -> bool:
    last = f"{SECRETS}/{list(secrets.files)[-1]}"
    return bool(_read(engine, container_id, last)[0])


def _archive(secrets: Secrets, uid: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for folder in sorted(_folders(secrets)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, value in secrets.files.items():
            content = value.encode()
            entry = tarfile.TarInfo(path)
            entry.mode, entry.uid, entry.size = 0o400, uid, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _folders(secrets: Secrets) -> set[str]:
    return {
        str(parent)
        for path in secrets.files
        for parent in PurePosixPath(path).parents
        if parent.name
    }


def _user_of(engine: Engine, container_id: str) -> int:
    """The number of the container's user, that of its image where the deployment names none."""
    container = engine.call(lambda client: client.inspect_container(container_id))
    user = str(container["Config"].get("User") or "").partition(":")[0]
    if not user:
        return ROOT
    return int(user) if user.isdecimal() else _number_of(engine, container_id, user)


def _number_of(engine: Engine, container_id: str, name: str) -> int:
    """By the image's list of users; root for a user that is not there, with whom nothing starts."""
    path = USERS
    for _ in range(MOST_LINKS):
        archive, leads_to = _read(engine, container_id, path)
        if not leads_to:
            return _number_in(archive, name)
        path = leads_to
    return ROOT


def _read(engine: Engine, container_id: str, path: str) -> tuple[bytes, str]:
    """An archive with the file, empty where there is none; and where it leads to, if it is a link:
    an engine sends the link itself."""

    def read(client: Any) -> tuple[bytes, str]:
        pieces, stat = client.get_archive(container_id, path)
        archive = b""
        for piece in pieces:
            archive += piece
            if len(archive) > LONGEST_USERS:
                raise RuntimeUnavailable("The image's list of users is too long.")
        return archive, str((stat or {}).get("linkTarget") or "")

    try:
        return engine.call(read)
    except Answered as error:
        if error.status == 404:
            return b"", ""
        raise


def _number_in(archive: bytes, name: str) -> int:
    if not archive:
        return ROOT
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            file = members.extractfile(member) if member.isfile() else None
            for line in file or ():
                user, *fields = line.decode(errors="replace").split(":")
                if user == name and len(fields) > 1 and fields[1].isdecimal():
                    return int(fields[1])
    return ROOT
