"""Which frames changed since they were painted, with a real store and runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.request import Shortcuts
from tests.storyboard.api.office import Office, office_in, painted, story
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = office_in(tmp_path / "projects", FakeEngine())
    yield office
    office.runner.close()


def test_frames_that_were_painted_with_other_shortcuts_have_changed(office: Office) -> None:
    document = story(office)
    assert painted(office, document)[-1]["edited"] == []
    ids = [frame["id"] for frame in document["frames"]]
    for shortcut, edited in (("half-steps", ids), ("both", ids), ("coarse-probe", ids[1:])):
        document["settings"]["shortcut"] = shortcut
        assert office.desk.save(document)["edited"] == edited, shortcut
    # The identity frame is not probed, so that it stays as it is and lends.
    office.desk.generate(document, [ids[1]])
    last = list(office.desk.follow(document["project"]))[-1]
    assert last["edited"] == []
    assert office.engine.requests[-1].targets == (ids[1],)
    assert office.engine.requests[-1].shortcuts == Shortcuts(probe_every=2)
    document["settings"]["shortcut"] = "exact"
    assert office.desk.save(document)["edited"] == ids[1:]
