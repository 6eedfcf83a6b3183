"""Our app as it is deployed, with one more route: a lookup's answer, without a database."""

from quart import Response, request

from benchmarks.peers.contract import city_text
from quart_app.asgi import app


@app.get("/nodb")
async def no_database() -> Response:
    """Pass everything that a lookup passes, but the database."""
    return Response(city_text(request.args.get("city", ""), (1,)), mimetype="text/plain")
