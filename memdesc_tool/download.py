"""Files over HTTP from servers that break off, stall, lie or are not there.

An interrupted download stays as NAME.part and is gone on with; nothing gets its final name
before its checksum is right.
"""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memdesc_tool.errors import InfraError, UserError

CHUNK = 1 << 18
SMALL_LIMIT = 16 << 20
RETRIED = (408, 425, 429, 500, 502, 503, 504)


class NotThereError(InfraError):
    """The server says that it has no such file (404, 410)."""


class _BrokenOffError(Exception):
    """An attempt that may be repeated; the text says what happened."""


@dataclass(frozen=True)
class Patience:
    """How long to put up with a server.

    timeout: seconds without at least floor bytes before an attempt is given up; attempts: how
    many in a row may bring nothing; pause: seconds between them.
    """

    timeout: float = 30
    attempts: int = 3
    pause: float = 2
    floor: int = 4096


def fetch(url: str, patience: Patience) -> bytes:
    """A small file. Raises NotThereError, InfraError."""
    data = bytearray()

    def attempt() -> None:
        data.clear()
        with closing(_open(url, 0, patience)) as response:
            for chunk in _chunks(response, patience):
                data.extend(chunk)
                if len(data) > SMALL_LIMIT:
                    raise InfraError(f"{url} is larger than expected", "check --source-url")
            _check_length(response, len(data), 0)

    _insist(url, attempt, lambda: 0, patience)
    return bytes(data)


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    patience: Patience,
    need_space: Callable[[int], None],
    tell: Callable[[str], None],
) -> None:
    """Bring url to the path target; done when its SHA-256 (hex) is right.

    need_space is told the size in bytes before anything is written and raises where there is
    too little; tell gets how far it is. Raises NotThereError, InfraError.
    """
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.exists()
    _insist(
        url, lambda: _attempt(url, part, patience, need_space, tell), lambda: _size(part), patience
    )
    if resumed and sha256_of(part) != sha256:
        # The old beginning may be of another file: once more from the start.
        part.unlink()
        _insist(
            url,
            lambda: _attempt(url, part, patience, need_space, tell),
            lambda: _size(part),
            patience,
        )
    if sha256_of(part) != sha256:
        part.unlink()
        raise InfraError(f"{url} does not have the checksum that the server lists for it")
    part.replace(target)


def _attempt(
    url: str,
    part: Path,
    patience: Patience,
    need_space: Callable[[int], None],
    tell: Callable[[str], None],
) -> None:
    start = _size(part)
    with closing(_open(url, start, patience)) as response:
        status = getattr(response, "status", None)
        if status == 416:  # nothing after what we have: whole, or of another file
            return
        if status != 206 or not _continues(response, start):
            start = 0
        length = _length(response)
        total = start + length if length is not None else 0
        need_space(length or 0)
        with part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            for chunk in _chunks(response, patience):
                stream.write(chunk)
                tell(f"{stream.tell() / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else ""))
        _check_length(response, _size(part), start)


def _insist(
    url: str, attempt: Callable[[], None], size: Callable[[], int], patience: Patience
) -> None:
    """Repeat attempt until it is through; give up after several that brought nothing."""
    idle = 0
    while True:
        before = size()
        try:
            attempt()
            return
        except _BrokenOffError as error:
            idle = 0 if size() > before else idle + 1
            if idle >= patience.attempts:
                raise InfraError(
                    f"{url}: {error}", "the same command goes on where it stopped"
                ) from None
        time.sleep(patience.pause)


def _open(url: str, start: int, patience: Patience) -> Any:
    """The response, from byte start on where the server can do that."""
    headers = {"User-Agent": "memdesc-tool", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=patience.timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:
            return error
        error.close()
        if error.code in (404, 410):
            raise NotThereError(f"{url}: not there (HTTP status {error.code})") from None
        if error.code in RETRIED:
            raise _BrokenOffError(f"the server answers HTTP status {error.code}") from None
        raise InfraError(f"{url}: the server answers HTTP status {error.code}") from None
    except (ValueError, http.client.InvalidURL):
        raise UserError(f"{url} is no URL", "check --source-url") from None
    except urllib.error.URLError as error:
        raise _BrokenOffError(f"cannot be reached: {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the server broke off: {error or type(error).__name__}") from None


def _chunks(response: Any, patience: Patience) -> Any:
    """What the response brings, as long as it brings enough."""
    since, received = time.monotonic(), 0
    while True:
        try:
            chunk = response.read1(CHUNK) if hasattr(response, "read1") else response.read(CHUNK)
        except TimeoutError:
            raise _BrokenOffError(f"nothing for {patience.timeout:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOffError(f"the server broke off: {type(error).__name__}") from None
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        now = time.monotonic()
        if now - since > patience.timeout:
            if received < patience.floor:
                raise _BrokenOffError(f"only {received} bytes in {now - since:.0f} s")
            since, received = now, 0


def _continues(response: Any, start: int) -> bool:
    """Whether a partial answer begins at byte start."""
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _length(response: Any) -> int | None:
    text = response.headers.get("Content-Length", "") or ""
    return int(text) if text.isdigit() else None


def _check_length(response: Any, size: int, start: int) -> None:
    length = _length(response)
    if length is not None and size - start < length:
        raise _BrokenOffError(f"ended after {size - start} of {length} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """The digest of a file in hex; "" where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
