"""A server of one file that can drop the line, lie about ranges, stall, and never end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

CONTENT = bytes(range(256)) * 800  # 204,800 bytes

Behaviour = Callable[["Handler"], None]


@dataclass
class Mirror:
    """What the server did, and what it will do: one behaviour a request, the last one stays."""

    url: str
    behaviours: list[Behaviour] = field(default_factory=list)
    ranges: list[str | None] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        self.mirror.ranges.append(self.headers.get("Range"))
        behaviours = self.mirror.behaviours
        behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
        try:
            behaviour(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def start_of_range(self) -> int:
        text = self.headers.get("Range")
        return int(text.removeprefix("bytes=").removesuffix("-")) if text else 0

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def serve(content: bytes = CONTENT, upto: int | None = None) -> Behaviour:
    """A proper server, which hangs up at byte ``upto`` of the file."""

    def behave(handler: Handler) -> None:
        start = handler.start_of_range()
        if start >= len(content):
            handler.head(416, 0, Content_Range=f"bytes */{len(content)}")
            return
        rest = content[start:]
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            handler.head(206, len(rest), Content_Range=span)
        else:
            handler.head(200, len(rest))
        handler.wfile.write(content[start:upto])
        handler.wfile.flush()
        handler.close_connection = True

    return behave


def without_ranges(upto: int | None = None) -> Behaviour:
    def behave(handler: Handler) -> None:
        assert "models/a (1).onnx" in unquote(handler.path)
        handler.head(200, len(CONTENT))
        handler.wfile.write(CONTENT[:upto])
        handler.close_connection = True

    return behave


def stall(upto: int) -> Behaviour:
    def behave(handler: Handler) -> None:
        start = handler.start_of_range()
        span = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.head(206 if start else 200, len(CONTENT) - start, Content_Range=span)
        handler.wfile.write(CONTENT[start:upto])
        handler.wfile.flush()
        handler.mirror.stop.wait(60)

    return behave


def answer(status: int, **headers: str) -> Behaviour:
    return lambda handler: handler.head(status, 0, **headers)


def endless(handler: Handler) -> None:
    handler.head(200, None)
    while not handler.mirror.stop.is_set():
        handler.wfile.write(bytes(1 << 16))


def wrong_range(handler: Handler) -> None:
    if handler.start_of_range():
        span = f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"
        handler.head(206, len(CONTENT), Content_Range=span)
    else:
        handler.head(200, len(CONTENT))
    handler.wfile.write(CONTENT)
