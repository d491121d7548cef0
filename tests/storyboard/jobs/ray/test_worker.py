"""A worker, in this process."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.events import FrameDone, ModelLoading, StepDone
from pipelines.exchange import NO_BANKS
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.jobs.ray.cluster import joint_usability
from storyboard.jobs.ray.worker import Assignment, BankReady, BanksFetched, Worker
from storyboard.planning import plan_render
from storyboard.settings import Settings, Workers
from storyboard.storage.consents import Consents
from tests.pipelines.pictures import reference
from tests.storyboard.fakes import FakeBank, FakeEngine


def request_for(*names: str) -> RenderRequest:
    board = Storyboard(
        character=Character(description="a girl"),
        frames=tuple(Frame(id=name, action="waving", location="beach", seed=7) for name in names),
        settings=RenderSettings(width=64, height=64),
    )
    return plan_render(board, None, {}, random.Random(0))


class Known:
    """A worker, its engine, and the settings that the engine was made with."""

    def __init__(self, settings: Settings, banks: dict[str, bytes]) -> None:
        self.engine = FakeEngine()
        self.settings = settings

        def make(given: Settings) -> FakeEngine:
            self.settings = given
            return self.engine

        self.worker = Worker(make, settings, banks.__getitem__)


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Known]:
    settings = Settings(projects=tmp_path / "projects", device="cpu", workers=Workers(2))
    known = Known(settings, {"ref": b"a bank"})
    yield known
    known.worker.close()


def test_an_assignment_is_rendered_with_its_pictures_and_consents(
    known: Known, tmp_path: Path
) -> None:
    picture = reference()
    seen: list[bytes] = []

    assignment = Assignment(
        "1", request_for("a", "b"), {picture.name: picture.content}, ("weights",)
    )
    for event in known.worker.render(assignment):
        folder = known.engine.pictures[0]
        assert folder is not None
        seen.append((folder / picture.name).read_bytes())
        assert not isinstance(event, BankReady | BanksFetched)
    assert set(seen) == {picture.content}
    assert not folder.exists()
    assert known.engine.banks == [NO_BANKS]
    # Here and now, not on the disk of whoever runs this machine.
    assert Consents(known.settings.consents).given("weights")
    assert not (tmp_path / "projects").exists()
    assert (known.settings.device, known.settings.workers) == ("cpu", None)
    own = known.settings.projects
    known.worker.close()
    assert not own.exists()


def test_banks_come_and_go_beside_the_events(known: Known) -> None:
    request = request_for("a", "b")
    assignment = Assignment("1", request, received={"x": "ref"}, sends=frozenset("a"))
    events = list(known.worker.render(assignment))
    fetched = events[0]
    assert isinstance(fetched, BanksFetched) and fetched.nbytes == len(b"a bank")
    assert known.engine.banks[0].received == {"x": b"a bank"}
    bank = FakeBank("a", request.frames[0].seed)
    at = events.index(BankReady("a", bank.nbytes, sent=True))
    packed = events[at + 1]
    assert isinstance(packed, bytes) and pickle.loads(packed) == bank
    done = [e.frame_id for e in events[:at] if isinstance(e, FrameDone)]
    assert done == []  # the bank comes before the picture


def test_sizes_of_banks_are_reported_without_sending_them(known: Known) -> None:
    events = list(known.worker.render(Assignment("1", request_for("a", "b"), measures=True)))
    assert BankReady("a", FakeBank("a", 7).nbytes, sent=False) in events
    assert not any(isinstance(e, bytes) for e in events)


def test_it_stops_within_a_step(known: Known) -> None:
    assignment = Assignment("1", request_for("a", "b"))
    seen = []
    for event in known.worker.render(assignment):
        seen.append(event)
        if isinstance(event, StepDone):
            known.worker.stop("1")
    assert sum(isinstance(e, StepDone) for e in seen) == 1
    assert known.engine.closed == 1
    # The stop is not for the next assignment.
    assert sum(isinstance(e, FrameDone) for e in known.worker.render(assignment)) == 2


def test_an_assignment_that_was_stopped_before_it_began_renders_nothing(known: Known) -> None:
    known.worker.stop("1")
    assert list(known.worker.render(Assignment("1", request_for("a")))) == [
        ModelLoading("miniature")
    ]


def test_an_error_for_people_is_an_event(known: Known) -> None:
    known.engine.fault = ModelError("It is not there.", "Get it.")
    last = list(known.worker.render(Assignment("1", request_for("a"))))[-1]
    assert isinstance(last, ModelError) and last.remedy == "Get it."


def test_workers_that_differ_are_counted() -> None:
    can, cannot = Usability(True, "Runs here, on the GPU."), Usability(False, "Does not run here.")
    joint = joint_usability([can, cannot, can])
    assert joint == Usability(
        False,
        "Does not run on 1 of 3 workers. Runs on 2 of 3 workers, on the GPU.",
    )
    assert joint_usability([can, can]) == Usability(True, "Runs on the workers, on the GPU.")
    assert "none of them answers" in joint_usability([]).words
