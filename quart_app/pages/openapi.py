"""The OpenAPI document, made from the routes; with the media types that quart-schema cannot tell."""

import json
from typing import Any

from quart import Quart
from quart_schema import HttpSecurityScheme, Info, License, OpenAPIProvider, QuartSchema, Tag

from quart_app import __version__
from quart_app.http.problems import MEDIA_TYPE, Problem

DESCRIPTION = (
    "The world's cities and countries. Errors are `application/problem+json` (RFC 9457); every "
    "answer carries the request's id as `X-Request-ID`."
)
TAGS = [
    Tag(name="cities", description="The world's cities and countries."),
    Tag(name="health", description="For load balancers and orchestrators."),
]


class Provider(OpenAPIProvider):
    """Problems are problem+json, texts are text; each response has a description."""

    def build_response_object(
        self,
        model: Any,
        headers_model: Any,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        response, definitions = super().build_response_object(model, headers_model)
        media_type = MEDIA_TYPE if model is Problem else getattr(model, "media_type", None)
        if media_type is not None:
            content = response["content"]
            content[media_type] = content.pop("application/json")
            if media_type.startswith("text/"):
                content[media_type]["schema"] = {"type": "string"}
        return response, definitions


def install(app: Quart) -> None:
    """Serve ``/openapi.json`` for the routes of *app*; quart-schema's own pages load from afar."""
    QuartSchema(
        app,
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        info=Info(
            title="quart-app",
            version=__version__,
            description=DESCRIPTION,
            license=License(name="MIT", identifier="MIT"),
        ),
        tags=list(TAGS),
        security_schemes={"bearer": HttpSecurityScheme(scheme="bearer")},
        conversion_preference="msgspec",
        openapi_provider_class=Provider,
    )


def document(app: Quart) -> dict[str, Any]:
    """Make the document as plain data."""
    schema = app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    plain: dict[str, Any] = json.loads(app.json.dumps(schema))
    return plain
