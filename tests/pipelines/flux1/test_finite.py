"""Values that are no numbers stop a render, and the message names the network and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from pipelines.errors import ModelError
from pipelines.events import FrameDone, StepDone
from pipelines.finite import NotFinite, check_finite
from pipelines.flux1 import pipeline as flux1
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.request import FrameRequest, Prompt, RenderRequest, StyleLora
from pipelines.sampling import sampler
from pipelines.sampling.context import RenderContext
from pipelines.sampling.schedule import step_plan
from tests.pipelines.styles.lora_files import diffusers_file
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline
from tests.pipelines.tiny_character import tiny_bundle

RED = "f" * 64 + ".png"
PICTURES = {RED: Image.new("RGB", (40, 40), "red")}
GIRL = "a girl in red hat"
FRAMES = (
    FrameRequest("a", Prompt("the forest", GIRL, "runs"), 1, 64, 64, reference=RED),
    FrameRequest("b", Prompt("the beach", GIRL, "sits"), 2, 64, 64, "a"),
)
REQUEST = RenderRequest(
    "tiny", FRAMES, ("a", "b"), steps=6, true_cfg_scale=2.0, negative_prompt="blue coat"
)


def render(pipeline: FluxStoryboardPipeline, bundle: SubjectBundle, request=REQUEST) -> list:
    context = RenderContext(max_sequence_length=SEQUENCE, character=bundle, pictures=PICTURES)
    return list(pipeline.stream(request, context))


@pytest.fixture
def pipeline() -> FluxStoryboardPipeline:
    return tiny_pipeline()


@pytest.fixture
def bundle(pipeline: FluxStoryboardPipeline) -> SubjectBundle:
    return tiny_bundle(pipeline.transformer)


NETWORKS: dict[str, Callable[[FluxStoryboardPipeline, SubjectBundle], nn.Module]] = {
    "The T5 text encoder": lambda p, b: p.text_encoder_2.encoder.block[0],
    "The CLIP text encoder": lambda p, b: p.text_encoder.encoder,
    "The transformer": lambda p, b: p.transformer.single_transformer_blocks[3],
    "The autoencoder": lambda p, b: p.vae.decoder.conv_out,
    "The image encoder SigLIP": lambda p, b: b.encoders.siglip,
    "The image encoder DINOv2": lambda p, b: b.encoders.dino.encoder.layer[3],
    "The character adapter's projector": lambda p, b: b.weights.projector.resampler,
    "The character adapter": lambda p, b: b.weights.adapters[0].to_v_ip,
}


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("title", NETWORKS)
def test_a_weight_that_is_no_number_stops_the_frame_and_is_named(pipeline, bundle, title, value):
    module = NETWORKS[title](pipeline, bundle)
    with torch.no_grad():
        next(module.parameters()).flatten()[0].fill_(value)
    with pytest.raises(ModelError, match=f"^{title} has weights that are no numbers") as caught:
        render(pipeline, bundle)
    assert caught.value.reason == "broken"
    assert "other files can stay" in caught.value.remedy


def test_sound_weights_render(pipeline, bundle):
    assert sum(isinstance(event, FrameDone) for event in render(pipeline, bundle)) == 2


@pytest.mark.parametrize(
    ("title", "module"),
    [
        ("The transformer", lambda p: p.transformer.norm_out.linear),
        ("The autoencoder", lambda p: p.vae.decoder.conv_in),
        ("The text encoders", lambda p: p.text_encoder.encoder.layers[0].mlp),
    ],
)
def test_float16_that_overflows_is_told_with_the_format_to_choose(pipeline, bundle, title, module):
    """All weights fit into float16, and what they compute does not."""
    for name in ("transformer", "vae", "text_encoder", "text_encoder_2"):
        getattr(pipeline, name).half()
    with torch.no_grad():
        for weight in module(pipeline).parameters():
            weight.fill_(6e4)
    request = replace(REQUEST, frames=(replace(FRAMES[0], reference=None),), targets=("a",))
    with pytest.raises(ModelError, match=f"^{title} computed.*beyond what float16 holds") as caught:
        render(pipeline, bundle, request)
    assert "THROUGHLINE_DTYPE" in caught.value.remedy


def test_a_weight_too_large_for_float16_is_no_damaged_file(pipeline, bundle):
    with torch.no_grad():
        pipeline.transformer.proj_out.weight[0, 0] = 1e6
    pipeline.transformer.half(), pipeline.vae.half()
    pipeline.text_encoder.half(), pipeline.text_encoder_2.half()
    request = replace(REQUEST, frames=(replace(FRAMES[0], reference=None),), targets=("a",))
    with pytest.raises(ModelError, match=r"too large for float16, such as proj_out\.weight"):
        render(pipeline, bundle, request)


@pytest.mark.parametrize("text_encoder", [False, True])
def test_a_lora_with_values_that_are_no_numbers_is_named(pipeline, bundle, tmp_path, text_encoder):
    file = diffusers_file(tmp_path)
    tensors = load_file(file)
    part = "text_encoder." if text_encoder else "transformer."
    name = next(name for name in tensors if name.startswith(part) and "lora_A" in name)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, file)
    request = replace(REQUEST, styles=(StyleLora(file),))
    with pytest.raises(ModelError, match=r"^The LoRA .*diffusers\.safetensors holds values"):
        render(pipeline, bundle, request)
    render(pipeline, bundle)  # it is gone again


def test_a_lora_that_is_too_strong_is_to_be_left_out(pipeline, bundle, tmp_path):
    file = diffusers_file(tmp_path)
    tensors = {
        name: tensor * 1e30 if "lora_" in name else tensor
        for name, tensor in load_file(file).items()
    }
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"grew beyond all numbers.*Leave out the LoRA .*weaker"):
        render(pipeline, bundle, replace(REQUEST, styles=(StyleLora(file),)))


def test_a_fault_in_the_transformer_is_found_long_before_the_end(pipeline, bundle):
    with torch.no_grad():
        pipeline.transformer.proj_out.weight.fill_(float("nan"))
    context = RenderContext(max_sequence_length=SEQUENCE)
    frame = replace(FRAMES[0], reference=None)
    request = replace(REQUEST, frames=(frame,), targets=("a",), steps=50)
    steps = 0
    with pytest.raises(ModelError):
        for event in pipeline.stream(request, context):
            steps += isinstance(event, StepDone)
    assert steps == step_plan(50, request.consistency).mask_step + 1 <= 20


def test_checks_wait_for_the_device_as_often_however_many_steps_there_are(
    pipeline, bundle, monkeypatch
):
    checked: list[str] = []

    def count(source: str, *tensors: torch.Tensor) -> None:
        checked.append(source)
        check_finite(source, *tensors)

    for module in (flux1, sampler):
        monkeypatch.setattr(module, "check_finite", count)
    counts = []
    for steps in (10, 20):
        checked.clear()
        render(pipeline, bundle, replace(REQUEST, steps=steps))
        counts.append(len(checked))
    assert counts[0] == counts[1] <= 1 + len(FRAMES) * 4  # two passes of a frame, its end, decoding


def test_a_check_tells_numbers_from_others():
    check_finite("The network", torch.zeros(3), torch.full((2, 2), 1e38))
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(NotFinite, match="The network"):
            check_finite("The network", torch.zeros(3), torch.tensor([0.0, value]))
