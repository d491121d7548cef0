"""The engine on the real miniature, at a tiny size: events, errors, cancel, ZeroGPU."""

from __future__ import annotations

import pickle
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.engine import EngineOptions, machine_here, usability
from pipelines.errors import ModelError, OutOfMemoryError
from pipelines.events import FrameDone, ModelLoading, PipelineEvent, Preview, StepDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.models.catalog import FLUX1_DEV, MINIATURE, find_model
from pipelines.models.presets import Machine
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from pipelines.sampling.context import RenderContext
from storyboard import engine as app_engine
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.engine import Engine
from storyboard.planning import plan_render
from storyboard.settings import ROOT, Settings
from storyboard.zero_gpu import requested_seconds

SETTINGS = Settings(device="cpu", dtype="float32")
OPTIONS = EngineOptions(device="cpu", dtype="float32")


def request_for(model: str = "miniature", frames: int = 2, side: int = 64) -> RenderRequest:
    board = Storyboard(
        character=Character(description="a girl in a red hoodie"),
        frames=tuple(
            Frame(id=f"f{i}", location="on a beach", action="waving", seed=i) for i in range(frames)
        ),
        settings=RenderSettings(model=model, width=side, height=side, steps=2),
    )
    return plan_render(board, None, {}, random.Random(0))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(SETTINGS)


