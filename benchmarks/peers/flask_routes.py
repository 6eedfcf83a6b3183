"""The routes of every Flask peer. Peers differ only in where a connection comes from."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, request

from benchmarks.peers.contract import (
    FIND_CITY,
    LIST_CITIES,
    READ_SUMMARY,
    Attempt,
    Row,
    cities_json,
    city_text,
    summary_json,
)

if TYPE_CHECKING:
    from pymysql.connections import Connection

Execute = Callable[[str, tuple[object, ...]], Sequence[Row]]
Scope = Callable[[], AbstractContextManager[Execute]]


def execute_on(connection: "Connection") -> Execute:
    """Return *execute* for a PyMySQL connection: one cursor a statement, all rows."""

    def execute(sql: str, args: tuple[object, ...]) -> Sequence[Row]:
        with connection.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    return execute


@contextmanager
def transaction_on(connection: "Connection") -> Iterator[Execute]:
    """Commit what was executed in the block, or roll it back."""
    connection.begin()
    try:
        yield execute_on(connection)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def make_app(reading: Scope, writing: Scope, *, duplicate: type[Exception]) -> Flask:
    """Make the app: *reading* and *writing* lend an ``execute``, *writing* in a transaction."""
    app = Flask(__name__)

    @app.get("/")
    def find_city() -> Response:
        city = request.args.get("city", "")
        with reading() as execute:
            rows = execute(FIND_CITY, (city,))
        return Response(city_text(city, rows[0] if rows else None), mimetype="text/plain")

    @app.get("/cities")
    def list_cities() -> Response:
        with reading() as execute:
            rows = execute(LIST_CITIES, (request.args.get("limit", 50, int),))
        return jsonify(cities_json(rows))

    @app.get("/nodb")
    def no_database() -> Response:
        return Response(city_text(request.args.get("city", ""), (1,)), mimetype="text/plain")

    @app.post("/students/<int:student_id>/chapters/<int:chapter_id>/attempts")
    def add_attempt(student_id: int, chapter_id: int) -> tuple[Response, int]:
        key = request.headers["Idempotency-Key"]
        attempt = Attempt.posted(student_id, chapter_id, request.get_json(), key)
        try:
            with writing() as execute:
                for sql, args in attempt.statements():
                    execute(sql, args)
                rows = execute(READ_SUMMARY, attempt.place)
        except duplicate:  # the key is there: it was done before
            with reading() as execute:
                rows = execute(READ_SUMMARY, attempt.place)
            return jsonify(summary_json(rows[0])), 200
        return jsonify(summary_json(rows[0])), 201

    return app
