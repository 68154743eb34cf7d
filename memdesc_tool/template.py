"""Texts made from templates: Jinja2, an undefined name is an error, whitespace is exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from memdesc_tool.errors import ToolError, UserError

Filter = Callable[..., Any]


def render(root: Path, name: str, **values: Any) -> str:
    """The template called name below root, filled in with values.

    Raises UserError that names the file.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return _render(environment, root, name, values)


def render_page(
    root: Path,
    name: str,
    *,
    clean: Callable[[str], str],
    filters: Mapping[str, Filter],
    html: bool,
    **values: Any,
) -> str:
    """A template filled in with values that nobody vouches for.

    clean: makes a value fit to be shown; every one that is printed goes through it. html: it is
    escaped then. filters: what the template may call. Raises UserError as render() does.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=html,
        finalize=lambda value: value if isinstance(value, Markup) else clean(str(value)),
    )
    environment.filters.update(filters)
    return _render(environment, root, name, values)


def _render(
    environment: jinja2.Environment, root: Path, name: str, values: Mapping[str, Any]
) -> str:
    try:
        return environment.get_template(name).render(**values)
    except jinja2.TemplateNotFound as error:
        raise UserError(f"there is no template {root / str(error.name)}") from None
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{error.filename or name}:{error.lineno}: {error.message}") from None
    except jinja2.UndefinedError as error:
        raise UserError(f"{root / name}: {error.message}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{root / name}: not UTF-8 at byte {error.start}") from None
    except ToolError:
        raise
    except Exception as error:  # whatever its expressions do
        raise UserError(f"{root / name}: {type(error).__name__}: {error}") from None
