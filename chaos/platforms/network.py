"""A network between the platform and a server, which can be slow, silent or cut.

`python -m chaos.platforms.network PORT SOCKET` listens on a port, passes all on to a Unix socket,
and obeys the words that come on its standard input. It is a process of its own so that the suite's
threads do not slow it down.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos.platforms.programs import REPOSITORY

CHUNK = 65536


class Network:
    """The handle of such a process."""

    def __init__(self, port: int, socket: Path) -> None:
        self.port = port
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.platforms.network", str(port), str(socket)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it listens

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Whatever is sent arrives so much later, in either direction."""
        yield from self._while(f"slow {seconds}")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Connections are made, and nothing arrives."""
        yield from self._while("silent")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """All connections break, and new ones break at once."""
        yield from self._while("cut")

    def reset(self) -> None:
        """All connections break; new ones work."""
        self._say("reset")

    def _while(self, word: str) -> Iterator[None]:
        self._say(word)
        try:
            yield
        finally:
            self._say("open")

    def _say(self, word: str) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{word}\n")
        stdin.flush()
        stdout.readline()  # done


class Switch:
    """What becomes of the bytes."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._slow_s, self._is_cut = 0.0, False
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def obey(self, word: str, *arguments: str) -> None:
        self._slow_s = float(arguments[0]) if word == "slow" else 0.0
        self._is_cut = word == "cut"
        if word == "silent":
            self._passes.clear()
        else:
            self._passes.set()
        if word in {"cut", "reset"}:
            for writer in list(self._writers):
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if not self._is_cut:
                there, back = await asyncio.open_unix_connection(self._target)
                ends.append(back)
                self._writers.update(ends)
                await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))
        except OSError:
            pass  # either end has gone, and so does the other
        finally:
            self._writers.difference_update(ends)
            for each in ends:
                each.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._slow_s:
                await asyncio.sleep(self._slow_s)
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()


async def main(port: int, target: str) -> None:
    switch = Switch(target)
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(words), sys.stdin
    )
    async with await asyncio.start_server(switch.serve, "127.0.0.1", port):
        _answer()
        while line := await words.readline():
            switch.obey(*line.decode().split())
            _answer()


def _answer() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
