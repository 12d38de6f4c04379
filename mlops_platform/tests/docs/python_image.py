"""An image with this machine's Python, for pages whose examples run Python programs."""

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from mlops_platform.tests.equipment.docker_engine import root_file_system

NOT_NEEDED = re.compile(
    r"/(site-packages|test|tests|__pycache__|idlelib|tkinter|ensurepip|config-3[^/]*)(/|$)"
)


def python_file_system() -> bytes:
    """A root file system as a tar: busybox, and Python with its standard library as `python`."""
    buffer = io.BytesIO(root_file_system())
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        program = Path(sys.executable).resolve()
        library = Path(sys.base_prefix) / "lib" / f"python3.{sys.version_info.minor}"
        extensions = list((library / "lib-dynload").glob("*.so"))
        for file in {program, *libraries([program, *extensions])}:
            tar.add(file.resolve(), file.as_posix())
        tar.add(library, library.as_posix(), filter=_needed)
        link = tarfile.TarInfo("bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, program.as_posix()
        tar.addfile(link)
        entry = tarfile.TarInfo("tmp")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(entry)
    return buffer.getvalue()


def _needed(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if NOT_NEEDED.search(f"/{entry.name}") else entry


def libraries(files: list[Path]) -> Iterator[Path]:
    """The shared libraries that they are linked with, the dynamic linker among them."""
    found = subprocess.run(["ldd", *files], capture_output=True, check=False, text=True).stdout
    yield from (Path(path) for path in re.findall(r"(/\S+) \(0x", found))
