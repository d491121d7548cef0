"""Style LoRAs: they change exactly their layers, and leave nothing behind."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload_with_hook
from diffusers import FluxPipeline
from safetensors.torch import save_file
from torch import Tensor

from pipelines.errors import ModelError
from pipelines.events import FrameDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.request import FrameRequest, Prompt, RenderRequest, StyleLora
from pipelines.sampling.context import RenderContext
from pipelines.styles import lora as style_lora
from pipelines.styles.lora import style_loras
from tests.pipelines.snapshots import assert_same, named_models, snapshot
from tests.pipelines.styles.lora_files import (
    RANK,
    adapter_changes,
    diffusers_changes,
    diffusers_file,
    kohya_changes,
    kohya_file,
    matrix,
    xlabs_changes,
    xlabs_file,
)
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline


@pytest.fixture(scope="module")
def shared_pipeline() -> FluxStoryboardPipeline:
    return used_pipeline()


@pytest.fixture
def pipeline(shared_pipeline: FluxStoryboardPipeline) -> Iterator[FluxStoryboardPipeline]:
    """The tiny pipeline; every test must leave it as it found it."""
    before = snapshot(shared_pipeline)
    yield shared_pipeline
    assert_same(shared_pipeline, before)


def used_pipeline() -> FluxStoryboardPipeline:
    """A pipeline that has rendered: diffusers adds hooks to a transformer when it is first used."""
    pipeline = tiny_pipeline()
    render(pipeline)
    return pipeline


def assert_changes(pipeline: FluxPipeline, expected: dict[str, Tensor]) -> None:
    found = adapter_changes(pipeline)
    assert found.keys() == expected.keys()
    for name, change in found.items():
        torch.testing.assert_close(change, expected[name], atol=1e-6, rtol=1e-5)


@contextmanager
def edited_weights(pipeline: FluxPipeline, added: dict[str, Tensor]) -> Iterator[FluxPipeline]:
    """A copy of the pipeline with the changes written into its weights."""
    models = copy.deepcopy(named_models(pipeline))
    for name, change in added.items():
        part, _, layer = name.partition(".")
        models[part].get_submodule(layer).weight.data += change
    yield type(pipeline)(**{**pipeline.components, **models})


def render(pipeline: FluxStoryboardPipeline) -> list[bytes]:
    """Two frames of the same girl, as pixels."""
    girl = Prompt("the forest", "a girl in red hat", "runs")
    frames = (
        FrameRequest("a", girl, 1, 64, 64),
        FrameRequest("b", Prompt("the beach", girl.character, "sits"), 2, 64, 64, "a"),
    )
    request = RenderRequest("tiny", frames, ("a", "b"), steps=4)
    events = pipeline.stream(request, RenderContext(max_sequence_length=SEQUENCE))
    return [event.image.tobytes() for event in events if isinstance(event, FrameDone)]


def furthest(pictures: list[bytes], others: list[bytes]) -> int:
    """The largest difference of two pixels, in 1/255."""
    both = zip(b"".join(pictures), b"".join(others), strict=True)
    return max(abs(one - other) for one, other in both)


# What a style does.


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (kohya_file, kohya_changes()),
        (diffusers_file, diffusers_changes()),
        (xlabs_file, xlabs_changes()),
    ],
    ids=["kohya", "diffusers", "xlabs"],
)
def test_the_change_is_the_product_scaled_by_alpha_and_weight(tmp_path, pipeline, write, expected):
    with style_loras(pipeline, [StyleLora(write(tmp_path), 0.7)]) as (style,):
        assert_changes(pipeline, {name: 0.7 * change for name, change in expected.items()})
        for_clip = sum(name.startswith("text_encoder") for name in expected)
        assert style.transformer_layers == len(expected) - for_clip
        assert (style.text_encoder_layers, style.notes) == (for_clip, ())


def test_peft_settings_in_the_header_give_the_alphas(tmp_path, pipeline):
    settings = {
        "transformer.r": RANK,
        "transformer.lora_alpha": 6,
        "transformer.alpha_pattern": {"transformer_blocks.0.attn.to_k": 8},
        "transformer.use_rslora": False,
        "transformer.target_modules": ["to_q", "to_k"],
    }
    tensors = {
        f"transformer.transformer_blocks.0.attn.{name}.lora_{side}.weight": matrix(*shape, seed)
        for name in ("to_q", "to_k")
        for side, shape, seed in (("A", (RANK, 32), 1), ("B", (32, RANK), 2))
    }
    path = tmp_path / "peft.safetensors"
    product = matrix(32, RANK, 2) @ matrix(RANK, 32, 1)
    for rank_stabilised, divisor in ((False, RANK), (True, RANK**0.5)):
        settings["transformer.use_rslora"] = rank_stabilised
        save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps(settings)})
        with style_loras(pipeline, [StyleLora(str(path))]):
            block = "transformer.transformer_blocks.0.attn"
            expected = {"to_q": 6 / divisor * product, "to_k": 8 / divisor * product}
            assert_changes(pipeline, {f"{block}.{k}": v for k, v in expected.items()})


def test_frames_are_rendered_as_with_edited_weights(tmp_path, pipeline):
    plain = render(pipeline)
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path), 0.8)]):
        styled = render(pipeline)
    with edited_weights(pipeline, {n: 0.8 * c for n, c in kohya_changes().items()}) as edited:
        expected = render(edited)
    assert render(pipeline) == plain
    assert furthest(styled, expected) <= 1 < 8 <= furthest(styled, plain)


def test_files_are_read_once_for_all_frames(tmp_path, pipeline, monkeypatch):
    read: list[Path] = []
    original = style_lora.read_weights

    def counted(path: Path, *arguments: Any) -> Any:
        read.append(path)
        return original(path, *arguments)

    monkeypatch.setattr(style_lora, "read_weights", counted)
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path))]):
        assert len(render(pipeline)) == 2
    assert len(read) == 1


def test_styles_add_up(tmp_path, pipeline):
    loras = [StyleLora(kohya_file(tmp_path), 0.5), StyleLora(diffusers_file(tmp_path), -1.5)]
    expected = {name: 0.5 * change for name, change in kohya_changes().items()}
    for name, change in diffusers_changes().items():
        expected[name] = expected.get(name, 0) - 1.5 * change
    with style_loras(pipeline, loras):
        assert_changes(pipeline, expected)


def test_a_style_of_weight_zero_changes_no_bit(tmp_path, pipeline):
    plain = render(pipeline)
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path), 0.0)]):
        assert render(pipeline) == plain


def test_loading_writes_nothing_over_a_front_end(tmp_path, pipeline, capfd):
    lora = StyleLora(kohya_file(tmp_path))
    with style_loras(pipeline, [lora, lora]), style_loras(pipeline, [lora]):
        pass
    assert capfd.readouterr() == ("", "")


def test_no_styles_touch_nothing(pipeline):
    with style_loras(pipeline, []) as styles:
        assert styles == ()
        assert adapter_changes(pipeline) == {}


def test_the_text_encoders_may_be_missing(tmp_path, pipeline):
    parts = {**pipeline.components, "text_encoder": None, "text_encoder_2": None}
    bare = FluxStoryboardPipeline(**parts)
    with style_loras(bare, [StyleLora(kohya_file(tmp_path))]) as (style,):
        assert (style.transformer_layers, style.text_encoder_layers) == (4, 0)
        assert "such as lora_te1_text_model_encoder_layers_0_mlp_fc1" in style.notes[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"lora_unet_double_blocks_7_img_attn_proj": ("lora", 32)}, "lacks its layers, such as"),
        ({"lora_te1_text_projection": ("lora", 16)}, "lacks its layers, such as"),
        ({"bundle_emb.<x>.clip_l": 4}, "words that were trained with .* are not used"),
        (
            {"diffusion_model.double_blocks.0.img_attn.norm.query_norm.scale": 16},
            "no matrix of a LoRA",
        ),
        ({"lora_unet_double_blocks_0_img_attn_norm_query_norm.w_norm": 16}, "no matrix of a LoRA"),
        ({"lora_unet_img_in.diff": 16}, "no matrix of a LoRA, LoHa or LoKr: lora_unet_img_in.diff"),
    ],
)
def test_what_is_not_used_is_reported(tmp_path, pipeline, more, words):
    tensors: dict[str, Tensor] = {}
    for name, size in more.items():
        if isinstance(size, int):
            tensors[name] = torch.ones(size)
        else:
            tensors[f"{name}.lora_down.weight"] = matrix(RANK, size[1], 1)
            tensors[f"{name}.lora_up.weight"] = matrix(size[1], RANK, 2)
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path, **tensors))]) as (style,):
        assert_changes(pipeline, kohya_changes())
    assert len(style.notes) == 1 and re.search(words, style.notes[0])
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path, **zeros))]) as (style,):
        assert style.notes == ()


# A style leaves nothing behind: the fixture of the pipeline compares every module and weight.


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_weights_come_back_to_the_bit(tmp_path, dtype):
    pipeline = used_pipeline().to(dtype)
    before = snapshot(pipeline)
    loras = [StyleLora(kohya_file(tmp_path), 2.0), StyleLora(diffusers_file(tmp_path))]
    with style_loras(pipeline, loras):
        render(pipeline)
        assert {change.dtype for change in adapter_changes(pipeline).values()} == {dtype}
    assert_same(pipeline, before)


def test_an_error_within_is_passed_on_and_nothing_stays(tmp_path, pipeline):
    with (
        pytest.raises(RuntimeError, match="a frame failed"),
        style_loras(pipeline, [StyleLora(kohya_file(tmp_path))]),
    ):
        raise RuntimeError("a frame failed")


def test_a_closed_generator_takes_the_style_away(tmp_path, pipeline):
    def render() -> Iterator[int]:
        with style_loras(pipeline, [StyleLora(kohya_file(tmp_path))]):
            yield len(adapter_changes(pipeline))

    rendering = render()
    assert next(rendering) == len(kohya_changes())
    rendering.close()
    assert adapter_changes(pipeline) == {}


def test_styles_can_be_nested(tmp_path, pipeline):
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path), 0.5)]):
        with style_loras(pipeline, [StyleLora(kohya_file(tmp_path), 0.25)]):
            assert_changes(pipeline, {n: 0.75 * c for n, c in kohya_changes().items()})
        assert_changes(pipeline, {n: 0.5 * c for n, c in kohya_changes().items()})


@pytest.mark.parametrize("on", [True, False])
def test_adapters_that_were_there_stay_as_they_were(tmp_path, on):
    pipeline = used_pipeline()
    pipeline.load_lora_weights(kohya_file(tmp_path), adapter_name="own")
    pipeline.set_adapters(["own"], [0.3])
    if not on:
        pipeline.disable_lora()
    own = adapter_changes(pipeline)
    before, plain = snapshot(pipeline), render(pipeline)
    with style_loras(pipeline, [StyleLora(diffusers_file(tmp_path))]):
        expected = diffusers_changes()
        for name, change in own.items():
            expected[name] = expected.get(name, 0) + (change if on else 0 * change)
        assert_changes(pipeline, expected)
        assert render(pipeline) != plain
    assert_same(pipeline, before)
    assert render(pipeline) == plain
    assert pipeline.get_list_adapters() == {"transformer": ["own"], "text_encoder": ["own"]}


def test_offloading_hooks_stay(tmp_path, pipeline):
    before = vars(pipeline.transformer).copy()
    _, hook = cpu_offload_with_hook(pipeline.transformer, torch.device("cpu"))
    hooked = snapshot(pipeline)
    with style_loras(pipeline, [StyleLora(kohya_file(tmp_path))]):
        render(pipeline)
    assert_same(pipeline, hooked)
    hook.remove()
    vars(pipeline.transformer).clear()
    vars(pipeline.transformer).update(before)


# What is refused. Nothing may remain loaded: the fixture sees to it.


def refused(pipeline: FluxPipeline, source: Path | str, words: str) -> ModelError:
    """The error for this file, given after one that loads."""
    good = kohya_file(Path(source).parent)
    with (
        pytest.raises(ModelError, match=words) as caught,
        style_loras(pipeline, [StyleLora(good), StyleLora(str(source))]),
    ):
        raise AssertionError("it was loaded")
    return caught.value


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"model.weight": torch.zeros(4, 4)}, "is no LoRA: none of its 1 tensors"),
        (
            {"transformer.proj_out.lokr_w1": torch.zeros(2, 2)},
            "damaged in its layer transformer.proj_out: it has lokr_w1, but not all",
        ),
        ({"lora_unet_img_in.hada_w1_a": torch.zeros(2, 2)}, "it has hada_w1_a, but not all"),
        ({"lora_unet_x.dora_scale": torch.zeros(2, 2)}, "is a DoRA"),
        ({"transformer.proj_out.lora_A.weight": torch.zeros(2, 32)}, "it has down, but not all"),
        (
            {
                "transformer.proj_out.lora_A.weight": torch.zeros(2, 64),
                "transformer.proj_out.lora_B.weight": torch.zeros(16, 2),
            },
            "for another model: its layer transformer.proj_out maps 64 values to 16, this model's "
            "maps 32 to 16",
        ),
        (
            {
                "transformer.proj_out.lora_A.weight": torch.zeros(2, 32),
                "transformer.proj_out.lora_B.weight": torch.zeros(16, 3),
            },
            r"do not fit each other: \(2, 32\) and \(16, 3\)",
        ),
        (
            {
                "unet.mid.to_q.lora_A.weight": torch.zeros(2, 32),
                "unet.mid.to_q.lora_B.weight": torch.zeros(32, 2),
            },
            "changes nothing in this model: none of its 1 layers, such as unet.mid.to_q,",
        ),
        (
            {
                "lora_unet_input_blocks_1_proj.lora_down.weight": torch.zeros(2, 32),
                "lora_unet_input_blocks_1_proj.lora_up.weight": torch.zeros(32, 2),
            },
            "none of its 1 layers, such as lora_unet_input_blocks_1_proj, is in the transformer",
        ),
    ],
)
def test_what_cannot_be_used_is_reported(tmp_path, pipeline, tensors, words):
    save_file(tensors, tmp_path / "bad.safetensors")
    error = refused(pipeline, tmp_path / "bad.safetensors", words)
    assert error.reason == "broken"
    assert len(str(error)) < 600


def test_a_damaged_file_is_reported(tmp_path, pipeline):
    path = Path(diffusers_file(tmp_path))
    path.write_bytes(path.read_bytes()[:-7])
    assert refused(pipeline, path, "not completely downloaded").reason == "broken"


def test_a_missing_file_is_reported(tmp_path, pipeline):
    assert refused(pipeline, tmp_path / "ink.safetensors", "no LoRA file").reason == "missing"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "memory"),
        (MemoryError(), "memory"),
        (KeyError("adapter"), "broken"),
    ],
)
def test_a_load_that_fails_halfway_leaves_nothing(tmp_path, pipeline, monkeypatch, error, reason):
    def fail(*args: object, **options: object) -> None:
        raise error

    attach = style_lora.inject_adapter_in_model

    def fail_at_clip(config: object, model: object, *arguments: Any, **options: Any) -> Any:
        return (fail if model is pipeline.text_encoder else attach)(
            config, model, *arguments, **options
        )

    monkeypatch.setattr(style_lora, "inject_adapter_in_model", fail_at_clip)
    with (
        pytest.raises(ModelError) as caught,
        style_loras(pipeline, [StyleLora(kohya_file(tmp_path))]),
    ):
        raise AssertionError("it was loaded")
    assert caught.value.reason == reason
    monkeypatch.undo()


def test_hidden_layers_are_refused(tmp_path):
    pipeline = tiny_pipeline()
    pipeline.transformer.fuse_qkv_projections()
    lora = StyleLora(diffusers_file(tmp_path))
    with pytest.raises(ValueError, match="unfuse_qkv_projections"), style_loras(pipeline, [lora]):
        pass
    pipeline = tiny_pipeline()
    pipeline.load_lora_weights(kohya_file(tmp_path))
    pipeline.fuse_lora()
    with pytest.raises(ValueError, match="unfuse_lora"), style_loras(pipeline, [lora]):
        pass
