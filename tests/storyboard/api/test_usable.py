"""Answers to whether models can render: asked at need, and kept for a short time."""

from __future__ import annotations

from pathlib import Path

from pipelines.models.catalog import MODELS
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from storyboard.api.calls import Calls
from storyboard.api.usable import SECONDS_KEPT, UsableModels
from tests.storyboard.api.backend import Backend, backend_in
from tests.storyboard.fakes import FakeEngine


def test_answers_are_kept_for_a_short_time() -> None:
    asked, now, engine = list[str](), [100.0], FakeEngine()

    def find(spec: ModelSpec) -> Usability:
        asked.append(spec.name)
        return engine.usability(spec)

    usable = UsableModels(MODELS, find, lambda: now[0])
    assert asked == []
    first = usable.answers()
    assert first["miniature"] == {"usable": True, "words": "Runs here."}
    assert first["flux1-dev"] == {"usable": False, "words": "Does not run here."}
    assert asked == [spec.name for spec in MODELS]
    now[0] += SECONDS_KEPT - 1
    assert usable.answers() == first and len(asked) == len(MODELS)
    now[0] += 1
    assert usable.answers() == first and len(asked) == 2 * len(MODELS)


def usable_in(backend: Backend) -> list[str]:
    calls = Calls(backend.actions, lambda sent: Path())
    return list(calls.answer({"name": "models"})["ok"]["usable"])


def test_a_page_asks_where_jobs_run_for_the_models_that_it_offers(
    backend: Backend, tmp_path: Path
) -> None:
    assert usable_in(backend) == [spec.name for spec in MODELS]
    space = backend_in(tmp_path / "space", FakeEngine(), space=True)
    assert usable_in(space) == ["miniature"]
    space.runner.close()
