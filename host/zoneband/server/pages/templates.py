"""From templates to answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from zoneband import __version__
from zoneband.i18n import LANGUAGES, _, language
from zoneband.server.pages import timeline, words
from zoneband.server.pages.door import Visitor

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_NAMES = {"vi": "Tiếng Việt", "en": "English"}


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names: dict[str, Any] = {
        "_": _,
        "words": words,
        "timeline": timeline,
        "static": _static,
        "drawn": Markup,
        "query": query,
    }
    made.globals.update(names)
    return made


def _static(name: str) -> str:
    # Named by version, so that browsers may keep a file for as long as they like.
    return f"/tracer/static/{name}?v={__version__}"


def query(**values: object) -> str:
    """?a=1&b=2 of what is not empty; "" when all is."""
    text = urlencode({key: str(value) for key, value in values.items() if value not in (None, "")})
    return "?" + text if text else ""


_ENVIRONMENT = _environment()


def render(template: str, **values: object) -> str:
    """A template as text."""
    return _ENVIRONMENT.get_template(template).render(**values)


def page(
    request: Request,
    template: str,
    visitor: Visitor | None = None,
    *,
    status: int = 200,
    here: str | None = None,
    **values: object,
) -> HTMLResponse:
    """A template as an answer. here: the address under which a GET shows this page; the request's
    own when not given."""
    kept = [(k, v) for k, v in parse_qsl(request.url.query) if k != "lang"]
    path = request.url.path
    if here is not None:
        path, kept = here, []
    switch = [
        {
            "code": code,
            "name": _NAMES[code],
            "href": f"{path}?{urlencode([*kept, ('lang', code)])}",
            "current": code == language(),
        }
        for code in LANGUAGES
    ]
    html = render(
        template,
        visitor=visitor,
        csrf=visitor.session.csrf if visitor else "",
        language=language(),
        languages=switch,
        said=said(request.query_params.get("said", "")),
        **values,
    )
    return HTMLResponse(html, status)


def said(code: str) -> str:
    """What was just done, in words; "" for anything else."""
    texts: dict[str, Callable[[], str]] = {
        "declared": lambda: _("The case is declared."),
        "known": lambda: _("This case was declared before; what was new is added."),
        "confirmed": lambda: _("The case is confirmed."),
        "closed": lambda: _("The case is closed."),
        "withdrawn": lambda: _("The case is withdrawn."),
        "call": lambda: _("The call is noted."),
        "out": lambda: _("You are logged out."),
    }
    return texts[code]() if code in texts else ""
