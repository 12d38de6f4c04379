"""The form of a backup file.

    MLOPS BACKUP 1\\n, then one stream in gzip's form of
        the manifest: a line of JSON
        for each table: its frames, and an empty one
    32 bytes of SHA-256 over all before them

A frame is its length in 4 bytes and so many bytes of COPY's text form. The checksum comes last, so
a file that was cut off has none.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Self, cast

MAGIC = b"MLOPS BACKUP "
FORMAT = 1
CHECKSUM_BYTES = 32
FRAME_BYTES = 256 * 1024
CHUNK = 1024 * 1024
LEVEL = 6  # of gzip


class BadBackup(Exception):  # noqa: N818 - a state of a file, not a mistake
    """A sentence that says why the file cannot be restored."""


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read, and that has its name once it is whole. Raises
    FileExistsError."""
    if path.exists():
        raise FileExistsError(path)
    # A name of its own: two that write the same backup must not share a draft.
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _give_name(draft: Path, path: Path) -> None:
    """Raises FileExistsError where another backup has taken the name meanwhile.

    Not every file system has hard links. Without them an empty file takes the name first, for the
    moment until the draft replaces it.
    """
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        draft.replace(path)


class _Summed(io.RawIOBase):
    """Passes bytes on to a file and sums them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sum = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sum.update(data)
        return self._file.write(data)


class Writer:
    """`with Writer(file, manifest) as writer`, then `add` for each table of the manifest."""

    def __init__(self, file: BinaryIO, manifest: dict[str, Any]) -> None:
        self._file = file
        self._summed = _Summed(file)
        self._summed.write(MAGIC + b"%d\n" % FORMAT)
        packed = gzip.GzipFile("", "wb", LEVEL, cast("IO[bytes]", self._summed), mtime=0)
        self._packed = packed
        packed.write(json.dumps(manifest).encode() + b"\n")
        self._frame = bytearray()

    def write(self, data: bytes) -> None:
        """For psycopg2, which hands over row by row."""
        self._frame += data
        if len(self._frame) >= FRAME_BYTES:
            self._end_frame()

    def end_table(self) -> None:
        if self._frame:
            self._end_frame()
        self._end_frame()

    def _end_frame(self) -> None:
        self._packed.write(struct.pack(">I", len(self._frame)))
        self._packed.write(self._frame)
        self._frame.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._packed.close()
            self._file.write(self._summed.sum.digest())


class Reader:
    """A backup whose checksum is right. Raises BadBackup before anything of it is used."""

    def __init__(self, file: BinaryIO) -> None:
        _verify(file)
        self._packed = gzip.GzipFile("", "rb", fileobj=_Body(file))
        try:
            self.manifest: dict[str, Any] = json.loads(self._packed.readline())
        except (ValueError, EOFError, OSError) as error:
            raise BadBackup("The file is damaged.") from error
        self._left = 0

    def begin_table(self) -> None:
        self._left = self._next_length()

    def read(self, size: int = -1) -> bytes:
        """For psycopg2: more of the table, nothing at its end."""
        if self._left == 0:
            return b""
        data = self._packed.read(min(size, self._left) if size > 0 else self._left)
        self._left -= len(data)
        if self._left == 0:
            self._left = self._next_length()
        return data

    def _next_length(self) -> int:
        (length,) = struct.unpack(">I", self._packed.read(4))
        return int(length)


class _Body(io.RawIOBase):
    """What stands between the first line and the checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = file.seek(0, os.SEEK_END) - CHECKSUM_BYTES
        file.seek(0)
        file.readline()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._end - self._file.tell()))
        buffer[: len(data)] = data
        return len(data)


def _verify(file: BinaryIO) -> None:
    file.seek(0)
    first = file.readline(100)
    number = first.removeprefix(MAGIC).strip()
    if not first.startswith(MAGIC) or not number.isdigit():
        raise BadBackup("This is no backup of the platform.")
    if int(number) != FORMAT:
        raise BadBackup(f"The file has the form {int(number)}, which this version cannot read.")
    left = file.seek(0, os.SEEK_END) - CHECKSUM_BYTES
    summed = hashlib.sha256()
    file.seek(0)
    while left > 0 and (chunk := file.read(min(left, CHUNK))):
        summed.update(chunk)
        left -= len(chunk)
    if file.read() != summed.digest():
        raise BadBackup("The file is cut off or damaged: its checksum is wrong.")


@contextmanager
def seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself, or a copy on disk of what comes through a pipe."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        yield cast("BinaryIO", copy)
