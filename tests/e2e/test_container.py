"""The image: built from this tree, run as it is run in production, and stopped."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quart_app.local_server.folder import free_port
from tests.e2e.program import PATIENCE

ROOT = Path(__file__).parents[2]
IMAGE = "quart-app:test"
NO_DOCKER = shutil.which("docker") is None or bool(
    subprocess.run(["docker", "info"], capture_output=True, check=False).returncode  # noqa: S607
)
pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(600),
    pytest.mark.skipif(NO_DOCKER, reason="no Docker engine answers"),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the host's network is Linux's only"
    ),
]


def docker(*arguments: str) -> str:
    """Run a docker command; return what it printed. Raises with its errors when it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def logs(name: str) -> str:
    """Return what a container wrote, both streams as one."""
    return subprocess.run(
        ["docker", "logs", name],  # noqa: S607
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    ).stdout


class Container:
    """A container of our image on this machine's network, locked down as far as it goes."""

    def __init__(self, url: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        locked = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        settings = {"DATABASE_URL": url, "QUART_APP_BIND": f"127.0.0.1:{port}"}
        given = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
        self.name = docker("run", "-d", "--network=host", *locked, *given, IMAGE)

    def wait_until(self, path: str, status: int) -> None:
        """Ask for *path* until it answers with *status*."""
        deadline = time.monotonic() + PATIENCE
        last: object = None
        while last != status:
            alive = self.inspect(".State.Running") and time.monotonic() < deadline
            assert alive, f"{last!r}\n{self.log}"
            try:
                last = httpx.get(self.url + path).status_code
            except httpx.TransportError as error:
                last = error
                time.sleep(0.05)

    def inspect(self, path: str) -> object:
        """Return a part of what the engine knows about it."""
        return json.loads(docker("inspect", "-f", f"{{{{json {path}}}}}", self.name))

    @property
    def log(self) -> str:
        """What it wrote."""
        return logs(self.name)

    def remove(self) -> None:
        """Let nothing be left of it."""
        docker("rm", "-f", "-v", self.name)


@pytest.fixture(name="image", scope="session")
def _image() -> str:
    docker("build", "-q", "-t", IMAGE, str(ROOT))
    return IMAGE


@pytest.fixture(name="container")
def _container(image: str, seeded_url: str) -> Iterator[Container]:
    assert image == IMAGE
    container = Container(seeded_url)
    yield container
    container.remove()


def test_container_answers_and_stops_within_its_grace(container: Container) -> None:
    container.wait_until("/health/ready", 200)
    answer = httpx.get(container.url, params={"city": "London"})
    assert answer.text.rstrip() == 'City "London" is #2643743'
    docker("stop", "--time", "30", container.name)
    assert container.inspect(".State.ExitCode") == 0, container.log


def test_container_runs_as_a_user_with_a_number_and_writes_nothing(
    container: Container,
) -> None:
    container.wait_until("/health/live", 200)
    assert (
        docker("exec", container.name, "python", "-c", "import os; print(os.getuid())") == "10001"
    )
    assert docker("diff", container.name) == ""


def test_health_check_of_the_image_passes(container: Container) -> None:
    container.wait_until("/health/live", 200)
    command = container.inspect(".Config.Healthcheck.Test")
    assert isinstance(command, list)
    assert command[0] == "CMD"
    docker("exec", container.name, *command[1:])


def inside(image: str, script: str) -> object:
    """What a script prints as JSON, run by the image's own Python."""
    printing = f"import json, sys\n{script}\njson.dump(told, sys.stdout)"
    found: object = json.loads(
        docker("run", "--rm", "--network=none", image, "python", "-c", printing)
    )
    return found


# Modules may be marked as programs, and libraries often are.
PROGRAMS = """
import os
from pathlib import Path
kernels = ("/proc", "/sys", "/dev")
paths = [f"{at}/{name}" for at, _, names in os.walk("/") if not at.startswith(kernels) for name in names]
can = [path for path in paths if os.access(path, os.X_OK) and os.path.getsize(path)]
can = [path for path in can if not {".py", ".so"} & set(Path(path).suffixes)]
told = sorted({os.path.basename(os.path.realpath(path)) for path in can})
"""
MODULES = """
import importlib.util
told = [name for name in ("pip", "pytest", "hatchling", "ensurepip") if importlib.util.find_spec(name)]
"""
NEEDED = """
import os, pwd, socket, ssl, zoneinfo
told = {
    "user": pwd.getpwuid(os.getuid()).pw_name,
    "roots": ssl.create_default_context().cert_store_stats()["x509_ca"] > 50,
    "zone": zoneinfo.ZoneInfo("Europe/London").key,
    "name": bool(socket.getaddrinfo("localhost", 80)),
    "libc": "libc6" in os.listdir("/var/lib/dpkg/status.d"),
}
"""


def test_no_program_can_be_started_in_the_image_but_ours(image: str) -> None:
    python = f"python3.{inside(image, 'told = sys.version_info[1]')}"
    assert inside(image, PROGRAMS) == [python, "quart-app"]
    docker("run", "--rm", "--network=none", image, "quart-app", "--help")


def test_image_holds_no_more_than_it_needs(image: str) -> None:
    assert inside(image, MODULES) == []
    size = int(docker("image", "inspect", "-f", "{{.Size}}", image))
    assert size < 200e6  # with a Python that is not stripped; 152e6 with Debian's


def test_image_has_what_a_program_expects_of_a_system(image: str) -> None:
    expected = {"user": "quart-app", "roots": True, "zone": "Europe/London"}
    assert inside(image, NEEDED) == {**expected, "name": True, "libc": True}
