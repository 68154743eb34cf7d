"""Texts made from templates: Jinja2, an undefined name is an error, whitespace is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from memdesc_tool.errors import UserError


def render(root: Path, name: str, **values: Any) -> str:
    """The template called name below root, filled in with values.

    Raises UserError that names file and line.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    try:
        return environment.get_template(name).render(**values)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"there is no template {root / str(error.name)}") from None
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{error.filename or name}:{error.lineno}: {error.message}") from None
    except jinja2.UndefinedError as error:
        raise UserError(f"{root / name}: {error.message}") from None
