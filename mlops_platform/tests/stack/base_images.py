"""Base images under the names that the Dockerfile and compose.yaml use, made of Debian's packages.

One root file system, with Python, PostgreSQL and Redis, serves all three; only the entrypoints
differ. A stand-in says nothing of the images that a registry has under these names.
"""

import json
import subprocess
from pathlib import Path

PACKAGES = ("python3", "python3-pip", "ca-certificates", "postgresql", "redis-server")
SUITE = "bookworm"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")

POSTGRES_ENTRYPOINT = """\
#!/bin/sh
# As the image of a registry: a database and its owner are made at the first start.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH PGDATA=/var/lib/postgresql/data
export PATH PGDATA
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    install --directory --owner=postgres --mode=0700 "$PGDATA"
    echo "$POSTGRES_PASSWORD" > /tmp/password
    chown postgres /tmp/password
    setpriv --reuid=postgres --regid=postgres --init-groups initdb --username="$POSTGRES_USER" \\
        --pwfile=/tmp/password --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | setpriv --reuid=postgres --regid=postgres --init-groups \\
        postgres --single -D "$PGDATA" postgres
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups "$@" '-clisten_addresses=*'
"""


def make_root(root: Path) -> None:
    """A Debian below `root`, which must not exist. Takes a minute or more."""
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE]
    subprocess.run([*words, root], check=True, stdout=subprocess.DEVNULL)
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()  # pip installs for the whole image, as it does in Python's own
    (root / "usr/bin/python").symlink_to("python3")
    # The image's pip trusts what this machine trusts, and asks where it asks.
    (root / CERTIFICATES).write_bytes((Path("/") / CERTIFICATES).read_bytes())
    if (own := Path("/etc/pip.conf")).exists():
        (root / "etc/pip.conf").write_bytes(own.read_bytes())
    entrypoint = root / "usr/local/bin/postgres-entrypoint"
    entrypoint.write_text(POSTGRES_ENTRYPOINT)
    entrypoint.chmod(0o755)
    for cached in root.glob("var/cache/apt/archives/*.deb"):
        cached.unlink()
    redis_data = root / "data"
    redis_data.mkdir()
    subprocess.run(["chroot", root, "chown", "redis:redis", "/data"], check=True)


def import_images(root: Path, docker_host: str, names: dict[str, str]) -> None:
    """`names`: the full name of the image that stands for `python`, `postgres` and `redis`."""
    changes = {
        "python": [],
        "postgres": [f"ENTRYPOINT {json.dumps(['postgres-entrypoint'])}"],
        "redis": ["WORKDIR /data"],
    }
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    for software, name in names.items():
        options = [word for change in changes[software] for word in ("--change", change)]
        words = ["docker", "--host", docker_host, "import", *options]
        subprocess.run([*words, archive, name], check=True, stdout=subprocess.DEVNULL)
    archive.unlink()
