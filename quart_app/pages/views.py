"""Pages for people. They load nothing from another host: http/security.py holds them to it."""

from quart import Blueprint, current_app, render_template
from quart_schema import hide

from quart_app.http import problems
from quart_app.http.problems import ProblemError
from quart_app.pages.openapi import document

blueprint = Blueprint(
    "pages",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)


@blueprint.get("/docs")
@hide
async def docs() -> str:
    """Show the OpenAPI document."""
    return await render_template(
        "docs.html", document=document(current_app), problems=problems.KINDS
    )


@blueprint.get("/problems/<slug>")
@hide
async def problem(slug: str) -> str:
    """Explain what a problem's type means."""
    kind = next((kind for kind in problems.KINDS if kind.slug == slug), None)
    if kind is None:
        raise ProblemError(problems.NOT_FOUND, problems.NOT_FOUND.meaning)
    return await render_template("problem.html", kind=kind)
