"""Fetching weights: resumed after a break, checked before use, one process at a time.

A file arrives under a ``.part`` name and gets its own when size and checksum are right. What an
interrupted download got stays, and the next one goes on from there.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from chordtool import catalogue
from chordtool.catalogue import WeightFile
from chordtool.errors import ModelUnavailableError, first_line
from chordtool.locking import lock

MAX_UNSTATED_BYTES: Final = 64 << 20
"""Files whose size the catalogue does not know may not be larger than this."""
_BLOCK: Final = 1 << 16
_WORTH_ANOTHER_TRY: Final = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[WeightFile, int, int | None], None]
"""Called with the file, the bytes that are here, and the bytes it has (``None``: not known)."""


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server."""

    stall_seconds: float = 30.0
    """Silence after which a connection counts as dead."""
    attempts: int = 5
    """Attempts in a row that bring nothing new before giving up."""
    backoff_seconds: float = 0.5
    """Wait after the first failure; it doubles with each one that follows, up to 10 s."""


class _TransientError(Exception):
    """Another attempt may go better."""


class _SpoiledPartError(Exception):
    """What was fetched so far is of no use; start from nothing."""


def download(
    name: str,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    offline: bool = False,
    patience: Patience = Patience(),
) -> tuple[Path, ...]:
    """Fetch what is missing of a model's weights.

    Args:
        name: a model of the catalogue.
        folder: a models folder to fetch into and to look in; by default files are fetched into
            the user's cache and those of ``$CHORDTOOL_MODELS`` count as present.
        progress: told about every block that arrives.
        offline: fetch nothing; fail if something is missing.
        patience: time-outs and repetitions.

    Returns:
        The model's files in the catalogue's order, their checksums verified.

    Raises:
        ModelUnavailableError: a file could not be fetched, or is not what was published.
        UsageError: the catalogue has no such model.
    """
    target_folder = folder or catalogue.cache_folder()
    searched = (folder,) if folder else catalogue.folders()
    paths = []
    for file in catalogue.entry(name).files:
        found = catalogue.status(file, searched)
        if found.state == "ready" and found.path:
            paths.append(found.path)
            continue
        if offline:
            raise ModelUnavailableError(
                f"{file.name} of the model {name!r} is {found.state}, and this is offline.",
                hint=f"Run: chordtool models download {name}, without --offline.",
            )
        paths.append(_fetch_locked(file, target_folder / file.name, progress, patience))
    return tuple(paths)


def _fetch_locked(
    file: WeightFile, target: Path, progress: Progress | None, patience: Patience
) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock(target.parent / ".lock"):
            # Another process may have fetched it while this one waited.
            if not (target.is_file() and catalogue.is_genuine(target, file)):
                _fetch(file, target, progress or (lambda *_: None), patience)
    except OSError as error:
        raise ModelUnavailableError(
            f"{target} cannot be written: {error.strerror or error}.",
            hint="Free some space or mend the permissions; XDG_CACHE_HOME or --to choose "
            "another folder.",
        ) from None
    return target


def _fetch(file: WeightFile, target: Path, progress: Progress, patience: Patience) -> None:
    """Get a file under its final name, by as many attempts as patience allows."""
    part = catalogue.part_path(target, file)
    failures, restarted = 0, False
    most = _size(part)
    while True:
        before = _size(part)
        try:
            _attempt(file, part, progress, patience)
            break
        except _SpoiledPartError as error:
            part.unlink(missing_ok=True)
            if before == 0 or restarted:
                raise _refused(file, str(error)) from None
            restarted = True
        except _TransientError as error:
            failures = 1 if _size(part) > most else failures + 1
            most = max(most, _size(part))
            if failures >= patience.attempts:
                raise _refused(file, str(error)) from None
            time.sleep(min(patience.backoff_seconds * 2 ** (failures - 1), 10.0))
    part.replace(target)


def _attempt(file: WeightFile, part: Path, progress: Progress, patience: Patience) -> None:
    """One connection: append to the part what it brings, and check the whole."""
    have = _size(part)
    if have == 0 or have != file.size:
        response = _open(file, have, patience)
        try:
            total = _expected(file, response, have)
            if response.status == 200:
                have = 0  # the server sends the whole, asked for the rest or not
            with part.open("ab" if have else "wb") as sink:
                _copy(file, response, sink, have, total, progress)
        finally:
            response.close()
    if not catalogue.is_genuine(part, file):
        raise _SpoiledPartError("its content is not what was published")


