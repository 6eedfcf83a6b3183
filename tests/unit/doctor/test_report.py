"""Findings on paper."""

import json
from dataclasses import replace

from quart_app.doctor.findings import error, info, ok, warning
from quart_app.doctor.report import as_json, as_text

FINDINGS = [
    ok("a", "fine", "not shown"),
    info("b", "worth knowing", "because"),
    error("c", "broken", "it hurts", "SET GLOBAL x = 1"),
    warning("d", "will break", "some day", "do y"),
]


def test_worst_comes_first_with_what_to_do() -> None:
    lines = as_text(FINDINGS).splitlines()
    assert lines[0] == "ERROR   broken"
    assert lines[2] == "     -> SET GLOBAL x = 1"
    assert lines[3].startswith("WARNING will break")
    assert "ok      fine" in lines
    assert "not shown" not in as_text(FINDINGS)
    assert lines[-1] == "1 error and 1 warning in 4 checks."


def test_only_what_is_said_to_be_set_comes_with_how_to_keep_it() -> None:
    assert "SET PERSIST" in as_text(FINDINGS)
    assert "SET PERSIST" not in as_text(FINDINGS[:2])
    assert as_text(FINDINGS[:1]).endswith("No warnings in 1 check.")


def test_what_is_so_everywhere_is_said_once() -> None:
    both = [replace(FINDINGS[3], endpoint=name) for name in ("a", "b")]
    one = replace(FINDINGS[2], endpoint="b")
    lines = as_text([*both, one, FINDINGS[0]]).splitlines()
    assert lines[0] == "ERROR   broken [b]"
    assert [line for line in lines if "will break" in line] == ["WARNING will break"]
    assert lines[-1] == "1 error and 2 warnings in 4 checks."


def test_json_holds_everything() -> None:
    report = json.loads(as_json(FINDINGS, status=2))
    assert report["exit_code"] == 2
    assert report["findings"][2] == {
        "severity": "error",
        "code": "c",
        "title": "broken",
        "meaning": "it hurts",
        "remedy": "SET GLOBAL x = 1",
        "endpoint": "",
    }
