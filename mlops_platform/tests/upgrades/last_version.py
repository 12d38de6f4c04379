"""The code of the last released version, out of git."""

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from mlops_platform.tests.equipment.plugin import REPOSITORY

HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


def last_version() -> str:
    """The newest version of the changelog."""
    return HEADING.findall((REPOSITORY / "CHANGELOG.md").read_text())[0]


def unpack(folder: Path) -> None:
    """Write the version's files into the folder.

    The version's commit is the one with its tag. A clone without tags has it as the commit that
    brought the version's heading into the changelog; a shallow clone fetches the tag.
    """
    version = last_version()
    tag = f"v{version}"
    commit = _commit(tag) or _brought(f"## [{version}]")
    if not commit:
        fetched = _git("fetch", "--depth=1", "origin", f"refs/tags/{tag}:refs/tags/{tag}")
        commit = _commit(tag)
    if not commit:
        pytest.skip(
            f"This test upgrades from {tag}, which this copy of the code has not, nor its origin: "
            f"{fetched.stderr.decode(errors='replace')}"
        )
    archive = _git("archive", "--format=tar", commit)
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")


def _commit(name: str) -> str:
    return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout.decode().strip()


def _brought(heading: str) -> str:
    """The commit that added the heading to the changelog; "" where a shallow clone lacks it."""
    if _git("rev-parse", "--is-shallow-repository").stdout.strip() != b"false":
        return ""
    log = _git("log", "--reverse", "--format=%H", f"-S{heading}", "--", "CHANGELOG.md")
    return (log.stdout.decode().split() or [""])[0]


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["git", *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
