"""Answers to whether models can render here: asked at need, and kept for a short time."""

from __future__ import annotations

import random
from pathlib import Path

from pipelines.models.catalog import MODELS
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.reference.from_upload import prepare_reference
from storyboard.api.actions import Actions
from storyboard.api.calls import Calls
from storyboard.api.usable import SECONDS_KEPT, UsableModels
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine


class Finder:
    """Says that all models but the gated ones can be used, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, spec: ModelSpec) -> Usability:
        self.asked.append(spec.name)
        return Usability(not spec.gated, "No." if spec.gated else "Yes.")


def calls_in(folder: Path, finder: Finder | None, *, space: bool = False) -> Calls:
    runner = LocalRunner(FakeEngine(), random.Random(1))
    settings = Settings(projects=folder, space=space)
    actions = Actions(runner, Store(folder), settings, prepare_reference, None, finder)
    return Calls(actions, lambda sent: Path())


def test_answers_are_kept_for_a_short_time() -> None:
    finder, now = Finder(), [100.0]
    usable = UsableModels(MODELS, finder, lambda: now[0])
    assert finder.asked == []
    first = usable.answers()
    assert first["miniature"] == {"usable": True, "words": "Yes."}
    assert first["flux1-dev"] == {"usable": False, "words": "No."}
    assert finder.asked == [spec.name for spec in MODELS]
    now[0] += SECONDS_KEPT - 1
    assert usable.answers() == first and len(finder.asked) == len(MODELS)
    now[0] += 1
    assert usable.answers() == first and len(finder.asked) == 2 * len(MODELS)


def test_a_page_asks_for_the_models_that_it_offers(tmp_path: Path) -> None:
    answer = calls_in(tmp_path, Finder()).answer({"name": "models"})
    assert list(answer["ok"]["usable"]) == [spec.name for spec in MODELS]
    alone = calls_in(tmp_path, Finder(), space=True).answer({"name": "models"})
    assert list(alone["ok"]["usable"]) == ["miniature"]


def test_nothing_is_said_where_other_processes_render(tmp_path: Path) -> None:
    assert calls_in(tmp_path, None).answer({"name": "models"}) == {"ok": {"usable": {}}}
