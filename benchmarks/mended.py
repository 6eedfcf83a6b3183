"""No framework, no database, on Hypercorn as our app mends it: what is left of the HTTP server."""

from benchmarks.peers.bare import asgi
from quart_app import protocols

protocols.mend()
app = asgi
