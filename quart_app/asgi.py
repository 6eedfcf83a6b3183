"""What Hypercorn serves: ``hypercorn quart_app.asgi:app``. The only import that does something."""

import sys

from quart_app import collector, logs, protocols
from quart_app.app import create_app
from quart_app.settings import Settings, SettingsError

try:
    settings = Settings.from_env()
except SettingsError as exc:
    sys.stderr.write(f"{exc}\n")
    sys.exit(2)

logs.configure(settings.log_format, settings.log_level)
protocols.mend()
app = create_app(settings)
collector.relax()
