"""What is said of a machine without a Docker engine."""

import gc
from pathlib import Path

import pytest
from testcontainers.core import docker_client

from quart_app.testing.container import why_no_engine


def test_engine_that_does_not_answer_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(docker_client, "get_docker_host", lambda: f"unix://{tmp_path}/none")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert "no Docker engine answers" in why_no_engine()
    gc.collect()  # a socket left open fails this test
