"""What is published is what was measured."""

import json
from pathlib import Path

import pytest

from benchmarks import publish
from benchmarks.report import Report, write_json
from benchmarks.rounds import Sample
from benchmarks.summary import Results
from benchmarks.targets import verdicts
from tests.unit.benchmarks.test_figures import sample

MACHINE = {
    "date": "2026-01-02",
    "cores": "2",
    "processor": "P",
    "kernel": "K",
    "python": "Python 3.13.0",
    "database": "Ver 10.11.1-MariaDB",
}


def _samples() -> list[Sample]:
    ours = [sample(concurrency=c, per_second=3000.0) for c in (16, 256, 1000)]
    nodb = sample(workload="nodb", app_us=270.0)
    bare = sample("bare-ours-hypercorn", workload="nodb", app_us=200.0)
    peer = [sample("flask-persistent-db", concurrency=c, per_second=1000.0) for c in (16, 256)]
    return [*ours, nodb, bare, *peer]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    samples = _samples()
    results = Results(samples)
    told = Report(
        machine=MACHINE,
        versions={},
        plan={"rounds": 1, "seconds": 2, "complete": False},
        samples=samples,
        results=results,
        verdicts=verdicts(results, samples, first_answers_ms={"ours-hypercorn": 7.0}),
    )
    write_json(tmp_path / "results.json", told)
    return tmp_path


def test_readme_tells_targets_and_systems_the_fastest_first(folder: Path) -> None:
    text = publish.readme_text(folder)
    assert "1 rounds of 2 s" in text
    assert "cut short" in text
    assert "3.00 PASS" in text
    assert "Granian" not in text
    assert text.index("| quart_app, Hypercorn") < text.index("| Flask, PersistentDB")


def test_layers_are_differences(folder: Path) -> None:
    row = publish.layers_text(folder).splitlines()[-3]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["quart_app, Hypercorn", "200 (61%)", "70 (21%)", "30 (9%)", "30 (9%)", "330"]


def test_load_generator_is_told_beside_the_system(folder: Path) -> None:
    row = publish.load_text(folder).splitlines()[-1]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:4] == ["quart_app, Hypercorn", "1.02 of 2", "0.90", "0.03"]


def test_costs_tell_when_and_on_what(tmp_path: Path) -> None:
    whole = {"whole": {"app_us": 100.0, "database_us": 20.0}}
    costs = {name: {**whole, "all": whole["whole"]} for name in ("nodb", "lookup", "post", "list")}
    told = {"machine": MACHINE, "rounds": 30, "instructions": {}, "variants": {}, "costs": costs}
    (tmp_path / "costs.json").write_text(json.dumps(told))
    assert "Measured 2026-01-02, Python 3.13.0; 30 rounds." in publish.costs_text(tmp_path)


def test_what_was_not_measured_is_not_told(tmp_path: Path) -> None:
    texts = [publish.readme_text, publish.layers_text, publish.load_text, publish.costs_text]
    assert all("no figure stands here" in text(tmp_path) for text in texts)
