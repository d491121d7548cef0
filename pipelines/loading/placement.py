"""Apply a memory preset to a pipeline: quantise as it loads, offload, spread over GPUs.

`pipelines.models.presets` decides which; what is done here is diffusers', accelerate's and the
quantisation libraries' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from diffusers import FluxTransformer2DModel, PipelineQuantizationConfig, TorchAoConfig
from diffusers.hooks import apply_group_offloading

from pipelines.models.presets import MemoryPreset
from pipelines.models.specs import ModelSpec
from pipelines.request import RenderBudget

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

_HOST = torch.device("cpu")


@dataclass(frozen=True)
class Placement:
    """Where a model's weights will live.

    Attributes:
        device: the device that computes.
        dtype: number format of the weights that are not quantised.
        preset: how the model is placed.
        blocks: in a spread, how many double-stream blocks every GPU takes.
        others: in a spread, the GPUs besides `device`.
        room: free bytes of the device that this leaves; None where not known.
        together: frames that go through the transformer together in that room; None where not
            known.
    """

    device: torch.device
    dtype: torch.dtype
    preset: MemoryPreset
    blocks: tuple[int, ...] = ()
    others: tuple[torch.device, ...] = ()
    room: int | None = None
    together: int | None = None


def budget(placement: Placement, wanted: RenderBudget | None = None) -> RenderBudget:
    """What a render may take besides a model that is placed like this.

    Where weights wait elsewhere, the free memory that a render would find tells too much: half of
    the room that the preset leaves is for banks, half for frames that are painted together.

    Args:
        placement: how the model is placed.
        wanted: what a person has decided; None for nothing.
    """
    streamed = placement.preset.offload in ("group", "leaf")
    own = replace(wanted or RenderBudget(), streamed=streamed)
    if placement.device.type != "cuda":  # it computes in host memory
        own = replace(own, device_bytes=own.host_bytes)
    if placement.room is None or placement.preset.offload == "none":
        return own
    return replace(own, device_bytes=placement.room // 2, batch=placement.together)


def quantisation(preset: MemoryPreset, dtype: torch.dtype) -> PipelineQuantizationConfig | None:
    """What diffusers' loader is told to quantise; None for an exact preset.

    Args:
        preset: the preset; its packages are installed.
        dtype: what the model computes in.
    """
    if preset.quantisation == "none":
        return None
    if preset.quantisation == "nf4":
        from diffusers import BitsAndBytesConfig
        from transformers import BitsAndBytesConfig as T5BitsAndBytesConfig

        bits = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": dtype,
        }
        mapping = {
            "transformer": BitsAndBytesConfig(**bits),
            "text_encoder_2": T5BitsAndBytesConfig(**bits),
        }
        return PipelineQuantizationConfig(quant_mapping=mapping)
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    eight = {"fp8": Float8WeightOnlyConfig, "int8": Int8WeightOnlyConfig}[preset.quantisation]
    return PipelineQuantizationConfig(quant_mapping={"transformer": TorchAoConfig(eight())})


def packed_transformer(spec: ModelSpec, dtype: torch.dtype) -> FluxTransformer2DModel:
    """The transformer in a model's GGUF file; its configuration comes from the model.

    Args:
        spec: a model with a `transformer_file`.
        dtype: what it computes in.
    """
    from diffusers import GGUFQuantizationConfig

    transformer: FluxTransformer2DModel = FluxTransformer2DModel.from_single_file(
        spec.transformer_file,
        config=spec.source,
        subfolder="transformer",
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
        dtype=dtype,
        local_files_only=spec.kind != "hub",
    )
    return transformer


def place(pipeline: FluxStoryboardPipeline, placement: Placement) -> None:
    """Put a loaded pipeline where its preset says.

    Args:
        pipeline: a pipeline in host memory; what bitsandbytes has quantised is on the GPU already.
        placement: where to.
    """
    device, offload = placement.device, placement.preset.offload
    if offload == "spread":
        _spread(pipeline, (device, *placement.others), placement.blocks)
    elif offload in ("group", "leaf"):
        _stream(pipeline, device, by_layer=offload == "leaf")
    elif offload == "model" and device.type == "cuda":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.to(device)


def _stream(pipeline: FluxStoryboardPipeline, device: torch.device, *, by_layer: bool) -> None:
    """Let the transformer and T5 wait in host memory, in blocks or layers.

    On CUDA, what the transformer computes next is copied meanwhile. T5 runs a few times a render,
    so that its blocks need no copies in pinned memory.
    """
    kind = "leaf_level" if by_layer else "block_level"
    streams = device.type == "cuda"
    apply_group_offloading(
        pipeline.transformer,
        onload_device=device,
        offload_device=_HOST,
        offload_type=kind,
        num_blocks_per_group=1,
        use_stream=streams,
        # Layers are pinned as they go, and so need no second copy in powers of two.
        low_cpu_mem_usage=by_layer and streams,
    )
    apply_group_offloading(
        pipeline.text_encoder_2,
        onload_device=device,
        offload_device=_HOST,
        offload_type=kind,
        num_blocks_per_group=1,
        block_modules=["encoder"],
    )
    pipeline.text_encoder.to(device)
    pipeline.vae.to(device)


def _spread(
    pipeline: FluxStoryboardPipeline, devices: Sequence[torch.device], counts: Sequence[int]
) -> None:
    """Share the double-stream blocks out over GPUs; see `presets.share_blocks`.

    The other GPUs' blocks come first, so that a forward pass visits every GPU once. What a frame
    pass holds lies where the single-stream blocks are, on the first GPU.
    """
    home, last, transformer = devices[0], devices[-1], pipeline.transformer
    order = [*zip(devices[1:], counts[1:], strict=True), (home, counts[0])]
    where = [device for device, count in order for _ in range(count)]
    for name, part in transformer.named_children():
        if name != "transformer_blocks":
            part.to(home)
    for block, device in zip(transformer.transformer_blocks, where, strict=True):
        block.to(device)
        add_hook_to_module(block, AlignDevicesHook(device))
    add_hook_to_module(transformer.single_transformer_blocks[0], AlignDevicesHook(home))
    add_hook_to_module(
        pipeline.text_encoder_2.to(last), AlignDevicesHook(last, io_same_device=True)
    )
    pipeline.text_encoder.to(home)
    # diffusers takes the first hook's device for the one that computes, and looks here first.
    add_hook_to_module(pipeline.vae.to(home), AlignDevicesHook(home))