def _copy(
    file: WeightFile,
    response: http.client.HTTPResponse,
    sink: IO[bytes],
    have: int,
    total: int | None,
    progress: Progress,
) -> None:
    limit = MAX_UNSTATED_BYTES if total is None else total
    while True:
        progress(file, have, total)
        try:
            block = response.read1(_BLOCK)
        except TimeoutError:
            raise _TransientError("the server went silent") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _TransientError(f"the connection broke ({_why(error)})") from None
        if not block:
            break
        have += len(block)
        if have > limit:
            raise _refused(file, f"the server sends more than {limit} bytes")
        sink.write(block)
    if total is not None and have < total:
        raise _TransientError(f"the connection ended after {have} of {total} bytes")


def _expected(file: WeightFile, response: http.client.HTTPResponse, have: int) -> int | None:
    """Bytes of the whole file by catalogue or server; they must agree.

    Raises:
        _SpoiledPartError: the server's rest does not follow on the part.
        ModelUnavailableError: the server's file has another size than the published one.
    """
    total: int | None = None
    if response.status == 206:
        shape = re.fullmatch(
            r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", response.headers.get("Content-Range", "")
        )
        if shape is None or int(shape[1]) != have:
            raise _SpoiledPartError("the server sends another part than the one asked for")
        total = None if shape[2] == "*" else int(shape[2])
    else:
        stated = response.headers.get("Content-Length", "")
        total = int(stated) if re.fullmatch(r"\d{1,18}", stated) else None
    if total is not None and file.size is not None and total != file.size:
        raise _refused(file, f"the server's file has {total} bytes instead of {file.size}")
    if total is not None and total > MAX_UNSTATED_BYTES and file.size is None:
        raise _refused(file, f"the server's file has {total} bytes")
    return file.size if total is None else total


def _open(file: WeightFile, have: int, patience: Patience) -> http.client.HTTPResponse:
    url = file.url
    _check_address(file, url)
    headers = {"User-Agent": f"chordtool/{version('chordtool')}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(_CarefulRedirects(file))
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=patience.stall_seconds)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise _SpoiledPartError("the server has less of it than is here") from None
        # The server's own words are left out: they may hold anything.
        why = f"the server answers {error.code} {http.client.responses.get(error.code, '')}"
        if error.code in _WORTH_ANOTHER_TRY:
            raise _TransientError(why) from None
        raise _refused(file, why) from None
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, socket.gaierror):
            raise _refused(file, f"the host {urlsplit(url).hostname} cannot be found") from None
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise _refused(
                file, f"its certificate is not valid ({reason.verify_message})"
            ) from None
        raise _TransientError(f"no connection ({reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _TransientError(f"no answer ({_why(error)})") from None
    except ValueError:  # letters that an address cannot have
        raise _refused(file, f"{url[:200]!r} is not an address") from None
    if response.status not in (200, 206) or (response.status == 206 and not have):
        response.close()
        raise _refused(file, f"the server answers {response.status}")
    return response


class _CarefulRedirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, file: WeightFile) -> None:
        self.file = file

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _check_address(self.file, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(file: WeightFile, url: str) -> None:
    """Weights come over https; plain http is for a mirror on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise _refused(file, f"{url[:200]!r} is not an address") from None
    here = host in ("localhost", "127.0.0.1", "::1")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and here)):
        raise _refused(file, f"{url[:200]!r} is not an https address")


def _refused(file: WeightFile, why: str) -> ModelUnavailableError:
    model = next((e.name for e in catalogue.CATALOGUE.values() if file in e.files), "NAME")
    return ModelUnavailableError(
        f"{file.name} cannot be downloaded: {why}.",
        hint=f"Try again later: chordtool models download {model}. Or put the file from {file.url} "
        f"into a folder of your own as {file.name} and set {catalogue.MODELS_ENV} to that folder.",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _why(error: Exception) -> str:
    return first_line(error) or type(error).__name__
