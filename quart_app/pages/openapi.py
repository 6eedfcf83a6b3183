"""The OpenAPI document, made from the routes; with the media types that quart-schema cannot tell."""

import json
from collections.abc import Iterable
from http import HTTPStatus
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
from werkzeug.routing import BaseConverter, Rule

from quart_app import __version__
from quart_app.http import problems
from quart_app.http.ids import IdConverter

DESCRIPTION = (
    "The world's cities and countries, and what students did in their chapters. Errors are "
    "application/problem+json (RFC 9457); every answer carries the request's id as X-Request-ID."
)
TAGS = [
    Tag(name="cities", description="The world's cities and countries."),
    Tag(name="students", description="Students and their attempts at chapters; needs a token."),
    Tag(name="health", description="For load balancers and orchestrators."),
]


# Of a status, what every problem of it is sent with.
_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "string", "How to ask: with a bearer token."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "integer", "Seconds; when to ask again."),
}


class Provider(OpenAPIProvider):
    """As quart-schema's, but problems are problem+json, texts are text, and bodies are shared.

    A model says by *media_type* what it is sent as, and by *also* what may come instead: another
    model, or a media type. A header without a default is required. What a problem of a status may
    be is told from the table of problems.
    """

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """As quart-schema's, with the headers and the meaning of problems."""
        paths, components = super().build_paths(rule)
        for operations in paths.values():
            for method, operation in operations.items():
                for status, response in operation["responses"].items():
                    if problems.MEDIA_TYPE in response["content"]:
                        _tell_problem(HTTPStatus(status), response, reads=method == "get")
        return paths, components

    def build_path_parameter(self, name: str, converter: BaseConverter) -> dict[str, Any]:
        """As quart-schema's; of an id, what it may be."""
        parameter = super().build_path_parameter(name, converter)
        if isinstance(converter, IdConverter):
            parameter["schema"] |= {"minimum": 0, "maximum": 10**converter.DIGITS - 1}
        return parameter

    def generate_rules(self) -> Iterable[Rule]:
        return (rule for rule in super().generate_rules() if not rule.endpoint.endswith("static"))

    def build_response_object(
        self, model: type[Model], headers_model: type[Model] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        response, _ = super().build_response_object(model, None)
        if headers_model is not None:
            response["headers"] = _headers(headers_model)
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
        """As a form sends them: an empty one counts as not given (http/query.py), none is null."""
        parameters, definitions = super().build_querystring_parameters(model)
        for parameter in parameters:
            parameter["allowEmptyValue"] = True
            parameter["schema"] = _given(parameter["schema"])
        return parameters, definitions

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
        media_types = (*body["content"], *getattr(model, "also", ()))
        body["content"] = {media_type: {"schema": schema} for media_type in media_types}
        return body, definitions


def _referred(model: type[Model]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make a reference to *model* and the definitions it leads to, which quart-schema forgets."""
    (schema,), definitions = msgspec.json.schema_components(
        (model,), ref_template="#/components/schemas/{name}"
    )
    return schema, definitions


def _headers(model: type[Model]) -> dict[str, Any]:
    """Describe the headers that an answer may have; quart-schema puts them among the bodies."""
    properties = msgspec.json.schema_components((model,))[1][model.__name__]["properties"]
    return {
        "-".join(part.title() for part in name.split("_")): {
            "description": schema.pop("description"),
            "schema": schema,
        }
        for name, schema in properties.items()
    }


def _tell_problem(status: HTTPStatus, response: dict[str, Any], *, reads: bool) -> None:
    """Say in *response* which problems *status* stands for, and with which header they come."""
    never = {problems.REJECTED} | ({problems.OUTCOME_UNKNOWN} if reads else set())
    kinds = [kind for kind in problems.KINDS if kind.status == status and kind not in never]
    if list(response["content"]) == [problems.MEDIA_TYPE]:
        response["description"] = "; or: ".join(f"{kind.title} ({kind.slug})" for kind in kinds)
    if status in _HEADERS:
        name, type_, description = _HEADERS[status]
        header = {"description": description, "schema": {"type": type_}}
        response["headers"] = {**response.get("headers", {}), name: header}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """What is left of *schema* for a value that is given: not null, which is its default."""
    values = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(values) != 1:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    given: dict[str, Any] = values[0] | rest
    return given


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
