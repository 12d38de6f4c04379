"""A real PostgreSQL and a real Redis for a machine that has neither.

Both come as binaries inside Python packages, so `make run` and `make test` need nothing but pip.
The servers listen on Unix sockets only (a port could be taken), keep their data below the data
folder, and run as long as a process uses them: each process that needs them has a shared lock, and
the last process to leave stops them. A killed process loses its lock, so nothing that it leaves
behind (sockets, pid files, even live servers) hinders the next start.

Used where DATABASE_URL or REDIS_URL is unset; production sets both and starts no server here. This
package does not import Django: settings import the addresses, and `manage.py` starts the servers
before Django exists.
"""

from mlops_platform.embedded.lifetime import kept_alive, services, services_for_environment
from mlops_platform.embedded.places import data_dir, postgres_url, redis_url
from mlops_platform.embedded.process import EmbeddedServerError

__all__ = [
    "EmbeddedServerError",
    "data_dir",
    "kept_alive",
    "postgres_url",
    "redis_url",
    "services",
    "services_for_environment",
]
