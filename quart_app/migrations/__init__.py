"""The tables, in numbered steps of raw SQL that work on MariaDB and MySQL alike.

Applied by a command (``quart-app migrate``), never by a web worker. To add one: copy the newest file
of versions/ under the next number and set *revision* and *down_revision*.
"""

from quart_app.migrations.runner import ForeignTables, MigrationBusy, State, migrate, read_state

__all__ = ["ForeignTables", "MigrationBusy", "State", "migrate", "read_state"]
