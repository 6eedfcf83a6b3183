"""The OpenAPI document, made from the routes; with the media types that quart-schema cannot tell."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from quart import Quart, Response
from quart.typing import ResponseReturnValue, ResponseTypes
from quart_schema import (
    DataSource,
    HttpSecurityScheme,
    Info,
    License,
    OpenAPIProvider,
    QuartSchema,
    Tag,
)
from quart_schema.typing import Model
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from quart_app import __version__

DESCRIPTION = (
    "The world's cities and countries. Errors are application/problem+json (RFC 9457); every "
    "answer carries the request's id as X-Request-ID."
)
TAGS = [
    Tag(name="cities", description="The world's cities and countries."),
    Tag(name="health", description="For load balancers and orchestrators."),
]


class Provider(OpenAPIProvider):
    """As quart-schema's, but problems are problem+json, texts are text, and bodies are shared.

    A model says by *media_type* what it is sent as, and by *also* what may come instead: another
    model, or a media type. A header without a default is required.
    """

    def generate_rules(self) -> Iterable[Rule]:
        return (rule for rule in super().generate_rules() if not rule.endpoint.endswith("static"))

    def build_response_object(
        self, model: type[Model], headers_model: type[Model] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        response, _ = super().build_response_object(model, headers_model)
        schema, definitions = _referred(model)
        media_type = getattr(model, "media_type", "application/json")
        if media_type.startswith("text/"):
            schema, definitions = {"type": "string"}, {}
        response["content"] = {media_type: {"schema": schema}}
        for other in getattr(model, "also", ()):
            if isinstance(other, str):
                response["content"][other] = {"schema": {"type": "string"}}
            else:
                more, more_definitions = self.build_response_object(other, None)
                response["content"] |= more["content"]
                definitions |= more_definitions
        return response, definitions

    def build_querystring_parameters(
        self, model: type[Model]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """As a form sends them: an empty one counts as not given (http/query.py)."""
        parameters, definitions = super().build_querystring_parameters(model)
        return [{**parameter, "allowEmptyValue": True} for parameter in parameters], definitions

    def build_headers_parameters(
        self, model: type[Model]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        parameters, definitions = super().build_headers_parameters(model)
        for parameter in parameters:
            parameter["required"] = "default" not in parameter["schema"]
        return parameters, definitions

    def build_request_body(
        self, model: type[Model], source: DataSource
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        body, _ = super().build_request_body(model, source)
        body["required"] = True
        schema, definitions = _referred(model)
        for content in body["content"].values():
            content["schema"] = schema
        return body, definitions


def _referred(model: type[Model]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a reference to *model* and the definitions it leads to, which quart-schema forgets."""
    (schema,), definitions = msgspec.json.schema_components(
        (model,), ref_template="#/components/schemas/{name}"
    )
    return schema, definitions


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
    _convert_only_values(app)


def _convert_only_values(app: Quart) -> None:
    """Keep quart-schema's conversion away from what is a response already: most results are."""
    converting = app.make_response

    async def make_response(result: ResponseReturnValue | HTTPException) -> ResponseTypes:
        return result if isinstance(result, Response) else await converting(result)

    app.make_response = make_response  # type: ignore[method-assign] # as quart-schema does


def document(app: Quart) -> dict[str, Any]:
    """Make the document as plain data."""
    schema = app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    plain: dict[str, Any] = json.loads(app.json.dumps(schema))
    return plain
