"""The series that a mail from b4 belongs to, found by what the mail says of itself.

The mail is a patch, or the cover letter. `b4 review` names a file with what it tracks of the
series; else the mail has the change-id of a branch or tag of b4's.
"""

from __future__ import annotations

import email
import email.policy
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.b4 import B4, users_settings
from memdesc_tool.errors import CommandError, UserError
from memdesc_tool.git import Git

TRACKING = "B4_TRACKING_FILE"


@dataclass(frozen=True)
class Announced:
    """What a mail says of its series: "" for what it does not, 1 for a number.

    number: of the patch, 0 for the cover letter; revision: of the series.
    """

    number: int
    revision: int
    change_id: str
    base: str


def read_announced(data: bytes) -> Announced:
    """Read a mail, whatever its transfer encoding."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    part = message.get_body(("plain",))
    payload = part.get_payload(decode=True) if part else b""
    text = payload.decode(errors="replace") if isinstance(payload, bytes) else ""
    tags = str(message["Subject"] or "").partition("]")[0]
    number, revision = re.search(r"\b(\d+)/\d+", tags), re.search(r"\bv(\d+)\b", tags)
    change = re.search(r"^change-id: (\S+)", text, re.MULTILINE)
    base = re.search(r"^base-commit: ([0-9a-f]{7,})", text, re.MULTILINE)
    return Announced(
        int(number[1]) if number else 1,
        int(revision[1]) if revision else 1,
        change[1] if change else "",
        base[1] if base else "",
    )


def review_span(tree: Git, data: bytes) -> tuple[str, str]:
    """(base, tip) of the series that a mail belongs to, in the tree.

    Raises UserError where that is not known: what happens to be checked out is not taken.
    """
    said = read_announced(data)
    if found := _tracked(tree) or _sent(tree, said) or _prepared(tree, said):
        return found
    known = f"v{said.revision} of {said.change_id}" if said.change_id else "no change-id in it"
    raise UserError(
        f"the commits of this mail's series are not known in the tree ({known})",
        "b4 review makes a branch of them",
    )


def _tracked(tree: Git) -> tuple[str, str] | None:
    """What b4 review says in its file; None where there is none, or nothing was applied yet."""
    name = os.environ.get(TRACKING)
    if not name:
        return None
    try:
        series = json.loads(Path(name).read_text(encoding="utf-8"))["series"]
        first, branch = series.get("first-patch-commit"), f"b4/review/{series['change-id']}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{TRACKING} {name} cannot be read: {type(error).__name__}") from None
    return (tree.commit(f"{first}^"), tree.commit(branch)) if first else None


def _sent(tree: Git, said: Announced) -> tuple[str, str] | None:
    """What `b4 send` has tagged when it sent this revision."""
    tag = f"refs/tags/sent/{said.change_id}-v{said.revision}"
    if not said.base or tree.attempt("show-ref", "--verify", "--quiet", tag)[0]:
        return None
    return tree.commit(said.base), tree.commit(tag)


def _prepared(tree: Git, said: Announced) -> tuple[str, str] | None:
    """The prep branch of this revision: b4 puts the branch's name into the change-id."""
    heads = tree.run("for-each-ref", "--format=%(refname:short)", "refs/heads/b4/").split()
    b4 = B4(tree.path, users_settings(tree))
    for branch in (one for one in heads if one.removeprefix("b4/") in said.change_id):
        try:
            info = b4.info(branch)
        except CommandError:
            continue  # a branch of another origin
        if (info.get("change-id"), info.get("revision")) == (said.change_id, str(said.revision)):
            return tree.commit(info["base-commit"]), tree.commit(branch)
    return None
