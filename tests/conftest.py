"""What every test gets: the fixtures that `quart_app.testing` offers to others, too."""

import signal

pytest_plugins = ["quart_app.testing", "pytester"]


def pytest_configure() -> None:
    """Let programs under test be interrupted also where this run is not, as under nohup.

    A signal that is ignored stays so in a program's children; one that is handled does not.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
