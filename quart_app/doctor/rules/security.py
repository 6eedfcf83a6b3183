"""How the connection is protected and how we log in, where that makes connections fail."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, error, info, ok, warning

OLD_PROTOCOLS = ("TLSv1", "TLSv1.1")
SOON_DAYS = 30
CERTIFICATE_DATE = "%b %d %H:%M:%S %Y GMT"


def encryption(facts: Facts, ours: Ours) -> Iterator[Finding]:
    """Whether our connection can be read or changed on its way."""
    if facts.encryption in OLD_PROTOCOLS:
        yield warning(
            "tls-old",
            f"the connection uses {facts.encryption}",
            "This version is broken and removed from current servers and clients: after the next "
            "upgrade of either no connection can be made.",
            "set tls_version = 'TLSv1.2,TLSv1.3' in the server's configuration",
        )
    elif facts.encryption and (ours.verifies_tls or facts.is_local):
        yield ok("tls", f"encrypted with {facts.encryption}")
    elif facts.encryption:
        yield info(
            "tls-unverified",
            f"encrypted with {facts.encryption}, but the server's certificate is not verified",
            "Whoever can take the server's place in the network gets the password and the data.",
            "add ssl_mode=verify-identity&ssl_ca=/path/to/ca.pem to DATABASE_URL",
        )
    elif facts.is_local:
        yield ok("tls", "not encrypted, and never leaves this machine")
    else:
        yield warning(
            "tls-none",
            "the connection is not encrypted",
            "Everybody on the way can read and change what goes through, "
            + (
                "although the server offers TLS." if facts.offers_tls else "the server offers none."
            ),
            "add ssl_mode=required (better: verify-identity) to DATABASE_URL"
            if facts.offers_tls
            else "give the server ssl_cert, ssl_key and ssl_ca, then ssl_mode=verify-identity here",
        )


def certificate(now: datetime) -> Callable[[Facts, Ours], Iterator[Finding]]:
    """Make the rule on how long the server's certificate is good, as of *now*."""

    def rule(facts: Facts, ours: Ours) -> Iterator[Finding]:
        ends = _date(facts.status.get("Ssl_server_not_after", ""))
        if ends is None or not facts.encryption:
            return
        days = (ends - now).days
        if days >= SOON_DAYS:
            yield ok("certificate", f"the server's certificate is good for {days} days more")
            return
        state = f"ends in {days} days" if ends > now else "has ended"
        make = error if ends <= now and ours.verifies_tls else warning
        yield make(
            "certificate",
            f"the server's certificate {state} ({ends:%Y-%m-%d})",
            "From then on every client that verifies it fails to connect.",
            "renew it, then on the server: ALTER INSTANCE RELOAD TLS (MariaDB: FLUSH SSL)",
        )

    return rule


def _date(text: str) -> datetime | None:
    try:
        return datetime.strptime(" ".join(text.split()), CERTIFICATE_DATE).replace(tzinfo=UTC)
    except ValueError:
        return None


def authentication(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """The way we log in: some ways have been removed, some need TLS."""
    plugin, hidden = facts.auth_plugin, bool(facts.encryption) or facts.is_local
    if plugin == "mysql_clear_password" and not hidden:
        yield error(
            "authentication",
            "the password goes over the network as plain text",
            "The plugin mysql_clear_password sends it as it is.",
            "add ssl_mode=verify-identity to DATABASE_URL",
        )
    elif plugin in ("mysql_native_password", "sha256_password") and not facts.is_mariadb:
        yield warning(
            "authentication",
            f"our user logs in by {plugin}",
            "MySQL 8.4 has mysql_native_password switched off and 9.0 removed it; sha256_password "
            "is deprecated. After an upgrade this user cannot connect (1045, 1524).",
            "ALTER USER ... IDENTIFIED WITH caching_sha2_password BY '...'",
        )
    elif plugin == "caching_sha2_password" and not hidden:
        yield info(
            "authentication",
            "caching_sha2_password without TLS",
            "After each restart of the server the first login needs its RSA key, taken off the wire "
            "unverified.",
            "add ssl_mode=verify-identity to DATABASE_URL",
        )
    elif plugin:
        yield ok("authentication", f"our user logs in by {plugin}")


RULES = (encryption, authentication)
