"""The pages about what can be set: the app's settings, the engine's configuration, the commands."""

from dataclasses import MISSING, fields
from enum import Enum

import click
from pydantic_core import PydanticUndefined

from quart_app.cli import main
from quart_app.mysql.config import ConnectConfig, PoolConfig, RetryPolicy
from quart_app.settings import Settings, env_name
from quart_app.tokens import Tokens
from tests.docs.source import comments
from tests.docs.tables import block, code, page, table

WIDTH = 92
# What the code does not say in a comment above the field.
SAID_HERE = {
    "database": "`mysql://user:password@host[:port][,host2[:port]…]/database?ssl_mode=…`;"
    " options: `ssl_mode` (disabled, preferred, required, verify-ca, verify-identity), `ssl_ca`,"
    " `ssl_cert`, `ssl_key`, `unix_socket`, `charset` (utf8mb4 only).",
    "maxsize": "The most connections a process opens for work. A small pool is a fast pool.",
    "bind": "Where to listen; several by commas.",
    "workers": "How many processes, each with an event loop and a pool of its own.",
    "connect_timeout": "One deadline over resolving, TCP, TLS, authentication and session set-up.",
    "acquire_timeout": "How long a caller waits for a connection to be free.",
    "log_level": "debug, info, warning or error.",
    "log_format": "json, console, or auto: console where a person looks on.",
    "tokens": "`students:<sha256 hex>,ops:<sha256 hex>`, several of a scope by repeating it. "
    "From a file they change with it, without a restart.",
}


def settings() -> str:
    """Write the page of the app's settings."""
    reasons = {**comments(PoolConfig), **{k: v for k, v in comments(Settings).items() if v}}
    reasons.update(SAID_HERE)
    # "The budget, in order." and the like introduce a group, and say nothing of its first field.
    for name in ("probe_timeout", "minsize", "pool_recycle"):
        reasons[name] = comments(PoolConfig)[name]
    rows = [
        (code(env_name(name)), _default(field.get_default()), reasons.get(name, ""))
        for name, field in Settings.model_fields.items()
    ]
    order = " < ".join(code(env_name(name)) for name in Settings.budget)
    return page(
        "Settings",
        "Environment variables, read once at the start; seconds where nothing else is said. Every fault"
        " is reported at once, unknown `QUART_APP_` names among them, and the exit status is 2. No"
        " value is ever printed: a wrong one may be a password in the wrong place.",
        table(("variable", "default", "meaning"), rows),
        "`" + "`, `".join(f"{env_name(name)}_FILE" for name in Settings.secrets) + "` name a file"
        " that holds the value, as container engines give secrets. No `.env` file is read.",
        f"The budget must rise, or the start fails: {order}.",
    )


def engine_configuration() -> str:
    """Write the page of the engine's configuration."""
    parts = []
    for cls in (ConnectConfig, PoolConfig, RetryPolicy):
        said = comments(cls)
        rows = [
            (
                code(item.name),
                _default(item.default if item.default is not MISSING else ""),
                said[item.name],
            )
            for item in fields(cls)
        ]
        parts += [f"## {cls.__name__}", str(cls.__doc__), table(("field", "default", "why"), rows)]
    return page(
        "Configuration of the engine",
        "For programs that use `quart_app.mysql` by itself; the app fills these from its"
        " [settings](settings.md). Keyword-only, frozen, checked when made. Seconds.",
        *parts,
    )


def command_line() -> str:
    """Write the page of the commands: what ``--help`` prints."""
    settings = dict(main.context_settings, terminal_width=WIDTH)
    context = click.Context(main, info_name="quart-app", **settings)
    parts = [block(main.get_help(context))]
    for name in sorted(main.commands):
        command = main.commands[name]
        inner = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
        parts += [f"## quart-app {name}", block(command.get_help(inner))]
    return page(
        "Command line",
        "Exit status: 0 done, 1 it did not work, 2 wrong settings or usage; 130: `torture` was ended by"
        " Ctrl-C. `doctor` has its own, below; with wrong settings it ends with 3, since it can connect"
        " to nothing.",
        *parts,
    )


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    if isinstance(value, Enum):
        return code(value.value)
    if isinstance(value, tuple):
        return code(", ".join(map(str, value)))
    return "none" if isinstance(value, Tokens) else code(value)
