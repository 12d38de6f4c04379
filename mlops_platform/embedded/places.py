"""Where the embedded servers keep their files: pure functions of the data folder, so that each
process computes the same addresses.
"""

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parents[2]
DATABASE = "mlops"
DATABASE_USER = "mlops"
# Each in a folder of its own, into which no other server's account can write.
POSTGRES_SOCKET = "postgres/.s.PGSQL.5432"
REDIS_SOCKET = "redis/redis.sock"

# A Unix socket's path must fit in 108 bytes on Linux and 104 on macOS, with its end mark.
# PostgreSQL refuses a longer one; Redis silently cuts it off.
LONGEST_SOCKET_PATH = 100


def default_data_dir() -> Path:
    return REPOSITORY / ".data"


def data_dir() -> Path:
    """The folder for all that a run keeps: MLOPS_DATA_DIR, else `.data` in the checkout."""
    chosen = os.environ.get("MLOPS_DATA_DIR")
    return Path(chosen).expanduser().resolve() if chosen else default_data_dir()


def run_dir(data_dir: Path) -> Path:
    """The folder above the sockets: `run` in the data folder; where a socket's path would be too
    long there, a short one that belongs to this data folder alone."""
    near = data_dir.resolve() / "run"
    longest_name = max(POSTGRES_SOCKET, REDIS_SOCKET, key=len)
    if len(os.fsencode(near / longest_name)) <= LONGEST_SOCKET_PATH:
        return near
    digest = hashlib.sha256(os.fsencode(near)).hexdigest()[:16]
    # Not tempfile.gettempdir(): TMPDIR may differ between two shells, and both must find the same
    # servers.
    return Path("/tmp") / f"mlops-{digest}"  # noqa: S108 - made with mode 0700 and refused if another user owns it


def postgres_socket(data_dir: Path) -> Path:
    return run_dir(data_dir) / POSTGRES_SOCKET


def redis_socket(data_dir: Path) -> Path:
    return run_dir(data_dir) / REDIS_SOCKET


def postgres_url(data_dir: Path) -> str:
    """The embedded database's URL; its host is the percent-encoded folder of the socket."""
    folder = quote(str(postgres_socket(data_dir).parent), safe="")
    return f"postgres://{DATABASE_USER}@{folder}/{DATABASE}"


def redis_url(data_dir: Path, db: int = 0) -> str:
    """The embedded Redis's URL, as redis-py reads it."""
    return f"unix://{quote(str(redis_socket(data_dir)))}?db={db}"
