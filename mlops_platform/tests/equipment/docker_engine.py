"""A Docker engine of one's own, for tests and benchmarks: nothing of this machine's is touched.

Its image is busybox, imported from this machine's, so that no registry is needed either.
"""

import io
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 30.0


class NoEngine(Exception):  # noqa: N818 - a state of this machine, not a mistake
    """Why none can be had here, as a sentence."""


class Engine:
    """It can be stopped, with all that runs on it, and started again."""

    def __init__(self, path: Path, logs: Path, words: Sequence[str]) -> None:
        self.url = f"unix://{path}"
        self._path, self._logs, self._words = path, logs, words
        self._running = ExitStack()

    def start(self) -> None:
        process = self._running.enter_context(_program(self._logs, *self._words))
        _wait_for(process, self._path, self._logs)

    def stop(self) -> None:
        self._running.close()


@contextmanager
def engine_in(folder: Path, *options: str, bridge: str = "none") -> Iterator[Engine]:
    """A new engine that keeps all it has in `folder`, which goes when it ends.

    Raises NoEngine. `options` are further words for dockerd; `bridge` connects containers that ask
    for no other network.
    """
    with ExitStack() as until_the_end:
        until_the_end.callback(_clear_away, folder)
        logs = folder / "engine.log"
        (folder / "containerd.toml").write_text(
            f'version = 2\nroot = "{folder}/containerd"\nstate = "{folder}/run"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{folder}/containerd.sock"\n'
        )
        (folder / "daemon.json").write_text("{}")  # none of this machine's own settings
        containerd = until_the_end.enter_context(
            _program(logs, "containerd", "--config", f"{folder}/containerd.toml")
        )
        _wait_for(containerd, folder / "containerd.sock", logs)
        words = [
            "dockerd",
            *(f"--config-file={folder}/daemon.json", f"--containerd={folder}/containerd.sock"),
            *(f"--data-root={folder}/data", f"--exec-root={folder}/exec"),
            *(f"--pidfile={folder}/docker.pid", "-H", f"unix://{folder}/docker.sock"),
            *(f"--bridge={bridge}", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            *options,
        ]
        engine = Engine(folder / "docker.sock", logs, words)
        until_the_end.callback(engine.stop)
        engine.start()
        yield engine


def root_file_system() -> bytes:
    """A root file system as a tar: busybox, and a link to it for each of its programs."""
    try:
        applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, check=True, text=True)
    except OSError as error:
        raise NoEngine(f"There is no busybox to make an image of: {error}") from error
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("run", 0o1777)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add(BUSYBOX, "bin/busybox")
        for applet in set(applets.stdout.split()) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


@contextmanager
def _program(logs: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """It ends with the block, and with this process should that be killed."""
    if shutil.which(words[0]) is None or shutil.which("setpriv") is None:
        raise NoEngine(f"There is no {words[0]} here, or no setpriv.")
    with logs.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", path: Path, logs: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(path):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoEngine(f"The Docker engine does not start here: {_last_line(logs)}")
        time.sleep(0.05)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _last_line(logs: Path) -> str:
    return (logs.read_text(errors="replace").splitlines() or [""])[-1]


def _clear_away(folder: Path) -> None:
    """An engine that was killed leaves mounts behind."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)
