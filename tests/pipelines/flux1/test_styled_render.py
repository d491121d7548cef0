"""Styles of a request: applied around its whole render, and taken out without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.errors import ModelError
from pipelines.events import FrameDone, FrameStarted, Notice, StepDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.request import FrameRequest, Prompt, RenderRequest, StyleLora
from pipelines.sampling.context import RenderContext
from pipelines.styles.lora import style_loras
from tests.pipelines.snapshots import assert_same, snapshot
from tests.pipelines.styles.lora_files import diffusers_file, kohya_file
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline
from tests.pipelines.tiny_character import tiny_bundle

RED = "f" * 64 + ".png"
PICTURES = {RED: Image.new("RGB", (40, 40), "red")}
GIRL = "a girl in red hat"
FRAMES = (
    FrameRequest("a", Prompt("the forest", GIRL, "runs"), 1, 64, 64),
    FrameRequest("b", Prompt("the beach", GIRL, "sits"), 2, 64, 64, "a", reference=RED),
)
PLAIN = RenderRequest(
    "tiny", FRAMES, ("a", "b"), steps=5, true_cfg_scale=2.0, negative_prompt="blue coat"
)


@pytest.fixture(scope="module")
def shared_pipeline() -> FluxStoryboardPipeline:
    """Make a pipeline that has rendered: diffusers adds hooks to a transformer at its first use."""
    pipeline = tiny_pipeline()
    warm_up = replace(PLAIN, frames=(FRAMES[0],), targets=("a",), steps=1)
    list(pipeline.stream(warm_up, RenderContext(max_sequence_length=SEQUENCE)))
    return pipeline


@pytest.fixture
def pipeline(shared_pipeline: FluxStoryboardPipeline) -> Iterator[FluxStoryboardPipeline]:
    """The tiny pipeline; every test must leave it as it found it."""
    before = snapshot(shared_pipeline)
    yield shared_pipeline
    assert_same(shared_pipeline, before)


@pytest.fixture(scope="module")
def bundle(shared_pipeline: FluxStoryboardPipeline) -> SubjectBundle:
    return tiny_bundle(shared_pipeline.transformer)


def stream(pipeline: FluxStoryboardPipeline, bundle: SubjectBundle, wanted: RenderRequest):
    return pipeline.stream(
        wanted, RenderContext(max_sequence_length=SEQUENCE, character=bundle, pictures=PICTURES)
    )


def rendered(
    pipeline: FluxStoryboardPipeline, bundle: SubjectBundle, wanted: RenderRequest
) -> dict[str, bytes]:
    """Return the pictures, by frame."""
    events = stream(pipeline, bundle, wanted)
    return {e.frame_id: np.asarray(e.image).tobytes() for e in events if isinstance(e, FrameDone)}


def test_all_frames_have_the_styles_also_those_with_a_reference(pipeline, bundle, tmp_path):
    loras = (StyleLora(kohya_file(tmp_path), 0.8), StyleLora(diffusers_file(tmp_path), 0.5))
    plain = rendered(pipeline, bundle, PLAIN)
    styled = rendered(pipeline, bundle, replace(PLAIN, styles=loras))
    with style_loras(pipeline, loras):
        assert rendered(pipeline, bundle, PLAIN) == styled
    assert all(styled[name] != plain[name] for name in ("a", "b"))
    assert rendered(pipeline, bundle, PLAIN) == plain


def test_triggers_are_written_before_every_prompt_but_not_the_negative_one(
    pipeline, bundle, tmp_path, monkeypatch
):
    read: list[str] = []
    encode = FluxStoryboardPipeline.encode_prompt

    def noted(self, prompt, **options):
        read.append(prompt)
        return encode(self, prompt, **options)

    monkeypatch.setattr(FluxStoryboardPipeline, "encode_prompt", noted)
    style = StyleLora(kohya_file(tmp_path), trigger="waves")
    rendered(pipeline, bundle, replace(PLAIN, styles=(style,)))
    assert read == [
        "waves, the forest a girl in red hat runs",
        "waves, the beach a girl in red hat sits",
        "blue coat",
    ]


def test_libraries_say_nothing_of_prompts_that_are_too_long(pipeline, caplog):
    """Neither that T5 cuts them, which is a notice of ours, nor that CLIP reads 77 tokens."""
    prompt = Prompt("", "", "a girl with a hat and a coat " * 30)
    pipeline.encode(prompt, 9)
    assert not caplog.records
    pipeline.encode_prompt(prompt.text, max_sequence_length=9)
    assert caplog.records  # as they do otherwise


def test_unread_words_are_reported_of_the_prompt_with_its_triggers(pipeline, bundle, tmp_path):
    """A prompt that just fits is too long with a trigger."""

    def unread(*styles: StyleLora) -> list[str]:
        events = pipeline.stream(
            replace(PLAIN, frames=FRAMES[:1], targets=("a",), styles=styles),
            RenderContext(max_sequence_length=9),
        )
        return [
            event.message
            for event in events
            if isinstance(event, Notice) and event.kind == "prompt"
        ]

    lora = kohya_file(tmp_path)
    assert unread(StyleLora(lora)) == []
    assert unread(StyleLora(lora, trigger="waves")) == ["hat runs"]


def test_unused_parts_of_a_style_are_reported_before_rendering(pipeline, bundle, tmp_path):
    source = kohya_file(tmp_path, **{"bundle_emb.waves.t5": torch.ones(2, 16)})
    events = list(stream(pipeline, bundle, replace(PLAIN, styles=(StyleLora(source),))))
    notices = [event for event in events if isinstance(event, Notice) and event.kind == "style"]
    assert [event.about for event in notices] == [source]
    assert "words that were trained" in notices[0].message
    started = next(i for i, e in enumerate(events) if isinstance(e, FrameStarted))
    assert events.index(notices[0]) < started


# Whatever happens, the pipeline's fixture sees to it that nothing stays behind.


def test_an_error_in_a_render_takes_the_styles_away(pipeline, bundle, tmp_path, monkeypatch):
    def fail(*arguments: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(FluxStoryboardPipeline, "decode", fail)
    wanted = replace(PLAIN, styles=(StyleLora(kohya_file(tmp_path)),))
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream(pipeline, bundle, wanted))


@pytest.mark.parametrize("phase", ["probe", "render"])
def test_a_closed_stream_takes_the_styles_away(pipeline, bundle, tmp_path, phase):
    wanted = replace(PLAIN, styles=(StyleLora(kohya_file(tmp_path)),))
    before = snapshot(pipeline)
    events = stream(pipeline, bundle, wanted)
    for event in events:
        if isinstance(event, StepDone) and (event.frame_id, event.phase) == ("b", phase):
            break
    with pytest.raises(AssertionError):
        assert_same(pipeline, before)
    events.close()


def test_a_style_that_cannot_be_loaded_stops_the_render_before_it_begins(
    pipeline, bundle, tmp_path
):
    loras = (StyleLora(kohya_file(tmp_path)), StyleLora(str(tmp_path / "none.safetensors")))
    seen = []
    with pytest.raises(ModelError, match=r"no LoRA file .*none\.safetensors"):
        seen += stream(pipeline, bundle, replace(PLAIN, styles=loras))
    assert seen == []
