"""Our app with one more route: the same answer as a lookup, without a database."""

from quart import Response, request

from benchmarks.peers.contract import city_text
from quart_app.app import create_app
from quart_app.settings import Settings

app = create_app(Settings.from_env())


@app.get("/nodb")
async def no_database() -> Response:
    """Pass everything that a lookup passes, but the database."""
    return Response(city_text(request.args.get("city", ""), (1,)), mimetype="text/plain")
