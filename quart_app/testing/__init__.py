"""For tests, ours and yours: `pytest_plugins = ["quart_app.testing"]` gives the fixtures.

`mysql_server`, `database_url`, `breakable_server`, `make_local_server`, `server_kind`; and `app`,
`client`, `faults`. Needs the packages pytest, pytest-asyncio and, for servers in containers,
testcontainers. The app itself imports none of it.
"""

pytest_plugins = ("quart_app.testing.plugin", "quart_app.testing.application")
