"""Asks an engine about files of its containers, without running anything in them."""

import base64
import json
from datetime import datetime
from typing import Any

from deployments.runtimes.docker.client import Answered, Engine
from deployments.runtimes.docker.replica_status import moment

STAT = "X-Docker-Container-Path-Stat"  # base64 of JSON


def touched_at(engine: Engine, container_id: str, path: str) -> datetime | None:
    """When the file was last written, by the engine's clock; None where there is none. A link's own
    time, not that of what it leads to. The engine sees volumes, and no folder that is in memory."""

    def stat(client: Any) -> datetime | None:
        url = f"{client.base_url}/v{client.api_version}/containers/{container_id}/archive"
        response = client.head(url, params={"path": path}, timeout=client.timeout)
        if response.status_code == 404:
            return None
        if response.status_code >= 400:
            raise Answered(response.status_code, f"No time of the file: {response.status_code}")
        found = moment(json.loads(base64.b64decode(response.headers[STAT]))["mtime"])
        if found is not None and found.tzinfo is None:
            raise ValueError("a time without its zone")
        return found

    return engine.call(stat)
