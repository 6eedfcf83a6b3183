import pytest

from quart_app.local_server import NoServerBinary, find_server


@pytest.fixture(autouse=True)
def _binary() -> None:
    try:
        find_server()
    except NoServerBinary as error:
        pytest.skip(str(error))
