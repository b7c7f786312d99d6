"""A link between two Unix sockets that can be cut."""

import asyncio
import contextlib
import threading
from pathlib import Path


class Proxy:
    """Forwards connections to a server's socket, from a thread of its own, until it is closed.

    Args:
        socket: where it listens.
        server: what it forwards to; may come and go.
    """

    def __init__(self, socket: Path, server: Path) -> None:
        self._socket, self._server = socket, server
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()
        listening.wait()

    def cut(self) -> None:
        """Lose what is under way, replies included; say nothing to either side."""
        self._is_cut = True

    def mend(self) -> None:
        """Forward again; connections that were open when the link was cut are closed."""
        self._loop.call_soon_threadsafe(self._mend)

    def close(self) -> None:
        """Stop forwarding."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _mend(self) -> None:
        self._is_cut = False
        for writer in self._open:
            writer.close()

    def _run(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_unix_server(self._accept, self._socket)
        server = self._loop.run_until_complete(serving)
        listening.set()
        self._loop.run_forever()
        server.close()
        for writer in self._open:
            writer.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            onward_reader, onward = await asyncio.open_unix_connection(self._server)
        except OSError:
            self._open.discard(writer)
            writer.close()
            return
        self._open.add(onward)
        await asyncio.gather(self._pump(reader, onward), self._pump(onward_reader, writer))
        self._open -= {writer, onward}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._is_cut:
                    writer.write(data)
                    await writer.drain()
        writer.close()
