"""Quart with aiomysql's pool, as usually written: its defaults and an hour of ``pool_recycle``."""

import aiomysql
import pymysql
from quart import Quart, Response, jsonify, request

from benchmarks.peers.contract import (
    FIND_CITY,
    LIST_CITIES,
    READ_SUMMARY,
    Attempt,
    cities_json,
    city_text,
    connect_arguments,
    database_name,
    summary_json,
)


class App(Quart):
    """Quart and its pool."""

    pool: aiomysql.Pool


app = App(__name__)


@app.before_serving
async def open_pool() -> None:
    """Open the pool."""
    app.pool = await aiomysql.create_pool(
        **connect_arguments(), db=database_name(), autocommit=True, pool_recycle=3600
    )


@app.after_serving
async def close_pool() -> None:
    """Close the pool."""
    app.pool.close()
    await app.pool.wait_closed()


@app.get("/")
async def find_city() -> Response:
    """Look a city up."""
    city = request.args.get("city", "")
    async with app.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(FIND_CITY, (city,))
        row = await cursor.fetchone()
    return Response(city_text(city, row), mimetype="text/plain")


@app.get("/cities")
async def list_cities() -> Response:
    """List cities."""
    async with app.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(LIST_CITIES, (request.args.get("limit", 50, int),))
        rows = await cursor.fetchall()
    return jsonify(cities_json(rows))


@app.get("/nodb")
async def no_database() -> Response:
    """Answer like the lookup, without a database."""
    return Response(city_text(request.args.get("city", ""), (1,)), mimetype="text/plain")


@app.post("/students/<int:student_id>/chapters/<int:chapter_id>/attempts")
async def add_attempt(student_id: int, chapter_id: int) -> tuple[Response, int]:
    """Record an attempt once per key."""
    key = request.headers["Idempotency-Key"]
    attempt = Attempt.posted(student_id, chapter_id, await request.get_json(), key)
    status = 201
    async with app.pool.acquire() as connection, connection.cursor() as cursor:
        await connection.begin()
        try:
            for sql, args in attempt.statements():
                await cursor.execute(sql, args)
            await connection.commit()
        except pymysql.err.IntegrityError:  # the key is there: it was done before
            await connection.rollback()
            status = 200
        except BaseException:
            await connection.rollback()
            raise
        await cursor.execute(READ_SUMMARY, attempt.place)
        row = await cursor.fetchone()
    return jsonify(summary_json(row)), status
