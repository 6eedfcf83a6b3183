"""The timeline: requests per 100 ms by outcome, with every fault marked. As SVG, written by hand."""

from collections import Counter
from collections.abc import Sequence
from html import escape

from quart_app.torture.outcome import Outcome, Record
from quart_app.torture.run import Result

STEP = 0.1
HEIGHT, TOP, LEFT = 160.0, 70.0, 46.0
PIXELS = 2.0
COLOURS = {
    Outcome.OK: "#2e8b57",
    Outcome.UNAVAILABLE: "#e0a030",
    Outcome.TIMEOUT: "#c07020",
    Outcome.UNKNOWN: "#6a5acd",
    Outcome.WRONG: "#d02020",
    Outcome.DROPPED: "#801010",
    Outcome.HUNG: "#202020",
}
Bucket = tuple[int, Outcome]


def buckets(records: Sequence[Record], *, since: float) -> Counter[Bucket]:
    """Count answers by when they came, in steps of 100 ms from *since*, and outcome."""
    return Counter((int((record.ended - since) / STEP), record.outcome) for record in records)


def svg(results: Sequence[Result], *, title: str, since: float, until: float) -> str:
    """Draw what was seen from *since* to *until*."""
    counted = Counter[Bucket]()
    for result in results:
        counted.update(buckets(result.records, since=since))
    steps = int((until - since) / STEP) + 1
    tallest = max(_heights(counted).values(), default=1)
    width = LEFT + steps * PIXELS + 20
    size = f'width="{width:.0f}" height="{TOP + HEIGHT + 60:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="16" font-size="14">{escape(title)}</text>',
        *_outages(results, since=since),
        *_bars(counted, tallest=tallest),
        *_axes(steps, tallest=tallest),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def stacked(drawings: Sequence[str]) -> str:
    """One drawing of several, one under the other."""
    each = TOP + HEIGHT + 60
    opened = '<svg xmlns="http://www.w3.org/2000/svg"'
    width = max(float(drawing.split('width="', 1)[1].split('"', 1)[0]) for drawing in drawings)
    placed = [
        drawing.replace("<svg ", f'<svg y="{number * each:.0f}" ', 1)
        for number, drawing in enumerate(drawings)
    ]
    size = f'width="{width:.0f}" height="{len(drawings) * each:.0f}"'
    return "\n".join([f"{opened} {size}>", *placed, "</svg>", ""])


def _heights(counted: Counter[Bucket]) -> Counter[int]:
    heights: Counter[int] = Counter()
    for (step, _), count in counted.items():
        heights[step] += count
    return heights


def _bars(counted: Counter[Bucket], *, tallest: int) -> list[str]:
    parts, base = [], Counter[int]()
    for outcome, colour in COLOURS.items():
        for (step, _), count in sorted(
            (item for item in counted.items() if item[0][1] is outcome), key=lambda item: item[0][0]
        ):
            height = count / tallest * HEIGHT
            y = TOP + HEIGHT - (base[step] + count) / tallest * HEIGHT
            base[step] += count
            parts.append(
                f'<rect x="{LEFT + step * PIXELS:.1f}" y="{y:.1f}" width="{PIXELS}"'
                f' height="{height:.1f}" fill="{colour}"/>'
            )
    return parts


def _outages(results: Sequence[Result], *, since: float) -> list[str]:
    parts = []
    for number, result in enumerate(results):
        for outage in result.outages:
            x = LEFT + (outage.began - since) / STEP * PIXELS
            width = max(1.0, (outage.ended - outage.began) / STEP * PIXELS)
            y = 34 + number % 3 * 12
            parts += [
                f'<rect x="{x:.1f}" y="{TOP}" width="{width:.1f}" height="{HEIGHT}" fill="#f4d8d8"/>',
                (
                    f'<text x="{x:.1f}" y="{y}"><title>{escape(result.row.title)}</title>'
                    f"{escape(result.row.number)}{'' if result.kept else ' broken'}</text>"
                ),
            ]
    return parts


def _axes(steps: int, *, tallest: int) -> list[str]:
    base = TOP + HEIGHT
    parts = [
        f'<line x1="{LEFT}" y1="{base}" x2="{LEFT + steps * PIXELS}" y2="{base}" stroke="#000"/>',
        f'<text x="4" y="{TOP + 8}">{tallest}</text><text x="4" y="{base}">0</text>',
        f'<text x="4" y="{TOP + HEIGHT / 2}">per 100 ms</text>',
    ]
    for second in range(0, int(steps * STEP) + 1, 10):
        x = LEFT + second / STEP * PIXELS
        parts.append(f'<text x="{x:.1f}" y="{base + 14}">{second} s</text>')
    return parts


def _legend() -> list[str]:
    parts, x = [], LEFT
    for outcome, colour in COLOURS.items():
        y = TOP + HEIGHT + 40
        parts += [
            f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>',
            f'<text x="{x + 14}" y="{y}">{escape(outcome.value)}</text>',
        ]
        x += 150
    return parts
