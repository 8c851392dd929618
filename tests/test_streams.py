"""Reading from those who may not write."""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from chordtool.streams import chunks

posix_only = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no such signals here")


class _HeardError(Exception):
    """What the signal raises."""


@contextmanager
def _writer_signals_and_closes_late(writing: int) -> Iterator[None]:
    """Another thread gets the signal, so that the read that waits is not interrupted by it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _HeardError

    def write() -> None:
        os.write(writing, b"some")
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        over.wait(60)
        os.close(writing)

    over = threading.Event()
    earlier = signal.signal(signal.SIGUSR1, stop)
    thread = threading.Thread(target=write)
    try:
        thread.start()
        yield
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, earlier)


@posix_only
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_signal_that_interrupts_no_read_is_heard(buffering: int) -> None:
    reading, writing = os.pipe()
    began = time.monotonic()
    with (
        os.fdopen(reading, "rb", buffering) as stream,
        pytest.raises(_HeardError),
        _writer_signals_and_closes_late(writing),
    ):
        list(chunks(stream))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_pipe_is_read_to_its_end(buffering: int) -> None:
    data = os.urandom(3 << 20)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb", buffering) as stream:
        assert b"".join(chunks(stream)) == data
    thread.join()


def test_what_was_read_ahead_is_not_lost() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"first and the rest")
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert stream.read(5) == b"first"
        assert b"".join(chunks(stream)) == b" and the rest"


def test_a_connection_is_not_waited_for() -> None:
    """What came may lie in a layer above, as with TLS, and it has a time limit of its own."""
    ours, theirs = socket.socketpair()

    class Response(io.BytesIO):
        def fileno(self) -> int:
            return ours.fileno()

    with ours, theirs:
        assert b"".join(chunks(Response(b"decrypted already"))) == b"decrypted already"
        ours.settimeout(0.1)
        with ours.makefile("rb") as stream, pytest.raises(TimeoutError):
            list(chunks(stream))


def test_what_is_no_file_is_read_as_it_can_be() -> None:
    assert b"".join(chunks(io.BytesIO(b"x" * (3 << 20)))) == b"x" * (3 << 20)

    class Slow(io.RawIOBase):
        left = 3

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            self.left -= 1
            if self.left < 0:
                return 0
            memoryview(buffer)[:2] = b"ab"  # type: ignore[arg-type]
            return 2

    assert b"".join(chunks(Slow())) == b"ababab"  # type: ignore[arg-type]
