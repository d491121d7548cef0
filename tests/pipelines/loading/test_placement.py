"""Every placement renders the same picture, or nearly the same where weights are quantised.

Offloading and spreading run here from the CPU to the CPU, with the libraries' real hooks.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipelines.events import FrameDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading.character import load_character_adapter
from pipelines.loading.model import load_pipeline, open_pipeline, plan_placement
from pipelines.loading.placement import Placement, budget
from pipelines.models.catalog import find_model
from pipelines.models.presets import find_preset
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, Prompt, RenderBudget, RenderRequest, StyleLora
from pipelines.sampling.context import RenderContext
from tests.pipelines.styles.lora_files import diffusers_file
from tests.pipelines.tiny_character import save_tiny_model

CPU = torch.device("cpu")
RED = "f" * 64 + ".png"
PICTURES = {RED: Image.new("RGB", (40, 40), "red")}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder)
    return find_model(str(folder))


def request_for(
    spec: ModelSpec, *, picture: bool = False, style: str = "", seed: int = 1
) -> RenderRequest:
    """Two frames of one character, of which the second takes it from the first."""
    reference = RED if picture else None
    frames = tuple(
        FrameRequest(
            name, Prompt("the beach", "a girl", action), seed, 64, 48,
            identity_from=source, reference=reference,
        )
        for name, action, source in (("a", "runs", None), ("b", "sits", "a"))
    )  # fmt: skip
    styles = (StyleLora(style),) if style else ()
    return RenderRequest(spec.name, frames, ("a", "b"), steps=4, styles=styles)


def render(
    pipeline: FluxStoryboardPipeline, request: RenderRequest, **options: object
) -> list[NDArray[np.uint8]]:
    events = pipeline.stream(request, RenderContext(max_sequence_length=16, **options))
    return [np.asarray(event.image) for event in events if isinstance(event, FrameDone)]


@pytest.fixture(scope="module")
def whole(spec: ModelSpec) -> FluxStoryboardPipeline:
    return load_pipeline(spec, device="cpu", dtype="float32")


PIECES = [
    pytest.param("group-offload", (), id="blocks"),
    pytest.param("leaf-offload", (), id="layers"),
    pytest.param("spread", (1, 1), id="two GPUs"),
    pytest.param("spread", (0, 2, 0), id="three GPUs"),
]


def in_pieces(spec: ModelSpec, name: str, blocks: tuple[int, ...]) -> Placement:
    others = (CPU,) * (len(blocks) - 1)
    return Placement(CPU, torch.float32, find_preset(name), blocks=blocks, others=others)


@pytest.mark.parametrize(("name", "blocks"), PIECES)
def test_a_model_in_pieces_renders_the_same(spec, whole, name, blocks):
    pieces = open_pipeline(spec, in_pieces(spec, name, blocks))
    assert pieces._execution_device == CPU
    for _ in range(2):
        ours, theirs = (render(p, request_for(spec)) for p in (pieces, whole))
        assert len(ours) == 2
        assert all(map(np.array_equal, ours, theirs))


@pytest.mark.parametrize(("name", "blocks"), PIECES)
def test_a_model_in_pieces_is_conditioned_on_a_reference_the_same(spec, whole, name, blocks):
    placement = in_pieces(spec, name, blocks)
    pieces = open_pipeline(spec, placement)
    request = request_for(spec, picture=True)
    rendered = [
        render(p, request, character=load_character_adapter(spec, p, at), pictures=PICTURES)
        for p, at in ((pieces, placement), (whole, None))
    ]
    assert all(map(np.array_equal, *rendered))
    assert not all(map(np.array_equal, rendered[0], render(whole, request_for(spec))))


@pytest.mark.parametrize(("name", "blocks"), PIECES)
def test_a_model_in_pieces_takes_styles_and_loses_them_again(spec, whole, tmp_path, name, blocks):
    style = diffusers_file(tmp_path)
    pieces = open_pipeline(spec, in_pieces(spec, name, blocks))
    plain = render(whole, request_for(spec))
    for _ in range(2):
        styled = [render(p, request_for(spec, style=style)) for p in (pieces, whole)]
        assert all(map(np.array_equal, *styled))
        assert not np.array_equal(styled[0][0], plain[0])
        assert all(map(np.array_equal, render(pieces, request_for(spec)), plain))


@pytest.mark.parametrize(
    ("name", "streamed"),
    [("model-offload", False), ("group-offload", True), ("leaf-offload", True)],
)
def test_a_render_may_take_the_room_that_is_left(name, streamed):
    placement = Placement(CPU, torch.bfloat16, find_preset(name), room=10**10, together=9)
    assert budget(placement) == RenderBudget(device_bytes=5 * 10**9, batch=9, streamed=streamed)


def test_a_render_reads_the_free_memory_itself_beside_a_model_that_is_not_offloaded():
    full = Placement(CPU, torch.bfloat16, find_preset("full"), room=10**10, together=9)
    unknown = Placement(CPU, torch.bfloat16, find_preset("group-offload"))
    assert budget(full) == RenderBudget()
    assert budget(replace(full, device=torch.device("cuda"))) == RenderBudget()
    assert budget(unknown) == RenderBudget(streamed=True)


# Quantised weights.


def distance(ours: list[NDArray[np.uint8]], theirs: list[NDArray[np.uint8]]) -> float:
    """Mean difference of two pictures, in levels of 255."""
    return float(
        np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(ours, theirs, strict=True)])
    )


@pytest.mark.parametrize("name", ["fp8", "int8"])
def test_eight_bits_render_nearly_the_same(spec, name):
    pytest.importorskip("torchao")
    exact = load_pipeline(spec, device="cpu", dtype="bfloat16")
    pipeline = load_pipeline(spec, device="cpu", memory=name)
    weight = pipeline.transformer.single_transformer_blocks[0].attn.to_q.weight
    assert weight.qdata.dtype in (torch.int8, torch.float8_e4m3fn)
    assert pipeline.text_encoder_2.dtype is torch.bfloat16

    ours, theirs = (render(p, request_for(spec)) for p in (pipeline, exact))
    other = render(exact, request_for(spec, seed=2))
    assert 0 < distance(ours, theirs) < distance(other, theirs) / 4


@pytest.mark.parametrize("name", ["fp8", "int8"])
def test_eight_bits_take_references_and_styles(spec, tmp_path, name):
    pytest.importorskip("torchao")
    pipeline = load_pipeline(spec, device="cpu", memory=name)
    plain = render(pipeline, request_for(spec))
    styled = render(pipeline, request_for(spec, style=diffusers_file(tmp_path)))
    subject = load_character_adapter(spec, pipeline)
    conditioned = render(
        pipeline, request_for(spec, picture=True), character=subject, pictures=PICTURES
    )
    assert not np.array_equal(styled[0], plain[0])
    assert not np.array_equal(conditioned[0], plain[0])
    assert all(map(np.array_equal, render(pipeline, request_for(spec)), plain))


@pytest.mark.gpu
@pytest.mark.parametrize(
    "name", ["full", "model-offload", "group-offload", "leaf-offload", "fp8", "int8", "nf4"]
)
def test_on_a_gpu_every_preset_renders(spec, name):
    if name == "nf4":
        pytest.importorskip("bitsandbytes")
    exact = load_pipeline(spec, device="cuda", dtype="bfloat16", memory="full")
    pipeline = load_pipeline(spec, device="cuda", memory=name)
    assert pipeline._execution_device.type == "cuda"
    for picture in (False, True):
        request, options = request_for(spec, picture=picture), {}
        if picture:
            placement = plan_placement(spec, torch.device("cuda"), None, name)
            options = {
                "character": load_character_adapter(spec, pipeline, placement),
                "pictures": PICTURES,
            }
        rendered = [render(pipeline, request, **options) for _ in range(2)]
        assert all(map(np.array_equal, *rendered))
        if not picture:
            assert distance(rendered[0], render(exact, request)) < (32 if name == "nf4" else 8)


# GGUF.


def write_gguf(spec: ModelSpec, file: Path, kind: str) -> None:
    """The transformer of a model as a GGUF file, its matrices of this kind where they can be."""
    gguf = pytest.importorskip("gguf")
    quantisation = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(file, "flux")
    transformer = load_pipeline(spec, device="cpu", dtype="float32").transformer
    for name, tensor in transformer.state_dict().items():
        values = tensor.numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0:
            packed = gguf.quants.quantize(values, quantisation)
            writer.add_tensor(name, packed, raw_dtype=quantisation)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ["full", "group-offload", "leaf-offload", "spread"])
def test_a_gguf_transformer_renders_nearly_the_same(spec, whole, tmp_path, name):
    write_gguf(spec, tmp_path / "tiny-Q8_0.gguf", "Q8_0")
    packed = find_model(f"{spec.source}:{tmp_path / 'tiny-Q8_0.gguf'}")
    assert packed.packed and packed.parts.transformer.packed_bytes > 0
    blocks = (1, 1) if name == "spread" else ()
    pipeline = open_pipeline(packed, in_pieces(packed, name, blocks))
    attention = pipeline.transformer.transformer_blocks[0].attn
    assert attention.to_q.weight.dtype is torch.uint8

    ours, theirs = (render(p, request_for(spec)) for p in (pipeline, whole))
    assert 0 < distance(ours, theirs) < 8


def test_a_persons_settings_of_banks_apply_where_the_banks_are(tmp_path):
    wanted = RenderBudget(order="bank", bank_dtype="fp8", host_bytes=7, folder=tmp_path)
    here = Placement(CPU, torch.bfloat16, find_preset("full"))
    assert budget(here, wanted) == replace(wanted, device_bytes=7)
    beside = replace(here, device=torch.device("cuda"))
    assert budget(beside, wanted) == wanted
    streamed = replace(beside, preset=find_preset("group-offload"), room=10, together=2)
    assert budget(streamed, wanted) == replace(wanted, device_bytes=5, batch=2, streamed=True)
