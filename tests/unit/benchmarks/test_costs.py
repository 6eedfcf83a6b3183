"""What is left out to see what it costs, and what is made of the turns."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from quart import Quart

from benchmarks import inprocess
from benchmarks.costs import CONCURRENCY, TURN, feature_table, layer_table, savings_table, summarise
from benchmarks.variants import BY_NAME, VARIANTS, WHOLE, Variant
from quart_app.mysql.config import ConnectConfig
from quart_app.settings import Settings

TURNS = {
    "nodb": {"whole": [(80.0, 0.0)] * 3, "all": [(50.0, 0.0)] * 3},
    "lookup": {
        "whole": [(100.0, 20.0), (120.0, 20.0), (110.0, 30.0)],
        "deadline": [(90.0, 20.0), (108.0, 20.0), (101.0, 20.0)],
        "alone": [(200.0, 90.0), (210.0, 90.0), (220.0, 90.0)],
    },
    "post": {"whole": [(600.0, 300.0)] * 3},
    "list": {"whole": [(400.0, 450.0)] * 3},
}


@pytest.fixture(name="settings")
def _settings() -> Settings:
    return Settings(database=ConnectConfig(user="x", database="x"), access_log=False)


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.name for variant in VARIANTS])
def test_parts_that_variants_replace_exist(variant: Variant, settings: Settings) -> None:
    app = variant.app(settings)
    with variant.handling():
        rules = {rule.rule for rule in app.url_map.iter_rules()}
    assert {"/", "/nodb", "/cities"} <= rules


async def test_variant_answers_without_a_database(settings: Settings) -> None:
    exchange = next(inprocess.exchanges("nodb"))
    app: Callable[..., Awaitable[None]] = WHOLE.app(settings)
    await app(exchange.scope, exchange.receive, exchange.send)
    assert exchange.status == 200


def test_keyed_posts_have_a_key_each() -> None:
    made = inprocess.exchanges("post")
    headers = [dict(next(made).scope["headers"]) for _ in range(3)]
    assert len({each[b"idempotency-key"] for each in headers}) == 3


async def test_orders_are_obeyed_and_answered(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(Settings, "from_env", lambda: settings)
    monkeypatch.setattr(Variant, "app", lambda *_: _app())
    order = {"variant": "whole", "workload": "nodb", "requests": 5, "concurrency": 2}
    lines = iter([json.dumps(order), ""])
    answers: list[dict[str, Any]] = []
    await inprocess.serve(["whole"], lambda: next(lines), lambda a: answers.append(json.loads(a)))
    assert answers[0]["tracing"] in {True, False}
    assert answers[1]["cpu_seconds"] >= 0


def _app() -> Quart:
    app = Quart("counted")
    app.add_url_rule("/nodb", view_func=_answer)
    return app


async def _answer() -> str:
    return "x"


def test_every_workload_has_the_whole_app_to_compare_with() -> None:
    assert set(WHOLE.workloads) == set(TURN)
    assert all(requests >= CONCURRENCY for requests in TURN.values())
    assert {workload for v in VARIANTS for workload in v.workloads} == set(TURN)


def content(**changes: object) -> dict[str, Any]:
    told = {v.name: {"what": v.what, "role": v.role.value} for v in VARIANTS}
    return {"costs": summarise(TURNS), "instructions": {}, "variants": told, **changes}


def test_a_feature_costs_the_median_of_the_differences_within_rounds() -> None:
    found = summarise(TURNS)["lookup"]["deadline"]
    assert (found["saved_us"], found["saved_low_us"], found["saved_high_us"]) == (10.0, 9.5, 11.0)
    assert found["app_us"] == 101.0


def test_table_of_features_tells_costs() -> None:
    row = feature_table(content(), "lookup").splitlines()[2]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["10.0", "9.5 to 11.0", "9.1%", "0.0"]


def test_instructions_are_told_where_they_were_counted() -> None:
    counts = {"lookup": {"whole": 800_000.0, "deadline": 760_000.0}}
    text = feature_table(content(instructions=counts), "lookup")
    assert "1000 instructions" in text
    assert "40.0 |" in text


def test_table_of_savings_turns_the_sign() -> None:
    row = savings_table(content()).splitlines()[2]
    assert BY_NAME["alone"].what in row
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["100.0", "95.0 to 105.0", "70.0"]


def test_layers_add_up() -> None:
    row = layer_table(content()).splitlines()[2]
    cells = [int(cell.split("(")[0]) for cell in row.split("|")[2:-1]]
    assert cells == [50, 30, 30, 20]
