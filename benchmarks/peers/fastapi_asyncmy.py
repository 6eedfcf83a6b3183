"""FastAPI with asyncmy's pool, as usually written: its defaults and an hour of ``pool_recycle``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import asyncmy
from asyncmy.errors import IntegrityError
from fastapi import FastAPI, Header, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

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


class City(BaseModel):
    """One row of the list."""

    city_id: int
    city: str
    country: str
    country_code: str
    population: int
    latitude: float
    longitude: float


class Cities(BaseModel):
    """The list."""

    cities: list[City]


class PostedAttempt(BaseModel):
    """The body of the POST."""

    score: float
    max_score: float
    taken_at: str


class Summary(BaseModel):
    """The answer to it."""

    attempts: int
    best: float
    total: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool, and close it."""
    app.state.pool = await asyncmy.create_pool(
        **connect_arguments(), db=database_name(), autocommit=True, pool_recycle=3600
    )
    yield
    app.state.pool.close()
    await app.state.pool.wait_closed()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def find_city(city: str = "") -> PlainTextResponse:
    """Look a city up."""
    async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(FIND_CITY, (city,))
        row = await cursor.fetchone()
    return PlainTextResponse(city_text(city, row))


@app.get("/cities", response_model=Cities)
async def list_cities(limit: int = 50) -> object:
    """List cities."""
    async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(LIST_CITIES, (limit,))
        rows = await cursor.fetchall()
    return cities_json(rows)


@app.get("/nodb")
async def no_database(city: str = "") -> PlainTextResponse:
    """Answer like the lookup, without a database."""
    return PlainTextResponse(city_text(city, (1,)))


@app.post("/students/{student_id}/chapters/{chapter_id}/attempts", response_model=Summary)
async def add_attempt(
    student_id: int,
    chapter_id: int,
    posted: PostedAttempt,
    idempotency_key: Annotated[str, Header()],
    response: Response,
) -> object:
    """Record an attempt once per key."""
    attempt = Attempt.posted(student_id, chapter_id, posted.model_dump(), idempotency_key)
    response.status_code = 201
    async with app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await connection.begin()
        try:
            for sql, args in attempt.statements():
                await cursor.execute(sql, args)
            await connection.commit()
        except IntegrityError:  # the key is there: it was done before
            await connection.rollback()
            response.status_code = 200
        except BaseException:
            await connection.rollback()
            raise
        await cursor.execute(READ_SUMMARY, attempt.place)
        row = await cursor.fetchone()
    return summary_json(row)
