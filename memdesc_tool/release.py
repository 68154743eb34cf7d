"""A release's tarball from kernel.org (or a mirror of it), its checksum and signature verified.

kernel.org keeps linux-X.Y.Z.tar.xz below vX.x/, the checksums in sha256sums.asc beside it, and
linux-X.Y.Z.tar.sign: the release maintainer's signature of the tar before compression
(https://www.kernel.org/category/signatures.html).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from memdesc_tool.console import Progress
from memdesc_tool.download import NotThereError, Patience, download, fetch
from memdesc_tool.errors import CommandError, InfraError, UserError
from memdesc_tool.process import capture, writing
from memdesc_tool.tarball import decompressed

DEFAULT_URL = "https://cdn.kernel.org/pub/linux/kernel"
KEYS_HINT = (
    "gpg --locate-keys torvalds@kernel.org gregkh@kernel.org && gpg --export torvalds@kernel.org "
    "gregkh@kernel.org > kernel.gpg; then --keyring kernel.gpg (MEMDESC_TOOL_KERNEL_KEYRING)"
)


@dataclass(frozen=True)
class KernelOrg:
    """Where tarballs come from and how they are trusted.

    keyring: OpenPGP public keys, binary or armoured, of those who sign releases.
    verify_signature: False takes the tarball on its checksum alone, which only says that
    it is what the server lists.
    """

    url: str = DEFAULT_URL
    keyring: Path | None = None
    verify_signature: bool = True
    patience: Patience = field(default_factory=Patience)

    def check(self, release: str) -> None:
        """Raise UserError where a release could not be verified, before anything is fetched."""
        if not self.verify_signature:
            return
        if self.keyring is None:
            raise UserError(f"no keyring to verify linux-{release} from kernel.org with", KEYS_HINT)
        if not self.keyring.is_file():
            raise UserError(f"the keyring {self.keyring} does not exist", KEYS_HINT)
        if not shutil.which("gpgv"):
            raise InfraError("gpgv is not installed", "apt install gpgv gpg")


@dataclass(frozen=True)
class Tarball:
    """A verified tarball. signer: fingerprint of the key, "" where it was not checked."""

    path: Path
    release: str
    url: str
    sha256: str
    signer: str

    @property
    def origin(self) -> str:
        """One line for people: exactly what it is."""
        how = f"signed by {self.signer}" if self.signer else "SIGNATURE NOT VERIFIED"
        return f"Linux {self.release}, {self.url}, {how}"


def obtain(
    site: KernelOrg,
    release: str,
    directory: Path,
    need_space: Callable[[int], None],
    progress: Progress,
) -> Tarball:
    """The tarball of a release ("7.3", "7.3.4") in directory, verified.

    need_space is told the size of the download before it begins. Raises UserError where
    there is no such release or no keyring, InfraError for what the network or server did and
    for a tarball that cannot be trusted (which is then removed).
    """
    site.check(release)
    name = f"linux-{release}.tar.xz"
    place = f"{site.url.rstrip('/')}/v{release.partition('.')[0]}.x"
    sha256 = _listed_checksum(site, place, name, release)
    path = directory / name
    with progress.step(f"downloading {name}") as tell:
        if not path.exists():
            download(f"{place}/{name}", path, sha256=sha256, patience=site.patience,
                     need_space=need_space, tell=tell)  # fmt: skip
    signer = ""
    if site.verify_signature:
        assert site.keyring
        with progress.step(f"verifying the signature of {name}"):
            signature = fetch(f"{place}/linux-{release}.tar.sign", site.patience)
            try:
                signer = verify(path, signature, site.keyring)
            except InfraError:
                path.unlink()
                raise
    return Tarball(path, release, f"{place}/{name}", sha256, signer)


def _listed_checksum(site: KernelOrg, place: str, name: str, release: str) -> str:
    unknown = f"{site.url} has no release {release}"
    try:
        listing = fetch(f"{place}/sha256sums.asc", site.patience).decode(errors="replace")
    except NotThereError:
        raise UserError(unknown, "releases look like 7.3 or 7.3.4") from None
    match = re.search(rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", listing, re.MULTILINE)
    if not match:
        raise UserError(unknown, "releases look like 7.3 or 7.3.4")
    return match[1]


def verify(path: Path, signature: bytes, keyring: Path) -> str:
    """Check a detached signature of the tar inside path; return the signing key's fingerprint.

    Raises InfraError where it is bad, by a key that is not in keyring, or expired.
    """
    with tempfile.TemporaryDirectory(prefix="memdesc-gpgv-") as name:
        home = Path(name)
        (home / "tar.sign").write_bytes(signature)
        argv = ["gpgv", "--homedir", name, "--keyring", str(_binary_keyring(keyring, home)),
                "--status-fd", "1", str(home / "tar.sign"), "-"]  # fmt: skip
        try:
            with (
                _tar_of(path) as tar,
                writing(argv, cwd=home, env={"GNUPGHOME": name}, log_file=home / "said") as stream,
            ):
                shutil.copyfileobj(tar, stream, 1 << 20)
        except CommandError as error:
            raise InfraError(
                f"the signature of {path.name} is not good: {_reason(error.tail)}", KEYS_HINT
            ) from None
        status = (home / "said").read_text(errors="replace")
    match = re.search(r"^\[GNUPG:\] VALIDSIG .*?(\S+)$", status, re.MULTILINE)
    if not match:
        raise InfraError(f"the signature of {path.name} is not good", KEYS_HINT)
    return match[1]


@contextmanager
def _tar_of(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as stream:
        yield decompressed(stream, path.name)


def _binary_keyring(keyring: Path, home: Path) -> Path:
    """gpgv reads binary keyrings only."""
    if not keyring.read_bytes().lstrip().startswith(b"-----BEGIN PGP"):
        return keyring.absolute()
    binary = home / "keyring.gpg"
    capture(["gpg", "--homedir", str(home), "--batch", "--yes", "--output", str(binary),
             "--dearmor", str(keyring.absolute())], cwd=home)  # fmt: skip
    return binary


def _reason(tail: str) -> str:
    said = [line for line in tail.splitlines() if not line.startswith("[GNUPG:]")]
    lines = [line.removeprefix("gpgv: ") for line in said if line.strip()]
    return lines[-1] if lines else "gpgv says nothing"


@contextmanager
def source_tar(tarball: Tarball) -> Iterator[IO[bytes]]:
    """The decompressed tar of a tarball, as a stream."""
    with _tar_of(tarball.path) as stream:
        yield stream
