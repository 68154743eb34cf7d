"""The distribution that this machine runs, and the suites that its mirrors have of it.

data/distributions.toml says which are known.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.tomlfile import Table, read_toml

DISTRIBUTIONS = Path(__file__).with_name("data") / "distributions.toml"


@dataclass(frozen=True, order=True)
class Suite:
    """A suite of a mirror: the repository's URI as apt has it, and the name."""

    uri: str
    name: str

    @property
    def stem(self) -> str:
        """The release that it belongs to: "trixie" of "trixie-backports"."""
        return re.split("[-/]", self.name, maxsplit=1)[0]

    def of(self, codename: str) -> Suite:
        """The suite of the same kind of another release: "trixie-backports" of "trixie".

        codename as Release files have it: with a pocket in Debian, without in Ubuntu.
        """
        return Suite(self.uri, codename.partition("-")[0] + self.name.removeprefix(self.stem))


@dataclass(frozen=True)
class Distribution:
    """A distribution that this machine runs or descends from (data/distributions.toml)."""

    name: str
    codename: str
    keyring: Path | None
    aliases: tuple[str, ...]
    pockets: tuple[str, ...]
    packages: tuple[str, ...]


def distribution(os_release: dict[str, str]) -> Distribution | None:
    """The distribution that os_release (fields of os-release(5)) describes, if it is known."""
    table = read_toml(DISTRIBUTIONS, "the list of distributions")
    for name in (os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()):
        if name in table.values:
            return _distribution(table.table(name), os_release)
    return None


def _distribution(table: Table, os_release: dict[str, str]) -> Distribution:
    keyring = Path(table.string("keyring"))
    ubuntu = os_release.get("UBUNTU_CODENAME")
    codename = ubuntu if table.name == "ubuntu" and ubuntu else os_release.get("VERSION_CODENAME")
    return Distribution(
        name=table.string("name"),
        codename=codename or "",
        keyring=keyring if keyring.exists() else None,
        aliases=table.strings("aliases"),
        pockets=table.strings("pockets"),
        packages=table.strings("packages"),
    )


def this_distribution() -> Distribution | None:
    """The distribution of this machine, if it has apt and is known."""
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg", "dpkg-deb"))):
        return None
    try:
        return distribution(platform.freedesktop_os_release())
    except OSError:
        return None


def family(
    configured: Iterable[Suite], distro: Distribution, codenames: Iterable[str]
) -> list[Suite]:
    """The suites to ask: those configured that are the distribution's, then its others.

    codenames: releases known besides the machine's own. Sites that have nothing of the
    distribution's (a vendor's repository) are left out.
    """
    stems = dict.fromkeys((distro.codename, *codenames, *distro.aliases))
    own = [suite for suite in configured if suite.stem in stems]
    sites = dict.fromkeys(suite.uri for suite in own if suite.name == suite.stem)
    wanted = [
        Suite(site, f"{stem}{pocket}")
        for site in sites
        for stem in stems
        if stem
        for pocket in ("", *(f"-{pocket}" for pocket in distro.pockets))
    ]
    return list(dict.fromkeys([*own, *wanted]))
