"""What is installed and run is what was looked at: hashes, digests, and known vulnerabilities."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.tests.equipment.plugin import REPOSITORY

HASH = "sha256:" + "0" * 64
DIGEST = "sha256:" + "1a" * 32
VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "summary": "Everything is known.",
    "affected": [
        {
            "package": {"name": "django", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.2.2"}]}],
        }
    ],
}


class Database(BaseHTTPRequestHandler):
    """Knows one vulnerability of Django, and answers in OSV's form."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = asked["package"]["name"] == "django"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"vulns": [VULNERABILITY]} if known else {}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def database() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def run(script: str, *arguments: str, cwd: Path = REPOSITORY, **variables: str) -> tuple[int, str]:
    """The script's exit code and what it said."""
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def audit(lock: Path, database: str) -> tuple[int, str]:
    return run(".ci/audit.py", str(lock), PIP_AUDIT_OSV_URL=database)


def write_lock(folder: Path, *pins: str) -> Path:
    lock = folder / "requirements.txt"
    lock.write_text("".join(f"{pin} \\\n    --hash={HASH}\n" for pin in pins))
    return lock


def test_a_known_vulnerability_fails_the_audit(database: str, tmp_path: Path) -> None:
    code, said = audit(write_lock(tmp_path, "django==5.2.1", "redis==8.1.0"), database)
    assert (code, "django 5.2.1: PYSEC-2026-1, mended in 5.2.2" in said) == (1, True), said
    assert "1 known vulnerabilities" in said


def test_without_one_the_audit_passes(database: str, tmp_path: Path) -> None:
    code, said = audit(write_lock(tmp_path, "redis==8.1.0"), database)
    assert (code, said) == (0, "1 locks, 0 known vulnerabilities\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1/query", "http://nowhere.invalid/v1/query"])
def test_where_the_database_is_away_the_audit_says_so_and_passes(tmp_path: Path, url: str) -> None:
    code, said = audit(write_lock(tmp_path, "django==5.2.1"), url)
    assert (code, said.startswith("The database of vulnerabilities does not answer")) == (0, True)


def test_a_lock_that_cannot_be_read_fails_the_audit(database: str, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("django==5.2.1\n")  # without a hash
    code, said = audit(lock, database)
    assert code, said
    assert "pip-audit failed" in said


def test_whatever_installs_packages_checks_their_hashes() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    files = [REPOSITORY / name for name in listed if re.search(r"file$|^\.ci/|\.(ya?ml|md)$", name)]
    assert len(files) > 50
    installs = [
        f"{file.name}: {line.strip()}"
        for file in files
        if file.is_file()
        for line in file.read_text().replace("\\\n", " ").splitlines()
        if re.search(r"\bpip3? (--python \S+ )?install\b", line)
    ]
    assert len(installs) >= 5, "Makefile, Dockerfile, .ci/venv and two pages"
    # Users install the client where they have other packages: it asks for ranges, without hashes.
    ours = [line for line in installs if "./client" not in line]
    assert [line for line in ours if "--require-hashes" not in line] == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copies of the files with images, and of the script."""
    for name in (".ci/images.py", "Dockerfile", "compose.yaml", ".github/workflows/ci.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def registry(folder: Path, answer: str) -> dict[str, str]:
    """Variables with which the script finds this program, and no other, to ask a registry."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "skopeo").write_text(f"#!/bin/sh\n{answer}\n")
    (programs / "skopeo").chmod(0o755)
    return {"PATH": str(programs)}


def test_images_are_pinned_where_a_registry_answers(checkout: Path) -> None:
    there = registry(checkout, f"echo {DIGEST}")
    code, said = run(".ci/images.py", "pin", cwd=checkout, **there)
    assert (code, said.count(DIGEST)) == (0, 6), said
    for name, line in (
        ("Dockerfile", f"FROM python:3.11-slim@{DIGEST}\n"),
        ("compose.yaml", f"    image: postgres:18@{DIGEST}\n"),
        ("compose.yaml", f"    image: redis:8@{DIGEST}\n"),
        ("compose.yaml", "  image: mlops-platform\n"),  # built here
        (".github/workflows/ci.yml", f"          - python:3.12-bookworm@{DIGEST}\n"),
    ):
        assert line in (checkout / name).read_text()
    assert run(".ci/images.py", "check", cwd=checkout) == (0, "")
    assert run(".ci/images.py", "outdated", cwd=checkout, **there) == (0, "")


def test_an_image_whose_tag_has_moved_on_is_outdated_and_pinned_anew(checkout: Path) -> None:
    run(".ci/images.py", "pin", cwd=checkout, **registry(checkout, f"echo {DIGEST}"))
    moved = registry(checkout, f"echo {HASH}")
    code, said = run(".ci/images.py", "outdated", cwd=checkout, **moved)
    assert (code, "postgres:18" in said, HASH in said) == (1, True, True)
    run(".ci/images.py", "pin", cwd=checkout, **moved)
    assert DIGEST not in (checkout / "compose.yaml").read_text()


@pytest.mark.parametrize("answer", ["exit 1", "echo no digest", "echo sha256:short"])
def test_where_no_registry_answers_nothing_is_changed(checkout: Path, answer: str) -> None:
    away = registry(checkout, answer)
    before = (checkout / "compose.yaml").read_text()
    code, said = run(".ci/images.py", "pin", cwd=checkout, **away)
    assert (code, "nothing was changed" in said) == (1, True)
    assert (checkout / "compose.yaml").read_text() == before
    code, said = run(".ci/images.py", "outdated", cwd=checkout, **away)
    assert (code, "No registry answers" in said) == (0, True)
