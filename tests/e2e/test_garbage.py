"""What has ended is put away at once: nothing is left for the garbage collector to find."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e


def test_requests_and_connections_leave_no_garbage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.leftovers"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
