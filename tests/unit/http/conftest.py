"""Unit tests of the web's side run in virtual time, too."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.virtual import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    """Give every test below this directory a virtual loop."""
    assert config is item.config
    return {"virtual": VirtualLoop}
