"""The pytest plugin: options, hooks and fixtures. What they stand on is in the files beside.

It starts nothing before a test asks for it, and never skips everything silently: where no server
can be had, the tests that need one fail and say how to get one.
"""

from collections.abc import Callable, Iterator, Sequence

import pytest

from quart_app.local_server import LocalServer, NoServerBinary
from quart_app.testing import report
from quart_app.testing.offers import NO_DURABILITY, Offer, offers
from quart_app.testing.servers import GivenServer, Server, Servers, breaking

KINDS = ("mariadb", "mysql")
PARAMETER = "server_kind"
OFFERS = pytest.StashKey[list[Offer]]()
SERVERS = pytest.StashKey[Servers]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options that choose servers."""
    group = parser.getgroup("database servers")
    group.addoption(
        "--mysql-url",
        metavar="URL",
        help="run the tests that need a server on this one, mysql://user:password@host:port/name; "
        "its user must be allowed to make databases; default: servers of the run's own",
    )
    group.addoption(
        "--server",
        action="append",
        choices=KINDS,
        help="only this kind of server, may be repeated; default: every kind that can be had",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, so that other projects need not."""
    config.addinivalue_line("markers", "mysql: needs a MySQL or MariaDB server")
    config.addinivalue_line("markers", "docker: needs a Docker engine")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that asks for a server once on each kind."""
    if PARAMETER not in metafunc.fixturenames:
        return
    chosen = _offers(metafunc.config)
    none_at_all = all(offer.missing for offer in chosen)
    parameters = [_parameter(offer, may_skip=not none_at_all) for offer in chosen]
    metafunc.parametrize(PARAMETER, parameters, indirect=True, scope="session")


def _parameter(offer: Offer, *, may_skip: bool) -> object:
    marks: list[pytest.MarkDecorator] = [pytest.mark.mysql]
    if offer.needs_docker:
        marks.append(pytest.mark.docker)
    if offer.missing and may_skip:
        marks.append(pytest.mark.skip(reason=f"no {offer.kind} server: {offer.missing}"))
    return pytest.param(offer, id=offer.kind, marks=marks)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say which servers the run will use."""
    if OFFERS not in config.stash:
        return []
    left_out = set(KINDS) - set(config.getoption("server") or KINDS)
    chosen = config.stash[OFFERS]
    return report.lines_before(chosen, sorted(left_out))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note on which server the test runs: it also goes into reports in XML."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and PARAMETER in callspec.params:
        item.user_properties.append((report.PROPERTY, callspec.params[PARAMETER].kind))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests ran on which server, and what was skipped and why."""
    versions = config.stash[SERVERS].versions() if SERVERS in config.stash else {}
    chosen = config.stash.get(OFFERS, [])
    lines = report.lines_after(chosen, versions, terminalreporter.stats)
    if lines:
        terminalreporter.section("database servers and skipped tests")
    for line in lines:
        terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop every server, also after a failure or Ctrl-C."""
    if SERVERS in config.stash:
        config.stash[SERVERS].close()


def _offers(config: pytest.Config) -> list[Offer]:
    if OFFERS not in config.stash:
        kinds: Sequence[str] = config.getoption("server") or KINDS
        config.stash[OFFERS] = offers(config.getoption("mysql_url"), kinds=kinds)
    return config.stash[OFFERS]


def _servers(config: pytest.Config) -> Servers:
    if SERVERS not in config.stash:
        makers = {offer.kind: offer.make for offer in _offers(config) if offer.make is not None}
        config.stash[SERVERS] = Servers(makers)
    return config.stash[SERVERS]


@pytest.fixture(name="server_kind", scope="session")
def _server_kind(request: pytest.FixtureRequest) -> str:
    """Which kind of server this test runs on: "mariadb", "mysql" or "given"."""
    offer: Offer = request.param
    if offer.missing:
        pytest.fail(f"no database server can be had for the tests. {offer.missing}", pytrace=False)
    return offer.kind


@pytest.fixture(name="mysql_server", scope="session")
def _mysql_server(server_kind: str, request: pytest.FixtureRequest) -> Server:
    """The server that all tests share: don't break it."""
    return _servers(request.config).shared(server_kind)


@pytest.fixture(name="database_url")
def _database_url(mysql_server: Server) -> Iterator[str]:
    """The URL of a new, empty database on the shared server, for one test."""
    url = mysql_server.new_database()
    yield url
    mysql_server.drop_database(url)


@pytest.fixture(name="breakable_server")
def _breakable_server(server_kind: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that the test may kill, restart, pause: `breakable_server.process.kill()`.

    It is alive before and after. What a test does with SET GLOBAL, it must undo (or restart).
    """
    server = _servers(request.config).breakable(server_kind)
    if isinstance(server.process, GivenServer):
        pytest.skip("a server given by --mysql-url is not ours to break")
    yield from breaking(server)


@pytest.fixture(name="make_local_server")
def _make_local_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., LocalServer]]:
    """Make private servers for one test: ``make_local_server("--wait-timeout=2", tls=True)``."""
    made: list[LocalServer] = []

    def make(*options: str, tls: bool = False) -> LocalServer:
        folder = _servers(request.config).folder()
        server = LocalServer(folder, options=[*NO_DURABILITY, *options], tls=tls)
        made.append(server)
        try:
            server.start()
        except NoServerBinary as error:
            pytest.skip(str(error))
        return server

    yield make
    for server in made:
        server.stop()
