"""`make audit`: one that did not happen does not look like one that found nothing."""

import json
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit.py"


@pytest.fixture(name="audit")
def _audit() -> ModuleType:
    spec = spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _answering(
    monkeypatch: pytest.MonkeyPatch, audit: ModuleType, *, out: str, err: str = ""
) -> None:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, out, err)

    monkeypatch.setattr(audit.subprocess, "run", run)


def _report(*vulnerabilities: dict[str, object]) -> str:
    package = {"name": "quart", "version": "1", "vulns": list(vulnerabilities)}
    return json.dumps({"dependencies": [package], "fixes": []})


def test_nothing_known_is_said_with_the_number_looked_up(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _answering(monkeypatch, audit, out=_report())
    assert audit.main(Path("lock")) == 0
    assert capsys.readouterr().out == "1 packages looked up, 0 with known vulnerabilities\n"


def test_vulnerability_is_named_with_its_remedy(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _answering(monkeypatch, audit, out=_report({"id": "CVE-1", "fix_versions": ["2"]}))
    assert audit.main(Path("lock")) == 1
    assert "quart 1: CVE-1, fixed in 2" in capsys.readouterr().out


def test_package_that_was_skipped_is_no_clean_one(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = {"name": "aiomysql", "skip_reason": "Dependency not found"}
    report = json.loads(_report())
    report["dependencies"].append(skipped)
    _answering(monkeypatch, audit, out=json.dumps(report))
    assert audit.main(Path("lock")) == 2
    told = capsys.readouterr().out
    assert told.startswith("1 packages looked up")
    assert "not audited: 1 that the service does not know: aiomysql" in told


@pytest.mark.parametrize("out", ["", "not JSON", "{}"])
def test_service_that_cannot_be_asked_is_no_clean_bill(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    out: str,
) -> None:
    _answering(monkeypatch, audit, out=out, err="requests.exceptions.ConnectionError: no route")
    assert audit.main(Path("lock")) == 2
    assert "not audited" in capsys.readouterr().out
