"""The status page in a real browser, on a real database that is broken under it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quart_app.local_server import LocalServerError
from quart_app.local_server.binary import find_server
from tests.e2e.browser import Browser, missing
from tests.e2e.program import Program

STATE = "return document.getElementById('state')?.dataset.state"  # the login's page has none
SHOWN = "return Number(document.getElementById('{}').textContent.replace(/[^0-9.]/g, ''))"


@pytest.fixture(name="program", scope="module")
def _program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """`quart-app dev`, with a database of its own."""
    if missing():
        pytest.skip(f"no browser: {missing()}")
    try:
        find_server()
    except LocalServerError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("status")
    settings = {"QUART_APP_ACCESS_LOG": "false"}
    with Program(folder, "dev", "--data", str(folder / "data"), settings=settings) as program:
        program.wait_until("/health/ready", 200)
        yield program
        program.terminate()
        program.wait()


@pytest.fixture(name="browser")
def _browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(name="page")
def _page(browser: Browser, program: Program) -> Browser:
    """The page, logged in, with its first numbers."""
    browser.go(f"{program.url}/status")
    browser.type("#token", ops_token(program))
    browser.click("main button")
    browser.wait_for(f"{STATE} === 'serving'")
    browser.complaints()  # of the 401 before the login
    browser.run(RECORDING)
    return browser


# What the page itself only counts.
RECORDING = """
window.failures = [];
const plain = window.fetch;
window.fetch = async (...given) => {
  try {
    const answer = await plain(...given);
    if (!answer.ok) failures.push(`${given[0]}: ${answer.status} ${await answer.clone().text()}`);
    return answer;
  } catch (error) {
    failures.push(`${given[0]}: ${error}`);
    throw error;
  }
};
"""


def ops_token(program: Program) -> str:
    (token,) = re.findall(r"token of scope ops: (\S+)", program.log)
    return str(token)


def break_it(page: Browser, how: str) -> None:
    page.run("document.querySelector(`[data-break=${arguments[0]}]`).click()", how)


def traffic(page: Browser) -> dict[str, float]:
    """What the browser's own requests came to."""
    found: dict[str, float] = page.run("return {...traffic}")
    return found


def test_login_form_says_what_is_wrong(browser: Browser, program: Program) -> None:
    browser.go(f"{program.url}/status")
    browser.type("#token", "wrong")
    browser.click("main button")
    assert "not good" in browser.wait_for("return document.getElementById('wrong')?.innerText")
    assert browser.run("return document.activeElement.id") == "token"


def test_page_lives_without_reloading(page: Browser) -> None:
    page.click("#traffic")
    assert page.text("#traffic") == "Stop the traffic"
    page.wait_for(f"{SHOWN.format('rate')} > 5")
    page.wait_for(
        "return document.querySelectorAll('#plot-rate path.a')[0]?.getAttribute('d').length > 40"
    )
    assert page.run("return document.querySelectorAll('#slots li').length") == 10
    assert page.text("#endpoints") == "database 1: in use"
    assert page.complaints() == []


def test_page_loads_nothing_from_elsewhere(page: Browser, program: Program) -> None:
    loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert all(name.startswith((program.url, "data:")) for name in loaded)


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_visitor_sees_it_heal_and_no_request_fails(page: Browser, tmp_path: Path, how: str) -> None:
    page.click("#traffic")
    page.wait_for("return traffic.answered > 30")
    before = traffic(page)["answered"]
    page.run("for (let number = 0; number < 8; number += 1) ask()")
    break_it(page, how)
    page.wait_for("return !document.querySelector('#events .quiet:only-child')")
    page.look(tmp_path / "breaking.png")
    page.wait_for(
        f"return {STATE.removeprefix('return ')} === 'serving' && traffic.answered > {before} + 200"
    )
    assert traffic(page)["failed"] == 0, page.run("return failures")
    assert "connection closed" in page.text("#events") or "the database is back" in page.text(
        "#events"
    )
    page.look(tmp_path / "healed.png")


def test_frozen_server_shows_and_thaws(page: Browser) -> None:
    page.click("#traffic")
    page.wait_for("return traffic.answered > 10")
    break_it(page, "freeze")
    page.wait_for(
        f"return ['stalled', 'healing', 'away'].includes({STATE.removeprefix('return ')})"
    )
    page.wait_for(f"{STATE} === 'serving'")
    assert traffic(page)["failed"] == 0, page.run("return failures")


@pytest.mark.parametrize("phone", [False, True])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_and_can_be_read(page: Browser, tmp_path: Path, dark: bool, phone: bool) -> None:
    width = 390 if phone else 1100
    page.command(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=900,
        deviceScaleFactor=1,
        mobile=phone,
    )
    assert page.run("return document.documentElement.scrollWidth <= window.innerWidth")
    page.look(tmp_path / "page.png", dark=dark, phone=phone)
    assert page.run(CONTRASTS) == []


def test_everything_can_be_reached_by_name(page: Browser) -> None:
    unnamed = page.run(
        "return [...document.querySelectorAll('button, a, input, svg, section, #slots, #endpoints')]"
        ".filter((node) => !node.textContent.trim() && !node.ariaLabel && !node.labels?.length"
        " && !node.getAttribute('aria-labelledby')).map((node) => node.outerHTML)"
    )
    assert unnamed == []
    assert page.run("return document.documentElement.lang") == "en"
    assert page.run("return document.querySelectorAll('h1').length") == 1


def test_logout_closes_the_page(page: Browser) -> None:
    page.click(".plain")
    page.wait_for("return document.getElementById('token')")
    assert page.run("return document.cookie") == ""


# Texts whose contrast with what lies behind them is less than WCAG's 4.5.
CONTRASTS = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const parse = (color) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return {rgb: [r, g, b], a};
};
const light = ({rgb}) => rgb.map((c) => c / 255)
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.a === 255) return color;
  }
  return parse('white');
};
return [...document.querySelectorAll('main *')]
  .filter((node) => node.checkVisibility() && !node.disabled
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()))
  .filter((node) => {
    const pair = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    return (pair[0] + 0.05) / (pair[1] + 0.05) < 4.5;
  }).map((node) => node.outerHTML.slice(0, 100));
"""
