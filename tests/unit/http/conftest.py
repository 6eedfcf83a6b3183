"""What wraps a request runs in virtual time."""

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
