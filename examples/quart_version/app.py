"""The same API on Quart and the pool. A dead connection is nobody's business but the pool's.

DATABASE_URL=mysql://... hypercorn examples.quart_version.app:app --bind 127.0.0.1:5000
"""

import os

from quart import Quart, request

from quart_app.database_url import parse_database_url
from quart_app.extension import QuartMySQL
from quart_app.http import deadline, problems, reconnect

app = Quart(__name__)
db = QuartMySQL(app, connect=parse_database_url(os.environ["DATABASE_URL"]))
problems.install(app)  # every error is an application/problem+json
reconnect.install(app)  # a request that lost its connection is handled again, where that is safe
deadline.install(app, timeout=10)  # and answered within 10 s, one way or the other

city_id = db.lookup("SELECT city_id FROM city WHERE city = %s")


@app.get("/")
async def find_city() -> str:
    """Tell a city's number."""
    name = request.args.get("city", "")
    row = await city_id.first(name)
    return f'City "{name}" is #{row[0]}' if row else f'City "{name}" not found'


@app.post("/visits")
async def add_visit() -> tuple[dict[str, int], int]:
    """Record that somebody was in a city."""
    name = (await request.form)["city"]
    result = await db.execute("INSERT INTO visit (city) VALUES (%s)", (name,))
    return {"visit": result.insert_id}, 201
