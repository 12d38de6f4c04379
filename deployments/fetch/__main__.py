"""`python -m deployments.fetch`: fetches what its document names, and ends with 0, FAILED or
DELAYED.

While it runs it writes JSON, one object a line: how much it has fetched, or what it waits for
before its next try. The last line says why it has failed.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from deployments.fetch import guard
from deployments.fetch.faults import Failed
from deployments.fetch.fetching import Fetching
from deployments.runtimes.fetches import DELAYED, DOCUMENT, FAILED, FOLDER

LAST_WORDS = Path("/dev/termination-log")  # which a kubelet gives a container


class TimeIsUp(BaseException):  # nothing that catches errors catches it
    """The document's `within_s` are over."""


def main() -> int:
    document = json.loads(Path(FOLDER, DOCUMENT).read_text())
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, document["within_s"])
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]  # an image's own would be read instead of the document's
    if any(each["judged"] for each in document["buckets"]):
        guard.forbid_addresses_of_others(document["ranges"])
    fetching = Fetching(document["buckets"], document["most_mib"], _report)
    try:
        fetching.run()
    except Failed as error:
        return _last_words(str(error), FAILED)
    except TimeIsUp:
        said = f"It took more than {document['within_s']} s"
        return _last_words(f"{said}: {fetching.delay}" if fetching.delay else f"{said}.", DELAYED)
    return 0


def _time_is_up(*_: object) -> None:
    raise TimeIsUp


def _report(what: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def _last_words(said: str, status: int) -> int:
    _report({"said": said, "is_over": True})
    if LAST_WORDS.exists():
        LAST_WORDS.write_text(said)
    return status


if __name__ == "__main__":
    os._exit(main())  # a thread may still wait for a server
