"""What the benchmarks make of their samples: medians, ratios, verdicts, tables."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks.report import Report, markdown, read_samples, table, write_json
from benchmarks.rounds import Sample
from benchmarks.summary import Results
from benchmarks.systems import SYSTEMS, Family
from benchmarks.targets import Verdict, verdicts

SAMPLE = Sample(
    system="ours-hypercorn",
    workload="lookup",
    concurrency=16,
    round=0,
    requests=100,
    failures=0,
    per_second=100.0,
    p50_ms=1.0,
    p99_ms=2.0,
    app_us=300.0,
    database_us=30.0,
    client_us=10.0,
    statements=0.25,
    connections=8,
    rss_mib=70.0,
)


RSS = "RSS of the worker"


def sample(system: str = "ours-hypercorn", **changes: object) -> Sample:
    return dataclasses.replace(SAMPLE, system=system, **changes)  # type: ignore[arg-type] # by name


def outcomes(*samples: Sample) -> dict[str, str]:
    found = verdicts(Results(samples), list(samples), first_answers_ms={})
    return {verdict.name: verdict.outcome for verdict in found}


def test_summary_is_the_median_with_its_extremes() -> None:
    results = Results([sample(per_second=rate, failures=1) for rate in (80.0, 100.0, 140.0)])
    found = results.find("ours-hypercorn", "lookup", 16)
    assert found is not None
    assert (found.per_second, found.low, found.high) == (100.0, 80.0, 140.0)
    assert found.spread == pytest.approx(0.3)
    assert found.failures == 3


def test_ratio_is_taken_round_by_round() -> None:
    ours = [sample(round=n, per_second=rate) for n, rate in enumerate((100.0, 10.0, 300.0))]
    theirs = [
        sample("flask-timer", round=n, per_second=rate)
        for n, rate in enumerate((50.0, 5.0, 100.0, 100.0))
    ]
    results = Results([*ours, *theirs])
    pair = (("ours-hypercorn", "lookup", 16), ("flask-timer", "lookup", 16))
    assert results.ratio(*pair) == pytest.approx(2.0)
    assert results.ratio(pair[0], ("flask-timer", "lookup", 64)) is None


def test_unknown_percentiles_stay_unknown() -> None:
    found = Results([sample(p99_ms=None)]).find("ours-hypercorn", "lookup", 16)
    assert found is not None
    assert found.p99_ms is None


def test_cell_lists_the_fastest_first() -> None:
    results = Results([sample(), sample("flask-timer", per_second=200.0)])
    assert [s.system for s in results.of_cell("lookup", 16)] == ["flask-timer", "ours-hypercorn"]


@pytest.mark.parametrize(
    ("ours", "outcome"), [(150.0, "PASS"), (200.0, "PASS"), (75.0, "short by 50%")]
)
def test_lookup_is_judged_against_persistent_db(ours: float, outcome: str) -> None:
    found = outcomes(sample(per_second=ours), sample("flask-persistent-db"))
    assert found["lookup / PersistentDB, c=16"] == outcome


@pytest.mark.parametrize(("cost", "outcome"), [(25.0, "PASS"), (50.0, "short by 100%")])
def test_database_cost_must_stay_below(cost: float, outcome: str) -> None:
    peer = sample("flask-persistent-db", database_us=100.0)
    found = outcomes(sample(database_us=cost), peer)
    assert found["database CPU of lookup / PersistentDB, c=16"] == outcome


def test_questions_that_differ_are_judged_too() -> None:
    ours = sample(workload="names", per_second=140.0)
    found = outcomes(ours, sample("flask-persistent-db", workload="names"))
    assert found["20 cities in turn / PersistentDB, c=16"] == "short by 7%"


def test_same_server_is_compared_with_same_server() -> None:
    other = sample("fastapi-asyncmy-granian", per_second=1000.0)
    name = "lookup / FastAPI + asyncmy, same server, c=16"
    assert name not in outcomes(sample(), other)
    assert outcomes(sample(), sample("fastapi-asyncmy-hypercorn"))[name] == "PASS"


def test_what_was_not_measured_is_not_judged() -> None:
    names = outcomes(sample()).keys()
    assert names == {f"{RSS}, all through", f"{RSS}, before the crowd of 1000"}


def test_memory_may_not_grow() -> None:
    sizes = enumerate((60.0, 70.0, 70.0, 70.0, 80.0))
    rounds = [sample(rss_mib=size, round=number) for number, size in sizes]
    assert outcomes(*rounds)["RSS of the last round / of a middle one"] == "short by 9%"


def test_a_thousand_clients_share_eight_connections() -> None:
    name = "connections to the database, c=1000"
    assert outcomes(sample(concurrency=1000))[name] == "PASS"
    assert outcomes(sample(concurrency=1000, connections=9))[name] == "short by 12%"


def test_memory_is_judged_with_the_crowd_and_before_it() -> None:
    sizes = ((16, 70.0), (1000, 99.0), (16, 95.0))
    found = outcomes(*(sample(concurrency=c, rss_mib=size) for c, size in sizes))
    assert found[f"{RSS}, before the crowd of 1000"] == "PASS"
    assert found[f"{RSS}, all through"] == "short by 10%"


def _report(samples: list[Sample], found: list[Verdict]) -> Report:
    return Report(
        machine={"cores": "2"},
        versions={},
        plan={"rounds": 3},
        samples=samples,
        results=Results(samples),
        verdicts=found,
    )


def test_what_was_written_can_be_gone_on_from(tmp_path: Path) -> None:
    samples = [sample(), sample("flask-timer", round=1, p99_ms=None)]
    assert read_samples(tmp_path / "results.json") == []
    write_json(tmp_path / "results.json", _report(samples, []))
    assert read_samples(tmp_path / "results.json") == samples
    assert [s.place for s in samples][1] == ("flask-timer", "lookup", 16, 1)


def test_report_names_systems_and_outcomes() -> None:
    verdict = Verdict(name="fast", system="ours-hypercorn", value=1.0, target=2.0)
    text = markdown(_report([SAMPLE], [verdict]))
    assert "| quart_app, Hypercorn |" in text
    assert "short by 50%" in text


def test_table_has_even_columns() -> None:
    lines = table(("name", "n"), [("a", "1"), ("bcdef", "20")]).splitlines()
    assert lines == ["| name  |  n |", "|-------|---:|", "| a     |  1 |", "| bcdef | 20 |"]


def test_every_system_starts_one_quiet_process_on_the_loopback() -> None:
    for system in SYSTEMS:
        command = " ".join(system.command(4711))
        assert "127.0.0.1" in command
        assert "4711" in command
        assert command.endswith(system.target)
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert {system.family for system in SYSTEMS} == set(Family)
