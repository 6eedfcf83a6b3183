"""Make the virtual environment that the Makefile's commands run in, or bring it up to date.

    python3 scripts/bootstrap.py FOLDER runtime|dev|docs|audit

Standard library only: it runs before anything is installed. It installs exactly what the lock files
say, checked by hash, and does nothing when they did not change since the last time.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NEEDED = (3, 11)
LOCKS = {
    "runtime": ("requirements.txt", "requirements-build.txt"),
    "dev": ("requirements-dev.txt",),
    "docs": ("requirements-docs.txt", "requirements-build.txt"),
    "audit": ("requirements-audit.txt", "requirements-build.txt"),
}


def main(folder: Path, level: str) -> None:
    """Bring the environment in *folder* up to *level*, or exit saying what to type."""
    if sys.version_info < NEEDED:
        sys.exit(
            f"set-up: Python {NEEDED[0]}.{NEEDED[1]} or newer is needed; this is {sys.version}"
        )
    stamp = folder / f".bootstrap-{level}"
    wanted = fingerprint(level)
    if not runs(folder):
        make_environment(folder)
    elif stamp.exists() and stamp.read_text() == wanted:
        return
    install(folder, level)
    stamp.write_text(wanted)
    if level == "dev":  # it has all of the other
        (folder / ".bootstrap-runtime").write_text(fingerprint("runtime"))


def fingerprint(level: str) -> str:
    """Return what changes when an environment must be brought up to date."""
    digest = hashlib.sha256(str(PROJECT).encode())
    for name in (*LOCKS[level], "pyproject.toml"):
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()


def runs(folder: Path) -> bool:
    """Whether the environment in *folder* is whole and its Python new enough."""
    check = f"import sys, pip; sys.exit(sys.version_info < {NEEDED})"
    return (folder / "bin" / "python").exists() and succeeds(folder / "bin" / "python", "-c", check)


def make_environment(folder: Path) -> None:
    """Make the environment anew, getting the system's venv package where Python comes without."""
    if not succeeds(sys.executable, "-c", "import ensurepip, venv"):
        install_venv_package()
    say(f"making the virtual environment {folder} with {sys.executable}")
    run(sys.executable, "-m", "venv", "--clear", folder)


def install_venv_package() -> None:
    """Install what Debian and its like keep apart from Python, or say what to type."""
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    root = root_prefix()
    if shutil.which("apt-get") is None or root is None:
        sys.exit(
            "set-up: this Python has no venv module. Type:\n\n"
            f"    sudo apt-get install -y {package}\n\nand then the same command again."
        )
    say(f"this Python has no venv module; installing {package} with apt-get")
    run(*root, "apt-get", "update", "-qq")
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq")
    run(*root, *apt, "--no-install-recommends", package)


def root_prefix() -> tuple[str, ...] | None:
    """Return what a command needs in front to run as root without asking; None if nothing does."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and succeeds("sudo", "-n", "true"):
        return ("sudo", "-n")
    return None


def install(folder: Path, level: str) -> None:
    """Install the locked packages, then this project in place.

    A lock names everything. Were pip to look for dependencies itself, it would turn one with extras
    (``coverage[toml]``) into the newest release, which is not the locked one, and refuse that.
    """
    locks = [word for name in LOCKS[level] for word in ("-r", PROJECT / name)]
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-qq")
    say(f"installing the packages locked in {', '.join(LOCKS[level])}")
    run(*pip, "--require-hashes", "--no-deps", *locks)
    run(*pip, "--no-deps", "--no-build-isolation", "-e", PROJECT)


def run(*command: str | Path) -> None:
    """Run *command*; exit when it fails, for its own output says why."""
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(  # noqa: S603 - the commands above
        command, stdout=subprocess.DEVNULL, env=environment, check=False
    )
    if done.returncode != 0:
        sys.exit(f"set-up: this failed: {' '.join(map(str, command))}")


def succeeds(*command: str | Path) -> bool:
    """Run *command* without a sound; return whether it succeeded."""
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - as above
    return done.returncode == 0


def say(message: str) -> None:
    """Tell what is being done."""
    sys.stderr.write(f"set-up: {message}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
