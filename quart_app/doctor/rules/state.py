"""Is this server able to serve right now: offline, cluster, replication group, clock, distance, age."""

from collections.abc import Callable, Iterator
from datetime import date

from quart_app.doctor.facts import Facts, Ours
from quart_app.doctor.findings import Finding, error, info, ok, warning
from quart_app.doctor.versions import end_of_life

SKEW = 2.0
FAR, VERY_FAR = 0.005, 0.025
QUORUM = 3
PAUSED_SHARE = 0.1
SOON_DAYS = 180


def offline(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """MySQL's switch that throws everybody out."""
    if facts.is_on("offline_mode"):
        yield error(
            "offline-mode",
            "the server is in offline mode",
            "It closes the connections of ordinary users and refuses new ones (3032).",
            "SET GLOBAL offline_mode = OFF",
        )


def galera(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """The state of a Galera node, the worst first."""
    if not facts.clustered:
        return
    status = facts.status.get
    size = facts.number("wsrep_cluster_size") or 0
    if status("wsrep_cluster_status") != "Primary" or status("wsrep_ready") != "ON":
        yield error(
            "galera-not-ready",
            f"this node serves nothing: {status('wsrep_cluster_status')}, ready {status('wsrep_ready')}",
            "It has lost the majority of its cluster: tables can be neither read nor written (1047), "
            "although connecting and SELECT 1 work, which fools simple health checks.",
            "start the other nodes; if they are gone for good, on the node with the newest data: "
            "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=1'",
        )
    elif status("wsrep_local_state_comment") != "Synced":
        yield warning(
            "galera-not-synced",
            f"this node is {status('wsrep_local_state_comment')}, not Synced",
            "It catches up or gives its data to another node; statements may stall.",
            "wait, or take it out of the load balancer until it is Synced",
        )
    elif size < QUORUM:
        yield warning(
            "galera-size",
            f"the cluster has {size:g} nodes",
            "If one of two is lost the other cannot know who is right, and stops serving.",
            "run three nodes, or two and an arbitrator (garbd)",
        )
    else:
        yield ok("galera", f"Galera: Primary, Synced, {size:g} nodes")
    yield from _flow_control(facts)


def _flow_control(facts: Facts) -> Iterator[Finding]:
    paused = facts.number("wsrep_flow_control_paused") or 0
    if paused > PAUSED_SHARE:
        yield warning(
            "galera-paused",
            f"the cluster stood still {paused:.0%} of the time (flow control)",
            "One node is too slow for the writes of all: every COMMIT waits for it.",
            "find the node with the longest wsrep_local_recv_queue_avg; raise wsrep_slave_threads there",
        )


def replication_group(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """The state of MySQL's group replication."""
    if not facts.members:
        yield from _unseen_group(facts)
        return
    bad = [f"{host} {state}" for host, state in facts.members if state != "ONLINE"]
    online = len(facts.members) - len(bad)
    if online * 2 <= len(facts.members):
        yield error(
            "group-no-majority",
            f"{online} of {len(facts.members)} members of the group are online: {', '.join(bad)}",
            "Without a majority writes and COMMIT wait without end.",
            "bring members back (START GROUP_REPLICATION), or force the membership: "
            "group_replication_force_members",
        )
    elif bad:
        yield warning(
            "group-degraded",
            f"members of the group are not online: {', '.join(bad)}",
            "The next loss may stop all writes.",
            "look at their error logs; START GROUP_REPLICATION on each",
        )
    else:
        yield ok("group", f"group replication: {online} members online")
    if facts.number("group_replication_unreachable_majority_timeout") == 0:
        yield info(
            "group-majority-timeout",
            "group_replication_unreachable_majority_timeout is 0",
            "A primary cut off from the others lets writes hang for ever; here they end at the "
            "request's deadline with an unknown outcome.",
            "SET GLOBAL group_replication_unreachable_majority_timeout = 10",
        )


def _unseen_group(facts: Facts) -> Iterator[Finding]:
    if facts.members is None and facts.variables.get("group_replication_group_name"):
        yield info(
            "group-unseen",
            "the server belongs to a replication group whose state our user may not read",
            "Whether the group has its majority is not checked here.",
            "GRANT SELECT ON performance_schema.replication_group_members TO ...",
        )


def clock(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """How far the server's clock is from ours."""
    if facts.skew is None:
        return
    if abs(facts.skew) > SKEW:
        way = "ahead of" if facts.skew > 0 else "behind"
        yield warning(
            "clock",
            f"the server's clock is {abs(facts.skew):.1f} s {way} ours",
            "Log lines of both sides do not match, and what is compared with NOW() is off by this.",
            "run NTP (chrony) on both machines",
        )
    else:
        yield ok("clock", f"clocks agree within {max(abs(facts.skew), 0.1):.1f} s")


def distance(facts: Facts, _ours: Ours) -> Iterator[Finding]:
    """What a round trip costs."""
    if facts.latency is None:
        return
    each = f"a round trip takes {facts.latency * 1000:.2f} ms (median of {len(facts.round_trips)})"
    meaning = (
        "A transaction of five statements holds its connection and its locks for five of them."
    )
    if facts.latency > VERY_FAR:
        yield warning("latency", each, meaning, "run the app where the database is")
    elif facts.latency > FAR:
        yield info("latency", each, meaning, "run the app nearer to the database")
    else:
        yield ok("latency", each)


def age(today: date) -> Callable[[Facts, Ours], Iterator[Finding]]:
    """Make the rule on whether this version still gets fixes, as of *today*."""

    def rule(facts: Facts, _ours: Ours) -> Iterator[Finding]:
        ends = end_of_life(facts.version, is_mariadb=facts.is_mariadb)
        name = f"{'MariaDB' if facts.is_mariadb else 'MySQL'} {facts.version.partition('-')[0]}"
        meaning = "From then on holes and faults stay. By this program's own table, made in 2026."
        if ends is None:
            yield ok("version", name)
        elif ends <= today:
            yield warning(
                "version", f"{name} gets no fixes since {ends}", meaning, "plan the upgrade now"
            )
        elif (ends - today).days < SOON_DAYS:
            yield info(
                "version", f"{name} gets fixes until {ends} only", meaning, "plan the upgrade"
            )
        else:
            yield ok("version", f"{name}, gets fixes until {ends}")

    return rule


RULES = (offline, galera, replication_group, clock, distance)
