"""A server on loopback that serves files as mirrors do, and misbehaves as mirrors do."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PIECE = 64


@dataclass(kw_only=True)
class Mirror:
    """What is served, by path; the ways in which it is not; and what was asked for, as (path, Range).

    `broken_off` are paths whose body ends half-way, once; `endless` whose body never ends, `dripping` whose body comes
    a few bytes at a time, `refused` those that are answered with 403. After `dies_after` bytes of one answer nothing is
    served any more.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    broken_off: set[str] = field(default_factory=set)
    endless: set[str] = field(default_factory=set)
    dripping: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    dies_after: int | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    uri: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def serve(self, path: str, content: bytes) -> str:
        """Serve some bytes; returns their URI."""
        self.files[path] = content
        return f"{self.uri}{path}"

    def serve_folder(self, folder: Path, below: str = "") -> str:
        """Serve every file of a folder as it is now."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[f"{below}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
        return f"{self.uri}{below}"


@contextmanager
def mirror() -> Iterator[Mirror]:
    """A running mirror; gone afterwards, whatever it still sends."""
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            path = self.path.partition("?")[0]
            state.requests.append((path, wanted))
            body = state.files.get(path)
            if body is None or path in state.refused:
                self.send_error(404 if body is None else 403)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            if path not in state.endless:
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            try:
                self._send(path, body, start)
            except OSError:
                self.close_connection = True

        def _send(self, path: str, body: bytes, start: int) -> None:
            if path in state.broken_off:
                state.broken_off.discard(path)
                self.wfile.write(body[start : len(body) // 2])
                self.close_connection = True
            elif state.dies_after is not None:
                self.wfile.write(body[start : state.dies_after])
                self.close_connection = True
            elif path in state.endless:
                while not state.stopped.is_set():
                    self.wfile.write(body)
            elif path in state.dripping:
                for at in range(start, len(body), PIECE):
                    if state.stopped.is_set():
                        return
                    self.wfile.write(body[at : at + PIECE])
                    time.sleep(0.01)
            else:
                self.wfile.write(body[start:])

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            """No log on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.uri = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
