"""Weights to download: a catalogue of made-up files and a slow server for them.

``python -m tests.faults.weights_server ARGUMENTS`` is chordtool with that catalogue.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

from chordtool import catalogue

SIZES = {"toy/first.onnx": 900_000, "toy/second.onnx": 400_000, "toy/words.json": 700}
_BLOCK = 16_384
_PAUSE_SECONDS = 0.004


def content(name: str) -> bytes:
    """The bytes of a made-up file."""
    return Random(name).randbytes(SIZES[name])


def entry() -> catalogue.CatalogueEntry:
    """The made-up model ``lv``."""
    files = tuple(
        catalogue.WeightFile(
            name=name, repository="owner/repository", commit="c" * 40, path=name,
            sha256=hashlib.sha256(content(name)).hexdigest(), size=SIZES[name],
        )
        for name in SIZES
    )  # fmt: skip
    return catalogue.CatalogueEntry("lv", files, "MIT", "nobody", "Made up.")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        data = content(self.path.split("/", 4)[4])
        start = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            start = int(asked[6:].split("-")[0])
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        for at in range(start, len(data), _BLOCK):
            self.wfile.write(data[at : at + _BLOCK])
            time.sleep(_PAUSE_SECONDS)

    def log_message(self, *arguments: object) -> None:
        """Nobody listens."""


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: object) -> None:
        """Clients that are killed break their connections."""


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server for the made-up files."""
    server = _QuietServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    from chordtool.cli import main

    catalogue.CATALOGUE["lv"] = entry()
    main()
