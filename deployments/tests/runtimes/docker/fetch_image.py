"""An image that fetches buckets, as the platform's own does, and an S3 server for containers."""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest
from django.conf import settings

from deployments.tests.runtimes.docker.engine import DockerEngine
from deployments.tests.runtimes.s3 import S3
from mlops_platform.tests.docs.python_image import NOT_NEEDED, libraries

IMAGE = "mlops-platform-tests/fetch:1"
NETWORK = "mlops-platform-tests-s3"
OURS = (
    *("deployments/__init__.py", "deployments/fetch", "clusters/__init__.py"),
    *("deployments/runtimes/__init__.py", "deployments/runtimes/fetches.py"),
    *("clusters/endpoints/__init__.py", "clusters/endpoints/address_kinds.py"),
)
LIBRARIES = ("botocore", "dateutil", "jmespath", "urllib3", "six")
SERVICES = ("s3",)  # of botocore's hundreds
VERSION = f"3.{sys.version_info.minor}"
HOME = Path(sys.base_prefix)


@pytest.fixture(scope="session")
def fetch_image(docker_engine: DockerEngine) -> Iterator[str]:
    """Its name. It has no more than the program needs, so that a new import shows."""
    repository, _, tag = IMAGE.partition(":")
    changes = ["WORKDIR /app", "USER 10001", f"ENV PYTHONHOME={HOME}"]
    docker_engine.client.import_image_from_data(_file_system(), repository, tag, changes=changes)
    yield IMAGE
    docker_engine.client.remove_image(IMAGE, force=True)


@pytest.fixture
def s3_network(docker_engine: DockerEngine, s3: S3) -> Iterator[tuple[str, str]]:
    """A network of containers, and the S3 server's URL there."""
    client = docker_engine.client
    made = client.create_network(NETWORK, driver="bridge", check_duplicate=True)
    gateway = client.inspect_network(made["Id"])["IPAM"]["Config"][0]["Gateway"]
    yield NETWORK, f"http://{gateway}:{s3.port}"
    for id_ in client.inspect_network(made["Id"])["Containers"]:
        client.remove_container(id_, v=True, force=True)
    client.remove_network(made["Id"])


def _file_system() -> bytes:
    """Few files: the tests' engine copies all of them for each container."""
    program = Path(sys.executable).resolve()
    folder = HOME / "lib" / f"python{VERSION}"
    extensions = [path for path in folder.glob("lib-dynload/*.so") if "test" not in path.name]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in {program, *extensions, *libraries([program, *extensions])}:
            tar.add(file.resolve(), file.as_posix())
        library = _library(folder)
        entry = tarfile.TarInfo(f"{HOME}/lib/python{VERSION.replace('.', '')}.zip")
        entry.size, entry.mode = len(library), 0o644
        tar.addfile(entry, io.BytesIO(library))
        link = tarfile.TarInfo("bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, program.as_posix()
        tar.addfile(link)
        for each in OURS:
            tar.add(Path(settings.BASE_DIR, each), f"app/{each}", filter=_source)
        for module in LIBRARIES:
            spec = find_spec(module)
            assert spec is not None
            assert spec.origin is not None
            at = Path(spec.origin)
            files = at.parent.rglob("*") if at.name == "__init__.py" else [at]
            top = at.parent.parent if at.name == "__init__.py" else at.parent
            for path in filter(_is_needed, files):
                if path.is_file():
                    compiled = _compiled(path)
                    name = path.relative_to(top).with_suffix(compiled.suffix)
                    tar.add(compiled, f"app/{name}")
        names = {name.lstrip("/") for name in tar.getnames()}
        folders = {parent.as_posix() for name in names for parent in Path(name).parents}
        for missing in sorted(folders - names - {"."}):
            entry = tarfile.TarInfo(missing)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755  # an engine makes it with 0600
            tar.addfile(entry)
    return buffer.getvalue()


def _library(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*.py"):
            name = path.relative_to(folder).as_posix()
            if not NOT_NEEDED.search(f"/{name}"):
                compiled = _compiled(path)
                archive.write(compiled, Path(name).with_suffix(compiled.suffix))
    return buffer.getvalue()


def _compiled(path: Path) -> Path:
    """What Python has made of a module, where it has: a container cannot keep it."""
    if path.suffix != ".py":
        return path
    compiled = Path(cache_from_source(str(path)))
    return compiled if compiled.exists() else path


def _is_needed(path: Path) -> bool:
    parts = path.parts
    if "__pycache__" in parts:
        return False
    at = parts.index("data") if "botocore" in parts and "data" in parts else len(parts)
    return len(parts) <= at + 1 or "." in parts[at + 1] or parts[at + 1] in SERVICES


def _source(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in entry.name else entry
