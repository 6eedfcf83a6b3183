"""``DATABASE_URL`` to ConnectConfig and back to a text that is safe to print.

``mysql://user:password@host[:port][,host2[:port]...]/database?ssl_mode=...&ssl_ca=...&unix_socket=...``

Every fault is found before any is raised, and no message holds the user's name or the password.
"""

import difflib
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from quart_app.mysql.config import ConnectConfig, Endpoint, TLSMode

SCHEMES = ("mysql", "mariadb")
DEFAULT_PORT = 3306
MAX_PORT = 65535


def parse_database_url(url: str) -> ConnectConfig:
    """Read *url*. Raises ValueError that names every fault at once."""
    faults: list[str] = []
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        message = "is not a URL"
        raise ValueError(message) from None
    if parts.scheme not in SCHEMES:
        faults.append("should begin with mysql:// or mariadb://")
    elif "@" not in parts.netloc and "@" in url:  # every other fault follows from this one
        message = "has a '/', '?' or '#' in the user's name or password: write %2F, %3F or %23"
        raise ValueError(message)
    config = ConnectConfig(
        endpoints=_endpoints(parts, faults),
        user=_user(parts, faults),
        password=unquote(parts.password or ""),
        database=_database(parts, faults),
    )
    config = _with_options(config, parts.query, faults)
    if parts.fragment:
        faults.append("has a '#': write it as %23 in the database's name")
    if faults:
        raise ValueError("; ".join(faults))
    return config


def safe_text(config: ConnectConfig) -> str:
    """Write *config* as a URL without the password, for people and logs."""
    endpoints = ",".join(str(endpoint) for endpoint in config.endpoints)
    user = quote(config.user or "")
    return (
        f"mysql://{user}:***@{endpoints}/{config.database or ''}?ssl_mode={config.tls_mode.value}"
    )


def _user(parts: SplitResult, faults: list[str]) -> str | None:
    if not parts.username:
        faults.append("names no user (mysql://user:password@host/database)")
        return None
    return unquote(parts.username)


def _database(parts: SplitResult, faults: list[str]) -> str | None:
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        faults.append(
            "should name one database after the host (mysql://user:password@host/database)"
        )
        return None
    return name


def _endpoints(parts: SplitResult, faults: list[str]) -> tuple[Endpoint, ...]:
    hosts = parts.netloc.rpartition("@")[2]
    if not hosts:
        return (Endpoint(),)
    return tuple(_endpoint(host, faults) for host in hosts.split(","))


def _endpoint(text: str, faults: list[str]) -> Endpoint:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port_text = rest.removeprefix(":")
    else:
        host, _, port_text = text.partition(":")
    if not host:
        faults.append("has an empty host name")
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else 0
    if port_text and not 0 < port <= MAX_PORT:
        faults.append(f"has a port that is not a number from 1 to {MAX_PORT}")
    return Endpoint(host=unquote(host) or "localhost", port=port or DEFAULT_PORT)


def _ssl_mode(config: ConnectConfig, value: str) -> ConnectConfig:
    try:
        mode = TLSMode(value.lower().replace("_", "-"))
    except ValueError:
        known = ", ".join(mode.value for mode in TLSMode)
        message = f"has an unknown ssl_mode (known: {known})"
        raise ValueError(message) from None
    return replace(config, tls_mode=mode)


def _unix_socket(config: ConnectConfig, value: str) -> ConnectConfig:
    if len(config.endpoints) > 1:
        raise ValueError("has several hosts and a unix_socket, which is one server's")
    return replace(config, endpoints=(replace(config.endpoints[0], unix_socket=value),))


def _charset(config: ConnectConfig, value: str) -> ConnectConfig:
    if value != "utf8mb4":
        message = "has a charset other than utf8mb4, the only one this program speaks"
        raise ValueError(message)
    return config


_OPTIONS: dict[str, Callable[[ConnectConfig, str], ConnectConfig]] = {
    "ssl_mode": _ssl_mode,
    "ssl_ca": lambda config, value: replace(config, tls_ca=value),
    "ssl_cert": lambda config, value: replace(config, tls_cert=value),
    "ssl_key": lambda config, value: replace(config, tls_key=value),
    "unix_socket": _unix_socket,
    "charset": _charset,
}


def _with_options(config: ConnectConfig, query: str, faults: list[str]) -> ConnectConfig:
    given: set[str] = set()
    for text, value in parse_qsl(query, keep_blank_values=True):
        name = text.replace("-", "_")
        option = _OPTIONS.get(name)
        if option is None:
            # Not what was written: it may be a piece of a password.
            near = difflib.get_close_matches(text, _OPTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_OPTIONS)}"
            faults.append(f"has an unknown option ({hint})")
            continue
        if name in given:
            faults.append(f"has {name} twice")
        given.add(name)
        try:
            config = option(config, value)
        except ValueError as exc:
            faults.append(str(exc))
    verifies = config.tls_mode in (TLSMode.VERIFY_CA, TLSMode.VERIFY_IDENTITY)
    if config.tls_ca and not verifies:
        faults.append(
            "has ssl_ca without ssl_mode=verify-ca or verify-identity: it would not be used"
        )
    return config
