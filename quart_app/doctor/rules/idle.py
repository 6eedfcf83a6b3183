"""What a measurement of idle connections means. Pure, as all rules."""

from collections.abc import Iterator

from quart_app.doctor.facts import Ours
from quart_app.doctor.findings import Finding, error, info, ok, warning
from quart_app.doctor.idle_search import Answer, How

# wait_timeout counts whole seconds, and the server looks when it gets to it.
LEEWAY = 1.5
_HOW = {
    How.FIN: "by closing it in the open (FIN): the next use fails at once with 2013 or 2006",
    How.RST: "by a reset (RST): the next use fails at once with 2013 or 2006",
    How.GOODBYE: "and says so (MySQL's 4031): the next use fails at once",
    How.SILENCE: (
        "silently: nobody is told, whatever is sent vanishes. The next use hangs until some "
        "deadline, for minutes in most programs (110, connection timed out)"
    ),
}


def idle(answer: Answer, ours: Ours, *, wait_timeout: float, path_only: bool) -> Iterator[Finding]:
    """Say who drops idle connections, how, and what to set."""
    if answer.dropped is None or answer.how is None:
        yield ok("idle-path", f"a connection idle for {answer.held:g} s still works")
    elif not answer.certain:
        yield error(
            "idle-unclear",
            f"connections died after {answer.dropped:.1f} s, the busy one as well",
            "So it was not idleness: the server was restarted, or the network went away.",
            "run it again; if it stays, look at the server's error log",
        )
    elif not path_only and abs(answer.dropped - wait_timeout) < LEEWAY:
        yield from _by_server(answer, answer.how, wait_timeout)
    else:
        yield from _by_path(answer, answer.how, ours)


def _by_server(answer: Answer, how: How, limit: float) -> Iterator[Finding]:
    yield ok(
        "idle-server",
        f"the server itself closes after {limit:g} s (wait_timeout) {_HOW[how]}",
        f"The path held until then ({answer.held:g} s). --path-only measures the path alone.",
    )


def _by_path(answer: Answer, how: How, ours: Ours) -> Iterator[Finding]:
    assert answer.dropped is not None  # the caller looked
    after = f"{answer.held:.1f} to {answer.dropped:.1f}"
    recycle = max(1, int(max(answer.held, 1) * 0.8))
    meaning = (
        "A firewall, NAT, load balancer or proxy between us and the server forgets idle "
        f"connections, {_HOW[how]}."
    )
    if 0 < ours.keepalive * 1.1 < answer.held:
        yield info(
            "idle-path",
            f"the path drops connections idle for {after} s",
            f"{meaning} This program asks each idle connection every {ours.keepalive:g} s, which "
            f"keeps it alive. Others need a pool_recycle of {recycle} s or less.",
        )
        return
    make = error if how is How.SILENCE else warning
    yield make(
        "idle-path",
        f"the path drops connections idle for {after} s",
        meaning,
        f"QUART_APP_KEEPALIVE={max(1, recycle // 2)} and QUART_APP_POOL_RECYCLE={recycle}; or raise "
        "the idle timeout of what is between",
    )
