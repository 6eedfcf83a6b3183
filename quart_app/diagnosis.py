"""What it means when no connection can be made, and which setting to change. No secrets in it."""

from quart_app.mysql import errors

_BY_ERRNO = {
    1045: "the server refuses this user or password: check both in DATABASE_URL",
    1044: (
        "this user may not use this database, or it does not exist: check the name after the host "
        "in DATABASE_URL, and the user's rights"
    ),
    1130: "the server takes no connections from this machine: check the user's host part there",
}
_BY_TYPE: tuple[tuple[type[errors.DatabaseError], str], ...] = (
    (
        errors.UnknownDatabase,
        "the server has no such database: check the name after the host in DATABASE_URL",
    ),
    (
        errors.AccessDenied,
        "the server refuses this account: check user and password in DATABASE_URL",
    ),
    (
        errors.TLSRequired,
        "no TLS as demanded: check ssl_mode, ssl_ca, ssl_cert and ssl_key in DATABASE_URL",
    ),
    (
        errors.TooManyConnections,
        "the server takes no more connections: lower QUART_APP_MAXSIZE, or raise its limit",
    ),
    (
        errors.ConnectError,
        (
            "the server cannot be reached: does it run? Check host and port in DATABASE_URL, "
            "or its unix_socket"
        ),
    ),
)


def explain(error: errors.DatabaseError) -> str:
    """Say in plain words what a failure to connect means and which setting to look at."""
    advice = _BY_ERRNO.get(error.errno or 0)
    if advice is None:
        advice = next((text for type_, text in _BY_TYPE if isinstance(error, type_)), str(error))
    number = f"({error.errno})" if error.errno else ""
    return advice if advice.endswith(number) else f"{advice} {number}"
