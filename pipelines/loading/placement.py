"""Apply a memory preset to a pipeline: quantise it while it loads, offload it, spread it over GPUs.

`pipelines.models.presets` chooses the preset; diffusers, accelerate and the quantisation libraries
do the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from diffusers import TorchAoConfig
from diffusers.hooks import apply_group_offloading

from pipelines.models.presets import MemoryPreset
from pipelines.request import RenderBudget

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

_HOST = torch.device("cpu")


@dataclass(frozen=True)
class Placement:
    """Plan for a model's weights.

    Attributes:
        device: the device that computes.
        dtype: number format of the weights that are not quantised.
        preset: the memory preset.
        blocks: in a spread, the number of double-stream blocks on every GPU.
        others: in a spread, the GPUs besides `device`.
        room: free bytes that it leaves on the device; None where they are not known.
        together: frames that fit into half of that room in one batch; None where it is not known.
    """

    device: torch.device
    dtype: torch.dtype
    preset: MemoryPreset
    blocks: tuple[int, ...] = ()
    others: tuple[torch.device, ...] = ()
    room: int | None = None
    together: int | None = None


def budget(placement: Placement, wanted: RenderBudget | None = None) -> RenderBudget:
    """Return the memory budget of a render beside a model with this placement.

    Where weights wait elsewhere, the memory that is free before a render is more than it may take:
    half of the room that the preset leaves is for banks, half for the frames of a batch. The rest
    is as a person's settings have it, if there are any.
    """
    streamed = placement.preset.offload in ("group", "leaf")
    own = replace(wanted or RenderBudget(), streamed=streamed)
    if placement.device.type != "cuda":  # it computes in host memory
        own = replace(own, device_bytes=own.host_bytes)
    if placement.room is None or placement.preset.offload == "none":
        return own
    return replace(own, device_bytes=placement.room // 2, batch=placement.together)


def quantisation(preset: MemoryPreset, dtype: torch.dtype) -> dict[str, object]:
    """Return the quantisation settings of a model's networks by name; none for an exact preset."""
    if preset.quantisation == "none":
        return {}
    if preset.quantisation == "nf4":
        from diffusers import BitsAndBytesConfig
        from transformers import BitsAndBytesConfig as T5BitsAndBytesConfig

        bits = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
        return {
            "transformer": BitsAndBytesConfig(**bits),
            "text_encoder_2": T5BitsAndBytesConfig(**bits),
        }
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    eight = {"fp8": Float8WeightOnlyConfig, "int8": Int8WeightOnlyConfig}[preset.quantisation]
    return {"transformer": TorchAoConfig(eight())}


def place(pipeline: FluxStoryboardPipeline, placement: Placement) -> None:
    """Place a pipeline in host memory, but for networks that bitsandbytes put on the GPU."""
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
    """Keep the transformer and T5 in host memory, and move their blocks or layers when they run.

    On CUDA, the transformer's next block is copied while one computes. T5 runs only a few times a
    render, so that its blocks need no copies in pinned memory.
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
    """Distribute the double-stream blocks over GPUs; see `presets.share_blocks`.

    The other GPUs' blocks come first, so that a forward pass visits every GPU once. The tensors of
    a frame pass are with the single-stream blocks, on the first GPU.
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
    # diffusers takes the device of the first hook for the one that computes, and the VAE is first.
    add_hook_to_module(pipeline.vae.to(home), AlignDevicesHook(home))
