"""Memory that runs out in the middle: once the render goes on in less, and loses no frame."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel

from pipelines.errors import OutOfMemoryError
from pipelines.events import FrameDone, ModelLoading, Notice, PipelineEvent, StepDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.models import presets
from pipelines.models.catalog import MINIATURE
from pipelines.request import RenderRequest
from pipelines.sampling.context import RenderContext
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.engine import Engine
from storyboard.planning import plan_render
from storyboard.settings import Settings

SETTINGS = Settings(device="cpu", dtype="float32")
CUDA_WORDS = "CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.fixture
def any_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step down also where a model is so small that little is won."""
    pytest.importorskip("torchao")
    monkeypatch.setattr(presets, "WORTHWHILE", 1)


def request_for(frames: int = 3) -> RenderRequest:
    board = Storyboard(
        character=Character(description="a girl in a red hoodie"),
        frames=tuple(
            Frame(id=f"f{i}", location="on a beach", action="waving", seed=i) for i in range(frames)
        ),
        settings=RenderSettings(model="miniature", width=64, height=64, steps=2),
    )
    return plan_render(board, None, {}, random.Random(0))


def run_out(
    monkeypatch: pytest.MonkeyPatch, when: Callable[[int, PipelineEvent], bool]
) -> list[RenderRequest]:
    """Let memory run out before an event of an attempt, counted from 0; returns all requests."""
    real, requests = FluxStoryboardPipeline.stream, []

    def greedy(
        self: FluxStoryboardPipeline, request: RenderRequest, context: RenderContext
    ) -> Iterator[PipelineEvent]:
        attempt = len(requests)
        requests.append(request)
        for event in real(self, request, context):
            if when(attempt, event):
                raise torch.cuda.OutOfMemoryError(CUDA_WORDS)
            yield event

    monkeypatch.setattr(FluxStoryboardPipeline, "stream", greedy)
    return requests


def rendered(events: list[Any]) -> dict[str, np.ndarray]:
    return {e.frame_id: np.asarray(e.image).astype(int) for e in events if isinstance(e, FrameDone)}


def test_a_render_goes_on_in_a_smaller_preset_and_keeps_its_frames(
    any_saving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = rendered(list(Engine(SETTINGS).render(request_for())))
    requests = run_out(
        monkeypatch,
        lambda attempt, event: (
            attempt == 0 and isinstance(event, StepDone) and event.frame_id == "f1"
        ),
    )
    engine = Engine(SETTINGS)
    events = list(engine.render(request_for()))

    frames = rendered(events)
    assert list(frames) == ["f0", "f1", "f2"]
    assert np.array_equal(frames["f0"], exact["f0"])
    assert requests[1].targets == ("f1", "f2")
    assert [f.frame_id for f in requests[1].frames] == ["f0", "f1", "f2"]  # the source stays

    kinds = [type(event) for event in events]
    assert kinds.count(ModelLoading) == 2 and kinds.count(Notice) == 1
    note = next(event for event in events if isinstance(event, Notice) and event.kind == "memory")
    assert "goes on with memory preset fp8 in place of full" in note.message
    assert "Pictures differ" in note.message and "kept" in note.message
    assert kinds.index(FrameDone) < kinds.index(Notice)
    assert engine.describe() == f"{MINIATURE.title} on cpu, float32, fp8"

    # In fewer bits, the others are nearer to what they would have been than to each other.
    between = np.abs(exact["f1"] - exact["f2"]).mean()
    assert all(0 < np.abs(frames[f] - exact[f]).mean() < between for f in ("f1", "f2"))


def test_steps_of_both_attempts_count(any_saving: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run_out(monkeypatch, lambda attempt, event: attempt == 0 and isinstance(event, FrameDone))
    steps = [e for e in Engine(SETTINGS).render(request_for(2)) if isinstance(e, StepDone)]
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].done == steps[-1].total


def test_the_second_time_is_an_error(any_saving: None, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = run_out(
        monkeypatch, lambda attempt, event: isinstance(event, StepDone) and event.frame_id == "f1"
    )
    frames = []
    with pytest.raises(OutOfMemoryError, match="smaller size"):
        frames.extend(e for e in Engine(SETTINGS).render(request_for()) if isinstance(e, FrameDone))
    assert [frame.frame_id for frame in frames] == ["f0"]
    assert len(requests) == 2


def test_where_nothing_would_be_saved_the_first_time_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The miniature in 8 bits would save a few megabytes."""
    requests = run_out(monkeypatch, lambda attempt, event: isinstance(event, StepDone))
    with pytest.raises(OutOfMemoryError, match="smaller size"):
        list(Engine(SETTINGS).render(request_for()))
    assert len(requests) == 1


def test_a_render_that_had_only_to_end_is_done(
    any_saving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, attempts = FluxStoryboardPipeline.stream, []

    def greedy(self: FluxStoryboardPipeline, *args: Any, **options: Any) -> Iterator[PipelineEvent]:
        attempts.append(args)
        yield from real(self, *args, **options)
        raise MemoryError

    monkeypatch.setattr(FluxStoryboardPipeline, "stream", greedy)
    events = list(Engine(SETTINGS).render(request_for(2)))
    assert list(rendered(events)) == ["f0", "f1"]
    assert len(attempts) == 1 and isinstance(events[-1], Notice)


def test_memory_that_runs_out_while_loading_steps_down_too(
    any_saving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tried = FluxTransformer2DModel.from_pretrained, []

    def greedy(*args: Any, **options: Any) -> Any:
        tried.append(options.get("quantization_config"))
        if len(tried) == 1:
            raise torch.cuda.OutOfMemoryError(CUDA_WORDS)
        return real(*args, **options)

    monkeypatch.setattr(FluxTransformer2DModel, "from_pretrained", greedy)
    events = list(Engine(SETTINGS).render(request_for(1)))
    assert list(rendered(events)) == ["f0"]
    assert tried[0] is None and tried[1] is not None


def test_the_preset_that_is_set_is_taken_and_not_noted(any_saving: None) -> None:
    engine = Engine(Settings(device="cpu", memory="int8"))
    events = list(engine.render(request_for(1)))
    assert not any(isinstance(event, Notice) and event.kind == "memory" for event in events)
    assert engine.describe() == f"{MINIATURE.title} on cpu, bfloat16, int8"


def test_quantised_weights_are_never_chosen_in_silence(
    any_saving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = presets.Workload.of(MINIATURE, 4)
    machine = presets.Machine("cpu")
    full, fp8 = (presets.find_preset(n).need(work, machine).host for n in ("full", "fp8"))
    monkeypatch.setattr("pipelines.devices.free_memory", lambda device: (full + fp8) // 2)
    events = list(Engine(SETTINGS).render(request_for(1)))
    notes = [
        event.message for event in events if isinstance(event, Notice) and event.kind == "memory"
    ]
    assert len(notes) == 1 and "fits here only with memory preset fp8" in notes[0]
    assert events.index(Notice("memory", "", notes[0])) < [type(e) for e in events].index(StepDone)


def test_a_preset_that_does_not_fit_is_reported_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.devices.free_memory", lambda device: 10**6)
    with pytest.raises(OutOfMemoryError, match=r"preset full it needs \d+\.\d GB of host memory"):
        list(Engine(Settings(device="cpu", memory="full")).render(request_for(1)))
