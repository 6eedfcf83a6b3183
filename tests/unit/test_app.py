"""Properties that every route has, also those that will be added; and pages without a database."""

import json
import re
from typing import Any

import pytest
from quart import Quart

from quart_app.app import create_app
from quart_app.database_url import parse_database_url
from quart_app.extension import EXTENSION, QuartMySQL
from quart_app.settings import Settings

OUTSIDE = re.compile(r"""(?:src|href|action)=["'](?!/|data:|#)|url\((?!["']?data:)|https?://""")

# Probes read the state; the original poster's call has an envelope of its own.
OWN_ERRORS = ("/health/ready", "/students/{student_id}")


@pytest.fixture(name="app")
def _app() -> Quart:
    url = parse_database_url("mysql://me:hidden@127.0.0.1:1/mine")
    return create_app(Settings(database=url, access_log=False))


@pytest.fixture(name="document")
async def _document(app: Quart) -> dict[str, Any]:
    response = await app.test_client().get("/openapi.json")
    document: dict[str, Any] = json.loads(await response.get_data())
    return document


def test_extension_is_found_by_name(app: Quart) -> None:
    assert isinstance(app.extensions[EXTENSION], QuartMySQL)


def test_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert {"/", "/cities", "/cities/{city_id}", "/countries"} <= set(document["paths"])


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references
    assert references <= set(document["components"]["schemas"])


def test_every_operation_says_what_it_does_and_what_it_answers(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation["responses"], (method, path)


def test_every_operation_documents_being_unavailable(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path != "/health/live":
                assert "503" in operation["responses"], (method, path)


def test_every_error_is_documented_as_a_problem(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and path not in OWN_ERRORS:
                    assert list(response["content"]) == ["application/problem+json"], path


def test_document_says_which_routes_need_which_token(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            needed = [{"bearer": ["students"]}] if path.startswith("/students") else None
            assert operation.get("security") == needed, path
            assert ("401" in operation["responses"]) is (needed is not None), path


def test_original_call_takes_a_form_too(document: dict[str, Any]) -> None:
    content = document["paths"]["/students/{student_id}"]["post"]["requestBody"]["content"]
    assert set(content) == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }


def test_route_that_reads_a_body_documents_how_it_is_refused(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation:
                assert {"400", "408", "413"} <= set(operation["responses"]), path


def test_headers_of_answers_are_documented(document: dict[str, Any]) -> None:
    found = {
        (status, header)
        for operations in document["paths"].values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        for header in response.get("headers", ())
    }
    assert found == {
        ("201", "Idempotent-Replayed"),
        ("401", "WWW-Authenticate"),
        ("503", "Retry-After"),
    }


def test_problem_says_what_its_status_means_here(document: dict[str, Any]) -> None:
    attempts = document["paths"]["/students/{student_id}/chapters/{chapter_id}/attempts"]
    assert "outcome-unknown" in attempts["post"]["responses"]["503"]["description"]
    assert "outcome-unknown" not in attempts["get"]["responses"]["503"]["description"]
    assert "key-reused" in attempts["post"]["responses"]["422"]["description"]


def test_no_parameter_may_be_null(document: dict[str, Any]) -> None:
    assert '"null"' not in json.dumps(
        [
            operation.get("parameters", [])
            for operations in document["paths"].values()
            for operation in operations.values()
        ]
    )


async def test_docs_tell_tokens_and_bodies(app: Quart) -> None:
    text = await (await app.test_client().get("/docs")).get_data(as_text=True)
    assert text.count("bearer token of scope <code>students</code>") == 4
    assert text.count("Body of the request") == 2
    assert text.count("application/<wbr>x-www-form-urlencoded") == 1


def test_query_may_be_that_of_a_form_left_empty(document: dict[str, Any]) -> None:
    parameters = [
        parameter
        for operations in document["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    ]
    assert {parameter["name"] for parameter in parameters} >= {"city", "limit", "cursor"}
    assert all(parameter["allowEmptyValue"] for parameter in parameters)


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/unavailable", "/static/style.css"])
async def test_page_loads_nothing_from_elsewhere(app: Quart, path: str) -> None:
    response = await app.test_client().get(path)
    text = await response.get_data(as_text=True)
    assert response.status_code == 200
    assert not OUTSIDE.search(text)
    assert "<script" not in text


@pytest.mark.parametrize("path", ["/", "/docs", "/problems/unavailable"])
async def test_page_is_accessible(app: Quart, path: str) -> None:
    response = await app.test_client().get(path)
    text = await response.get_data(as_text=True)
    assert '<html lang="en">' in text
    assert text.count("<h1>") == 1
    assert 'name="viewport"' in text
    fields = set(re.findall(r'<input id="([^"]+)"', text))
    assert fields == set(re.findall(r'<label for="([^"]+)"', text))
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_page_of_an_unknown_problem_is_a_problem(app: Quart) -> None:
    response = await app.test_client().get("/problems/nothing")
    assert response.status_code == 404


async def test_live_needs_no_database(app: Quart) -> None:
    response = await app.test_client().get("/health/live")
    assert (response.status_code, await response.get_data()) == (200, b'{"status":"live"}')


async def test_not_ready_before_serving(app: Quart) -> None:
    response = await app.test_client().get("/health/ready")
    assert response.status_code == 503
    assert json.loads(await response.get_data())["reason"] == "no database connection"


async def test_request_outside_of_serving_is_unavailable_and_tells_no_secret(app: Quart) -> None:
    response = await app.test_client().get("/?city=London")
    body = await response.get_data()
    assert response.status_code == 503
    assert b"hidden" not in body
    assert b"127.0.0.1" not in body
