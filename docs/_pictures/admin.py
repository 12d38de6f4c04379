"""Takes the pictures of the admin: `make screenshots`.

Starts the platform on a data folder of its own, tells a small story over REST, and photographs the
page of a cluster and the list of deployments. The browser is a Chromium that is on PATH.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs/images"
START_TIMEOUT_S = 120.0
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a platform that lives for this picture alone


@contextmanager
def platform() -> Iterator[tuple[str, str]]:
    """A running platform: its address, and its operator's password."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="mlops-pictures-") as folder:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run"],
            cwd=ROOT,
            env={**os.environ, "MLOPS_DATA_DIR": folder, "PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield f"http://127.0.0.1:{port}", operator_password(process)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def operator_password(process: subprocess.Popen[str]) -> str:
    """Reads the platform's output until its pages answer; the password that it printed."""
    assert process.stdout is not None
    password = ""
    deadline = time.monotonic() + START_TIMEOUT_S
    for line in process.stdout:
        if found := re.search(r"with the password (\S+)", line):
            password = found[1]
        if "/admin/" in line:
            return password
        if time.monotonic() > deadline:
            break
    sys.exit("The platform did not start.")


class Client:
    """One user of the REST API."""

    def __init__(self, server: str, username: str) -> None:
        """A user who is not registered yet."""
        self.server = server
        self.token = ""
        self.post("/users/register", username=username, password=PASSWORD)
        self._log_in(username)

    @classmethod
    def of(cls, server: str, username: str) -> "Client":
        """A user who is."""
        found = cls.__new__(cls)
        found.server, found.token = server, ""
        found._log_in(username)
        return found

    def _log_in(self, username: str) -> None:
        account = {"username": username, "password": PASSWORD}
        self.token = self.post("/users/login", **account)["access_token"]

    def get(self, path: str) -> Any:
        return self._call(path, None)

    def post(self, path: str, **body: Any) -> Any:
        return self._call(path, json.dumps(body).encode())

    def _call(self, path: str, body: bytes | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(  # noqa: S310 - an address of this machine
            f"{self.server}/api{path}", body, headers
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
            return json.load(answer)


def tell_story(server: str) -> str:
    """Two organizations; in one a busy cluster of three nodes. The id of that cluster."""
    ada, grace, sam = (Client(server, name) for name in ("ada", "grace", "sam"))
    organization = ada.post("/orgs/create", name="Analytical Engines")
    grace.post("/orgs/join", invite_code=organization["developer_invite_code"])
    other = sam.post("/orgs/create", name="Difference Engines")
    sizes = {"total_cpu": 32, "total_ram": 131_072, "total_gpu": 4}
    sam.post("/clusters", organization_id=other["id"], name="lab", **sizes)
    cluster: str = ada.post(
        "/clusters", organization_id=organization["id"], name="gpu-west", **sizes
    )["id"]
    for number, gpus in enumerate((8, 8, 4), 1):
        node = {"cpu": 64, "ram": 262_144, "gpu": gpus, "labels": {"zone": "ab"[number % 2]}}
        ada.post(f"/clusters/{cluster}/nodes", name=f"node-{number}", **node)

    def submit(client: Client, name: str, gpus: int, priority: str = "LOW", **more: Any) -> None:
        client.post(
            "/deployments",
            cluster_id=cluster,
            name=name,
            image=f"registry.example.com/lab/{name}:1.2",
            priority=priority,
            required_cpu=2 * gpus,
            required_ram=8192 * gpus,
            required_gpu=gpus,
            **more,
        )

    submit(grace, "notebook", 2)
    submit(grace, "pretrain", 8, simulated_runtime_s=86_400)
    submit(ada, "embeddings", 4, simulated_runtime_s=7200)
    submit(ada, "serve-chat", 4, "HIGH")
    submit(grace, "ablation", 4, simulated_runtime_s=3600)
    submit(grace, "nightly", 4, simulated_runtime_s=3600)
    submit(grace, "finetune", 8, "HIGH", simulated_runtime_s=14_400)
    submit(ada, "sweep", 4, replicas=2, simulated_runtime_s=3600)
    time.sleep(3)  # for the cycles
    return cluster


def photograph(server: str, password: str, cluster: str) -> None:
    """Photographs the cluster and the deployments as an operator sees them."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("No chromium on PATH (Debian: apt install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 1010})
        page.goto(f"{server}/admin/")
        page.fill("[name=username]", "operator")
        page.fill("[name=password]", password)
        page.click("[type=submit]")
        page.goto(f"{server}/admin/clusters/cluster/{cluster}/change/")
        page.screenshot(path=IMAGES / "admin.png")
        page.set_viewport_size({"width": 1400, "height": 960})
        page.goto(f"{server}/admin/deployments/deployment/")
        page.screenshot(path=IMAGES / "admin-deployments.png")
        browser.close()


if __name__ == "__main__":
    with platform() as (address, secret):
        photograph(address, secret, tell_story(address))
