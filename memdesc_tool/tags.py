"""The tags of trailers: which there are, which name people, which come from others by mail.

Source: Documentation/process/submitting-patches.rst, and what is used in the history.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TAGS = (
    "Fixes", "Reported-by", "Closes", "Suggested-by", "Co-developed-by", "Signed-off-by",
    "Tested-by", "Reviewed-by", "Acked-by", "Cc", "Link", "Assisted-by", "Debugged-by",
    "Based-on-patch-by", "Originally-by", "Message-ID",
)  # fmt: skip
PEOPLE = ("Reported-by", "Suggested-by", "Co-developed-by", "Signed-off-by", "Tested-by",
          "Reviewed-by", "Acked-by", "Cc", "Debugged-by")  # fmt: skip
"""Tags whose value is a person or a list."""
_AUTHORS = ("Signed-off-by", "Co-developed-by", "Assisted-by", "Based-on-patch-by", "Originally-by")
"""Tags that the author of a patch writes, of those that end in -by."""
_REPORTS = ("Link", "Closes")
_REVIEW = re.compile(r"[A-Za-z-]*(?:Reviewed|Acked|Tested)[A-Za-z-]*-by", re.IGNORECASE)


def is_known(name: str) -> bool:
    """Whether the kernel knows a tag; two may be one: Reviewed-and-tested-by."""
    return _each(name, TAGS)


def is_person(name: str) -> bool:
    """Whether the value of a tag is a person or a list."""
    return _each(name, PEOPLE)


def is_review(name: str) -> bool:
    """Whether a tag speaks of a patch as it was; the others stay whatever becomes of it."""
    return _REVIEW.fullmatch(name) is not None


def is_given(name: str) -> bool:
    """Whether a tag comes from others, by mail."""
    return (name.endswith("-by") and name not in _AUTHORS) or name in _REPORTS


def _each(name: str, tags: Iterable[str]) -> bool:
    parts = name.removesuffix("-by").split("-and-")
    every = (name,) if len(parts) == 1 else tuple(f"{part.capitalize()}-by" for part in parts)
    return all(one in tags for one in every)
