"""The doctor's rules: a table of facts and what they must lead to."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Severity, exit_code
from quart_app.doctor.rules import diagnose

NOW = datetime(2026, 11, 20, tzinfo=UTC)
GOOD_VARIABLES = {
    "wait_timeout": "600",
    "interactive_timeout": "600",
    "net_read_timeout": "30",
    "net_write_timeout": "60",
    "connect_timeout": "10",
    "max_allowed_packet": str(16 << 20),
    "max_connections": "151",
    "innodb_lock_wait_timeout": "3",
    "max_execution_time": "0",
    "read_only": "OFF",
    "super_read_only": "OFF",
    "offline_mode": "OFF",
    "skip_name_resolve": "ON",
}
GOOD_STATUS = {
    "Uptime": "100000",
    "Connections": "50000",
    "Aborted_clients": "3",
    "Aborted_connects": "1",
    "Max_used_connections": "20",
    "Connection_errors_max_connections": "0",
    "Ssl_server_not_after": "Nov 20 00:00:00 2027 GMT",
}
GOOD = Facts(
    endpoint="db:3306",
    version="8.4.5",
    variables=GOOD_VARIABLES,
    status=GOOD_STATUS,
    encryption="TLSv1.3",
    auth_plugin="caching_sha2_password",
    connect_took=0.02,
    round_trips=(0.001,) * 20,
    skew=0.01,
)
OURS = Ours(verifies_tls=True)
GALERA = {"wsrep_on": "ON", "wsrep_provider": "/usr/lib/galera.so"}
SYNCED = {
    "wsrep_cluster_status": "Primary",
    "wsrep_ready": "ON",
    "wsrep_local_state_comment": "Synced",
    "wsrep_cluster_size": "3",
}


def with_variables(**changes: str) -> Facts:
    return replace(GOOD, variables={**GOOD_VARIABLES, **changes})


def with_status(**changes: str) -> Facts:
    return replace(GOOD, status={**GOOD_STATUS, **changes})


def node(**changes: str) -> Facts:
    return replace(with_status(**{**SYNCED, **changes}), variables={**GOOD_VARIABLES, **GALERA})


def severity_of(code: str, facts: Facts, ours: Ours = OURS) -> str:
    found = [f for f in diagnose([facts], ours, now=NOW) if f.code == code]
    assert len(found) <= 1, found
    return found[0].severity.value if found else "none"


def test_well_set_server_asks_for_nothing() -> None:
    findings = diagnose([GOOD], OURS, now=NOW)
    assert {f.severity for f in findings} == {Severity.OK}
    assert exit_code(findings) == 0
    assert {f.endpoint for f in findings} == {"db:3306", ""}


def test_server_that_tells_nothing_breaks_no_rule() -> None:
    findings = diagnose([Facts(endpoint="proxy", is_local=True)], OURS, now=NOW)
    assert {f.severity for f in findings} == {Severity.OK}


TABLE = [
    ("wait-timeout-short", with_variables(wait_timeout="30"), OURS, "warning"),
    ("wait-timeout", with_variables(wait_timeout="28800"), OURS, "ok"),
    ("wait-timeout-before-recycle", GOOD, replace(OURS, pool_recycle=600.0), "warning"),
    ("wait-timeout-before-recycle", GOOD, replace(OURS, pool_recycle=-1.0), "warning"),
    ("wait-timeout-before-recycle", GOOD, replace(OURS, pool_recycle=599.0), "none"),
    ("interactive-timeout", with_variables(interactive_timeout="28800"), OURS, "info"),
    ("idle-transaction-timeout", with_variables(idle_transaction_timeout="5"), OURS, "warning"),
    ("idle-transaction-timeout", with_variables(idle_transaction_timeout="0"), OURS, "none"),
    ("net-read-timeout", with_variables(net_read_timeout="5"), OURS, "warning"),
    ("net-write-timeout", with_variables(net_write_timeout="5"), OURS, "warning"),
    ("connect-timeout", with_variables(connect_timeout="2"), OURS, "warning"),
    ("connect-slow", replace(GOOD, connect_took=2.0), OURS, "warning"),
    ("lock-wait-timeout", with_variables(innodb_lock_wait_timeout="50"), OURS, "info"),
    ("statement-limit", with_variables(max_execution_time="500"), OURS, "warning"),
    ("statement-limit", with_variables(max_statement_time="0.5"), OURS, "warning"),
    ("statement-limit", with_variables(max_execution_time="30000"), OURS, "ok"),
    ("connection-budget", GOOD, replace(OURS, replicas=20), "error"),
    ("connection-budget", GOOD, replace(OURS, workers=12), "warning"),
    ("connection-budget", GOOD, replace(OURS, workers=10), "ok"),
    ("connections-peak", with_status(Max_used_connections="130"), OURS, "warning"),
    ("connections-refused", with_status(Connection_errors_max_connections="1"), OURS, "warning"),
    ("user-connection-limit", replace(GOOD, user_limit=10), OURS, "error"),
    ("user-connection-limit", replace(GOOD, user_limit=11), OURS, "none"),
    ("packet-size", with_variables(max_allowed_packet=str(1 << 20)), OURS, "warning"),
    ("aborted-clients", with_status(Aborted_clients="5000"), OURS, "warning"),
    ("aborted-clients", with_status(Aborted_clients="400"), OURS, "info"),
    ("aborted-clients", with_status(Aborted_clients="5000", Uptime="60"), OURS, "ok"),
    ("aborted-connects", with_status(Aborted_connects="5000"), OURS, "warning"),
    ("tls-none", replace(GOOD, encryption=""), OURS, "warning"),
    ("tls", replace(GOOD, encryption="", is_local=True), OURS, "ok"),
    ("tls-unverified", GOOD, Ours(), "info"),
    ("tls-old", replace(GOOD, encryption="TLSv1.1"), OURS, "warning"),
    ("certificate", with_status(Ssl_server_not_after="Dec  1 00:00:00 2026 GMT"), OURS, "warning"),
    ("certificate", with_status(Ssl_server_not_after="Nov  1 00:00:00 2026 GMT"), OURS, "error"),
    (
        "certificate",
        with_status(Ssl_server_not_after="Nov  1 00:00:00 2026 GMT"),
        Ours(),
        "warning",
    ),
    ("authentication", replace(GOOD, auth_plugin="mysql_native_password"), OURS, "warning"),
    (
        "authentication",
        replace(GOOD, auth_plugin="mysql_native_password", is_mariadb=True),
        OURS,
        "ok",
    ),
    ("authentication", replace(GOOD, encryption=""), OURS, "info"),
    (
        "authentication",
        replace(GOOD, auth_plugin="mysql_clear_password", encryption=""),
        OURS,
        "error",
    ),
    ("read-only", with_variables(read_only="ON"), OURS, "error"),
    ("read-only", with_variables(super_read_only="1"), OURS, "error"),
    ("read-only", with_variables(read_only="NO_LOCK"), OURS, "error"),
    ("offline-mode", with_variables(offline_mode="ON"), OURS, "error"),
    ("galera", node(), OURS, "ok"),
    ("galera", replace(node(), variables=GOOD_VARIABLES), OURS, "none"),
    ("galera-not-ready", node(wsrep_cluster_status="non-Primary"), OURS, "error"),
    ("galera-not-ready", node(wsrep_ready="OFF"), OURS, "error"),
    ("read-only", node(wsrep_ready="OFF"), OURS, "error"),
    ("read-only", node(), OURS, "ok"),
    ("galera-not-synced", node(wsrep_local_state_comment="Donor/Desynced"), OURS, "warning"),
    ("galera-size", node(wsrep_cluster_size="2"), OURS, "warning"),
    ("galera-paused", node(wsrep_flow_control_paused="0.4"), OURS, "warning"),
    ("group", replace(GOOD, members=(("a", "ONLINE"),) * 3), OURS, "ok"),
    (
        "group-degraded",
        replace(GOOD, members=(("a", "ONLINE"), ("b", "ONLINE"), ("c", "RECOVERING"))),
        OURS,
        "warning",
    ),
    (
        "group-no-majority",
        replace(GOOD, members=(("a", "ONLINE"), ("b", "UNREACHABLE"), ("c", "UNREACHABLE"))),
        OURS,
        "error",
    ),
    (
        "group-majority-timeout",
        replace(
            with_variables(group_replication_unreachable_majority_timeout="0"),
            members=(("a", "ONLINE"),) * 3,
        ),
        OURS,
        "info",
    ),
    ("group-unseen", with_variables(group_replication_group_name="aa-bb"), OURS, "info"),
    ("group-unseen", with_variables(group_replication_group_name=""), OURS, "none"),
    ("clock", replace(GOOD, skew=-30.0), OURS, "warning"),
    ("latency", replace(GOOD, round_trips=(0.01,) * 20), OURS, "info"),
    ("latency", replace(GOOD, round_trips=(0.05,) * 20), OURS, "warning"),
    ("latency", replace(GOOD, round_trips=(0.001,) * 19 + (0.9,)), OURS, "ok"),
    ("version", replace(GOOD, version="5.7.44-log"), OURS, "warning"),
    ("version", replace(GOOD, version="8.0.40"), OURS, "warning"),
    ("version", replace(GOOD, version="10.11.6-MariaDB-1", is_mariadb=True), OURS, "ok"),
    ("version", replace(GOOD, version="10.5.2-MariaDB", is_mariadb=True), OURS, "warning"),
    ("version", replace(GOOD, version="99.1"), OURS, "ok"),
]


@pytest.mark.parametrize(
    ("code", "facts", "ours", "expected"),
    TABLE,
    ids=[f"{row[0]}-{row[3]}-{i}" for i, row in enumerate(TABLE)],
)
def test_rule(code: str, facts: Facts, ours: Ours, expected: str) -> None:
    assert severity_of(code, facts, ours) == expected


def test_end_of_life_is_told_half_a_year_before() -> None:
    before = datetime(2026, 1, 1, tzinfo=UTC)
    found = diagnose([replace(GOOD, version="8.0.40")], OURS, now=before)
    assert [f.severity for f in found if f.code == "version"] == [Severity.INFO]


def test_one_writable_server_among_several_is_enough() -> None:
    replica = replace(with_variables(read_only="ON"), endpoint="replica:3306")
    (finding,) = (f for f in diagnose([GOOD, replica], OURS, now=NOW) if f.code == "read-only")
    assert finding.severity is Severity.INFO
    assert "replica:3306" in finding.title


def test_budget_names_sizes_that_fit() -> None:
    ours = replace(OURS, replicas=20)
    (finding,) = (f for f in diagnose([GOOD], ours, now=NOW) if f.code == "connection-budget")
    assert "QUART_APP_MAXSIZE to 5 " in finding.remedy
    assert severity_of("connection-budget", GOOD, replace(ours, maxsize=5)) == "ok"
    assert "max_connections = 285" in finding.remedy


@pytest.mark.parametrize("facts", [row[1] for row in TABLE], ids=range(len(TABLE)))
def test_whatever_asks_for_something_says_what_to_do(facts: Facts) -> None:
    for finding in diagnose([facts], OURS, now=NOW):
        if finding.severity in (Severity.WARNING, Severity.ERROR):
            assert finding.remedy
            assert finding.meaning.endswith((".", "?"))


def test_worst_finding_decides_the_exit_code() -> None:
    assert exit_code([]) == 0
    assert exit_code(diagnose([with_variables(innodb_lock_wait_timeout="50")], OURS, now=NOW)) == 0
    assert exit_code(diagnose([with_variables(wait_timeout="5")], OURS, now=NOW)) == 1
    assert exit_code(diagnose([with_variables(read_only="ON")], OURS, now=NOW)) == 2
