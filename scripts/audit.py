"""Look the locked packages up in a database of known vulnerabilities.

    python scripts/audit.py requirements.txt

pip-audit asks a service on the network. Where that cannot be reached, or does not know a package (as
behind a mirror that has packages only), this says so, and that nothing is known: an audit that did
not happen must not look like one that found nothing.

Exit status: 0 nothing known, 1 vulnerabilities, 2 the service could not be asked about all of them.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CLEAN, VULNERABLE, NOT_ASKED = 0, 1, 2


def main(lock: Path) -> int:
    """Audit the packages of *lock*, print what was found, return the exit status."""
    tool = Path(sys.executable).with_name("pip-audit")
    command = [tool, "--disable-pip", "--require-hashes", "-r", lock, "-f", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    report = parse(done.stdout)
    if report is None:
        last = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        say(f"not audited: the service could not be asked, so nothing is known. {last[0][:200]}")
        return NOT_ASKED
    skipped = [package["name"] for package in report if "skip_reason" in package]
    found = [package for package in report if package.get("vulns")]
    for package in found:
        for vulnerability in package["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            say(f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    looked_up = len(report) - len(skipped)
    say(f"{looked_up} packages looked up, {len(found)} with known vulnerabilities")
    if skipped:
        say(f"not audited: {len(skipped)} that the service does not know: {', '.join(skipped)}")
    if found:
        return VULNERABLE
    return NOT_ASKED if skipped else CLEAN


def parse(output: str) -> list[dict[str, Any]] | None:
    """Read pip-audit's report: the packages; None if it is none."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        return None
    return dependencies


def say(line: str) -> None:
    """Write *line* for the person who asked."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
