"""What a run prints about its servers, seen from outside: pytest in pytest, with servers of straw."""

from pathlib import Path

import pytest

from quart_app.testing import plugin
from quart_app.testing.offers import Offer
from quart_app.testing.servers import GivenServer, Server, ServerProcess

TESTS = """
def test_needs_one(mysql_server):
    assert mysql_server.version

def test_needs_none():
    pass
"""


@pytest.fixture(name="straw", autouse=True)
def _straw(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(server: Server) -> None:
        server.version = "1.2.3"

    monkeypatch.setattr(Server, "begin", begin)
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")


def _offer(kind: str, missing: str = "") -> Offer:
    def make(_folder: Path) -> ServerProcess:
        return GivenServer(url="mysql://me@there/db")

    return Offer(kind=kind, origin="" if missing else "straw", missing=missing, make=make)


def _run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *has: Offer, arguments: str = ""
) -> pytest.RunResult:
    def offers(_url: str | None, *, kinds: list[str]) -> list[Offer]:
        return [offer for offer in has if offer.kind in kinds]

    monkeypatch.setattr(plugin, "offers", offers)
    options = ["-p", "quart_app.testing", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return pytester.runpytest_inprocess(*options, *arguments.split())


def test_every_test_runs_on_every_server(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(pytester, monkeypatch, _offer("mariadb"), _offer("mysql"))
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "database server mariadb: straw",
            "database server mysql: straw",
            "mariadb 1.2.3 (straw): 1 tests ran",
            "mysql 1.2.3 (straw): 1 tests ran",
        ]
    )


def test_missing_server_is_skipped_aloud(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(pytester, monkeypatch, _offer("mariadb"), _offer("mysql", "of the rain"))
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "mysql: none, because of the rain",
            "skipped 1: no mysql server: of the rain",
        ]
    )


def test_run_without_any_server_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(pytester, monkeypatch, _offer("mariadb", "a"), _offer("mysql", "b"))
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*no database server can be had for the tests. a"])


def test_kinds_can_be_left_out_and_that_is_said(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    has = (_offer("mariadb"), _offer("mysql"))
    result = _run(pytester, monkeypatch, *has, arguments="--server mysql")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["database server mariadb: left out by --server"])


def test_tests_that_need_a_server_are_marked(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _run(pytester, monkeypatch, _offer("mariadb"), arguments="-m mysql")
    assert result.parseoutcomes() == {"passed": 1, "deselected": 1}


def test_server_that_does_not_start_is_tried_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def begin(server: Server) -> None:
        tries.append(server.kind)
        message = "no room"
        raise OSError(message)

    monkeypatch.setattr(Server, "begin", begin)
    pytester.makepyfile(TESTS, test_more=TESTS)
    result = _run(pytester, monkeypatch, _offer("mariadb"))
    result.assert_outcomes(passed=2, errors=2)
    assert tries == ["mariadb"]
