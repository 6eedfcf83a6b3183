"""What the pages say about speed is what was measured; after a run: `make bench-publish`."""

from pathlib import Path

import pytest

from benchmarks.publish import PARTS, part, placed

IDS = [f"{path.name}-{marker}" for path, marker in PARTS]


@pytest.mark.parametrize("place", PARTS, ids=IDS)
def test_published_part_is_current(place: tuple[Path, str]) -> None:
    path, marker = place
    assert part(path.read_text(), marker) == PARTS[place](), "type: make bench-publish"


def test_only_the_part_between_the_markers_is_written() -> None:
    page = "same\n<!-- a -->\nsame\n<!-- /a -->\n<!-- b -->\nsame\n<!-- /b -->\n"
    fresh = placed(page, "b", "new")
    assert fresh == "same\n<!-- a -->\nsame\n<!-- /a -->\n<!-- b -->\nnew\n<!-- /b -->\n"


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        part("nothing", "speed")
