"""What a backup, and so a database, contains."""

from pathlib import Path
from typing import Any

from django.core.management import call_command

from mlops_platform.backup.file import Reader
from mlops_platform.backup.sessions import MAINTENANCE, session


def content(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the rows of each table."""
    with path.open("rb") as file:
        reader = Reader(file)
        rows = {}
        for name, _ in reader.manifest["tables"]:
            reader.begin_table()
            rows[name] = b"".join(iter(lambda: reader.read(8192), b""))
        return reader.manifest, rows


def everything(tmp_path: Path) -> tuple[Any, ...]:
    """All rows and sequences as they are now, and which databases the server has."""
    path = tmp_path / f"now-{len(list(tmp_path.iterdir()))}"
    call_command("backup", str(path))
    manifest, rows = content(path)
    with session(MAINTENANCE) as server, server.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database ORDER BY datname")
        return cursor.fetchall(), manifest["sequences"], manifest["migrations"], rows
