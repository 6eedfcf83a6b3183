"""What the pages say about speed is what was measured; after a run: `make bench-publish`."""

from pathlib import Path

import pytest

from benchmarks.publish import PARTS, part

IDS = [f"{path.name}-{marker}" for path, marker in PARTS]


@pytest.mark.parametrize("place", PARTS, ids=IDS)
def test_published_part_is_current(place: tuple[Path, str]) -> None:
    path, marker = place
    assert part(path.read_text(), marker) == PARTS[place](), "type: make bench-publish"


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        part("nothing", "speed")