def test_importing_and_making_an_engine_leaves_torch_alone() -> None:
    code = (
        "import sys; from storyboard.engine import Engine; from storyboard.settings import Settings"
        "; Engine(Settings()); import storyboard.cli.batch, storyboard.cli.main"
        "; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_request_is_rendered_and_the_model_loaded_once(engine: Engine) -> None:
    fresh = Engine(SETTINGS)
    assert fresh.describe() == ""
    events = list(fresh.render(request_for()))
    assert events[0] == ModelLoading(MINIATURE.title)
    pictures = [e for e in events if isinstance(e, FrameDone)]
    assert [e.frame_id for e in pictures] == ["f0", "f1"]
    assert {e.image.size for e in pictures} == {(64, 64)}
    steps = [e for e in events if isinstance(e, StepDone)]
    assert steps[-1].done == steps[-1].total == len(steps)
    assert fresh.describe() == f"{MINIATURE.title} on cpu, float32"
    again = list(fresh.render(request_for()))
    assert not any(isinstance(e, ModelLoading) for e in again)
    repeated = [e for e in again if isinstance(e, FrameDone)]
    assert [e.image.tobytes() for e in repeated] == [e.image.tobytes() for e in pictures]
    assert pickle.loads(pickle.dumps(pictures[0])).image.tobytes() == pictures[0].image.tobytes()


def test_frames_are_previewed_where_the_option_is_set(engine: Engine) -> None:
    plain = list(engine.render(request_for()))
    shown = list(Engine(SETTINGS, previews=True).render(request_for()))
    assert not any(isinstance(e, Preview) for e in plain)
    previews = [e for e in shown if isinstance(e, Preview)]
    assert [e.frame_id for e in previews] == ["f0", "f1"]
    assert {e.image.size for e in previews} == {(64, 64)}
    assert pickle.loads(pickle.dumps(previews[0])).image.tobytes() == previews[0].image.tobytes()
    one, other = (
        [e.image.tobytes() for e in events if isinstance(e, FrameDone)] for events in (plain, shown)
    )
    assert one == other


def test_a_redone_frame_is_the_same_picture_when_nothing_changed(engine: Engine) -> None:
    whole = request_for(frames=3)
    board = Storyboard(
        character=Character(description="a girl in a red hoodie"),
        frames=tuple(
            Frame(id=f"f{i}", location="on a beach", action="waving", seed=i) for i in range(3)
        ),
        settings=RenderSettings(width=64, height=64, steps=2),
    )
    chosen = {f.frame_id: whole for f in whole.frames}
    redone = plan_render(board, ["f2"], chosen, random.Random(0))
    first = [e for e in engine.render(whole) if isinstance(e, FrameDone)]
    second = [e for e in engine.render(redone) if isinstance(e, FrameDone)]
    assert [e.frame_id for e in second] == ["f2"]
    assert second[0].image.tobytes() == first[2].image.tobytes()


def test_a_closed_render_leaves_the_model_as_it_was(engine: Engine) -> None:
    plain = [e for e in engine.render(request_for()) if isinstance(e, FrameDone)]
    stopped = engine.render(request_for())
    for event in stopped:
        if isinstance(event, StepDone) and event.frame_id == "f1":
            break
    stopped.close()
    after = [e for e in engine.render(request_for()) if isinstance(e, FrameDone)]
    assert [e.image.tobytes() for e in after] == [e.image.tobytes() for e in plain]


def test_another_model_replaces_the_first(tmp_path: Path, miniature_folder: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(miniature_folder, copy)
    engine = Engine(SETTINGS)
    list(engine.render(request_for(frames=1)))
    events = list(engine.render(request_for(str(copy), frames=1)))
    assert events[0] == ModelLoading("copy")
    assert engine.describe().startswith("copy on cpu")


def test_a_folder_whose_weights_were_replaced_is_loaded_again(
    tmp_path: Path, miniature_folder: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(miniature_folder, folder)
    engine, request = Engine(SETTINGS), request_for(str(folder), frames=1)
    pictures = []
    for _ in range(2):
        events = list(engine.render(request))
        assert events[0] == ModelLoading("copy")
        assert not any(isinstance(e, ModelLoading) for e in engine.render(request))
        pictures += [e.image.tobytes() for e in events if isinstance(e, FrameDone)]
        weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
        save_file({name: -tensor.float() for name, tensor in load_file(weights).items()}, weights)
    assert pictures[0] != pictures[1]


def test_a_broken_or_unknown_model_is_an_error(tmp_path: Path, miniature_folder: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(miniature_folder, broken)
    request = request_for(str(broken))
    shutil.rmtree(broken / "vae")
    with pytest.raises(ModelError, match="vae"):
        list(Engine(SETTINGS).render(request))
    shutil.rmtree(broken)
    with pytest.raises(ModelError, match="broken"):
        list(Engine(SETTINGS).render(request))


@pytest.mark.parametrize("frames_before", [0, 1])
def test_the_engine_goes_on_after_memory_ran_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, frames_before: int
) -> None:
    real = FluxStoryboardPipeline.stream

    def greedy(
        self: FluxStoryboardPipeline, request: RenderRequest, context: RenderContext
    ) -> Iterator[PipelineEvent]:
        done = 0
        for event in real(self, request, context):
            if done == frames_before:
                torch.empty(2**58, dtype=torch.uint8)
            yield event
            done += isinstance(event, FrameDone)

    with monkeypatch.context() as patch:
        patch.setattr(FluxStoryboardPipeline, "stream", greedy)
        rendered = []
        with pytest.raises(OutOfMemoryError, match="smaller size"):
            rendered.extend(e for e in engine.render(request_for()) if isinstance(e, FrameDone))
    assert any(isinstance(e, FrameDone) for e in engine.render(request_for()))


def test_other_errors_of_the_pipeline_are_raised_unchanged(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object, **__: object) -> Iterator[PipelineEvent]:
        raise RuntimeError("shapes differ")
        yield

    monkeypatch.setattr(FluxStoryboardPipeline, "stream", faulty)
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(engine.render(request_for()))


def test_a_render_on_zero_gpu_requests_its_time_and_keeps_its_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for the `spaces` package, which only a ZeroGPU Space has: what it gets passes a pickle.
    (tmp_path / "spaces.py").write_text(
        "import pickle\n"
        "requested = []\n"
        "def GPU(duration):\n"
        "    def decorate(task):\n"
        "        def on_gpu(*arguments):\n"
        "            requested.append(duration(*arguments))\n"
        "            for item in task(*pickle.loads(pickle.dumps(arguments))):\n"
        "                yield pickle.loads(pickle.dumps(item))\n"
        "        return on_gpu\n"
        "    return decorate\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    engine = Engine(SETTINGS)
    request = request_for()
    events = list(engine.render(request))
    assert len([e for e in events if isinstance(e, FrameDone)]) == 2
    spaces = sys.modules.pop("spaces")
    assert spaces.requested == [requested_seconds(request)]

    def greedy(*_: object, **__: object) -> Iterator[PipelineEvent]:
        torch.empty(2**58, dtype=torch.uint8)
        yield

    monkeypatch.setattr(FluxStoryboardPipeline, "stream", greedy)
    with pytest.raises(OutOfMemoryError) as caught:
        list(engine.render(request))
    assert "smaller size" in caught.value.remedy


def test_more_work_requests_more_time() -> None:
    assert (
        requested_seconds(request_for(frames=4)) >= requested_seconds(request_for(frames=1)) >= 30
    )
    large = request_for("flux1-dev", frames=5, side=1024)
    assert 30 + 5 * 2 * 0.2 < requested_seconds(large) < 300


def test_a_folder_that_is_not_complete_is_not_usable(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MINIATURE.source, folder)
    spec = find_model(str(folder))
    assert usability(spec, OPTIONS).usable
    shutil.rmtree(folder / "tokenizer")
    answer = usability(spec, OPTIONS)
    assert not answer.usable and "has no 'tokenizer' component" in answer.words


def test_usability_is_answered_without_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usability(MINIATURE, OPTIONS) == Usability(True, "Runs here, on the CPU.")
    monkeypatch.setattr("pipelines.devices.free_memory", lambda device: 10**9)
    monkeypatch.setattr("pipelines.devices.held_memory", lambda device: 10**9)
    short = usability(FLUX1_DEV, OPTIONS)
    assert not short.usable
    assert re.fullmatch(
        r"Does not run here: (even with memory preset \w+ )?it needs \d+\.\d GB of host memory, "
        r"and 2\.0 GB are free\.",
        short.words,
    )
    monkeypatch.setattr("pipelines.devices.free_memory", lambda device: 10**12)
    assert usability(FLUX1_DEV, OPTIONS) == Usability(
        True, "Runs here, on the CPU, after a download of 34 GB and accepting its terms."
    )
    unknown = usability(find_model("someone/finetune"), OPTIONS)
    assert unknown == Usability(True, "Runs here, on the CPU, after a download.")
    offloaded = usability(MINIATURE, replace(OPTIONS, memory="model-offload"))
    assert offloaded == Usability(
        False, "Does not run here with memory preset model-offload, which is for CUDA GPUs."
    )
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    refused = usability(MINIATURE, EngineOptions(device=absent))
    assert not refused.usable and refused.words.startswith("Does not run here. This machine has no")
    with pytest.raises(ModelError, match="no device"):
        machine_here(EngineOptions(device=absent))
    assert machine_here(OPTIONS) == Machine("cpu", host=10**12)


def test_on_zero_gpu_it_is_decided_where_the_gpu_is(monkeypatch: pytest.MonkeyPatch) -> None:
    here = app_engine.usability(MINIATURE, Settings(device="cpu"))
    assert here == Usability(True, "Runs here, on the CPU.")
    monkeypatch.setattr("storyboard.engine.has_zero_gpu", lambda: True)
    large = Engine(Settings(space=True)).usability(FLUX1_DEV)
    assert large.usable and large.words == (
        "Renders on a GPU of ZeroGPU, where it is decided whether it fits. "
        "Its weights take 34 GB in 16 bits."
    )
    small = app_engine.usability(MINIATURE, Settings(space=True))
    assert small.words == "Renders on a GPU of ZeroGPU, where it is decided whether it fits."
