"""How large a model's networks are, counted from the shapes of their weights; no torch.

Shapes come from the headers of safetensors files, or from FLUX.1's published configuration. It
knows nothing of GPUs: `pipelines.models.presets` makes bytes of what is counted here.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

Shapes = Mapping[str, tuple[int, ...]]

# A repeated block is named by everything up to its number: "transformer_blocks.7".
_BLOCK = re.compile(r"(.+?\.\d+)\.")
_SINGLE_BLOCK = re.compile(r"single_transformer_blocks\.(\d+)\.")
# Matrices that are looked up in, not multiplied with.
_EMBEDDINGS = re.compile(r"\b(shared|embed_tokens|relative_attention_bias|\w*embedding)\.")
_LAST_RESNET = re.compile(r"decoder\.up_blocks\.(\d+)\.resnets\.0\.norm1\.weight")

# What one denoising step holds at its peak, in values of tokens x width. The peak is in a
# single-stream block where the key is rotated: the block's input 1, its norm 1, the MLP's inner
# values 4, query, key and value 3, the rotated query 1, the swapped key 1, and float32 copies (two
# values each) of its two products and of one factor: 6. What else there is, such as the rotary
# tables and the text's part of the latents, is less than 1 more.
STEP_VALUES = 18
# What decoding holds, in values of pixels x channels: in the last block of the decoder, the input
# that its shortcut keeps, its norm and the norm's activation.
_DECODER_VALUES = 3


@dataclass(frozen=True)
class PartSizes:
    """One network's size, in parameters.

    Attributes:
        whole: all of them.
        linear: those in the matrices of linear layers, which quantisation makes smaller.
        block: those of the largest of its repeated blocks.
        blocks: how many blocks are that large (in FLUX, the double-stream ones).
        rest: those outside of repeated blocks.
        layer: those of the largest layer.
        pinned: all, each tensor rounded up to a power of two, as torch hands out pinned memory.
        packed_bytes: size of the file for weights that are packed already (GGUF), else 0.
    """

    whole: int
    linear: int = 0
    block: int = 0
    blocks: int = 0
    rest: int = 0
    layer: int = 0
    pinned: int = 0
    packed_bytes: int = 0

    @classmethod
    def of(cls, shapes: Shapes) -> PartSizes:
        """Count the weights of these shapes, by their names in the network's state."""
        blocks: Counter[str] = Counter()
        layers: Counter[str] = Counter()
        whole = linear = rest = pinned = 0
        for name, shape in shapes.items():
            count = math.prod(shape)
            whole += count
            pinned += 1 << max(0, count - 1).bit_length()
            layers[name.rpartition(".")[0]] += count
            match = _BLOCK.match(name)
            if match:
                blocks[match[1]] += count
            else:
                rest += count
            if len(shape) == 2 and not _EMBEDDINGS.search(name):
                linear += count
        block, layer = max(blocks.values(), default=0), max(layers.values(), default=0)
        largest = sum(size == block for size in blocks.values())
        return cls(whole, linear, block, largest, rest, layer, pinned)

    def bytes_each(self, itemsize: int) -> float:
        """Bytes that one parameter takes where a value takes `itemsize`."""
        return self.packed_bytes / self.whole if self.packed_bytes else float(itemsize)


@dataclass(frozen=True)
class ModelParts:
    """The sizes of a model's networks, and of what they work on.

    Attributes:
        transformer: of the transformer.
        t5: of the T5 text encoder.
        clip: of the CLIP text encoder.
        vae: of the autoencoder.
        width: channels of a token in the transformer.
        channels: channels of a pixel in the last block of the decoder.
        single_blocks: single-stream blocks of the transformer.
    """

    transformer: PartSizes
    t5: PartSizes
    clip: PartSizes
    vae: PartSizes
    width: int
    channels: int
    single_blocks: int

    @property
    def parameters(self) -> int:
        """Parameters of all networks."""
        return sum(part.whole for part in (self.transformer, self.t5, self.clip, self.vae))

    def step_bytes(self, width: int, height: int, text: int, itemsize: int) -> int:
        """What a denoising step holds besides weights, at its peak.

        Args:
            width: of the picture, in pixels.
            height: likewise.
            text: tokens of the prompt.
            itemsize: bytes of a value.
        """
        tokens = (width // 16) * (height // 16) + text
        return STEP_VALUES * tokens * self.width * itemsize

    def decoder_bytes(self, width: int, height: int, itemsize: int) -> int:
        """What decoding a picture holds besides weights, at its peak; as `step_bytes`."""
        return _DECODER_VALUES * width * height * self.channels * itemsize


def flux_transformer(*, guidance: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of FLUX.1's transformer, by their names in diffusers.

    Args:
        guidance: whether it has a guidance embedding, as [dev] has and [schnell] has not.
    """
    width, head, text, pooled, channels = 3072, 128, 4096, 768, 64
    linears = {
        "x_embedder": (width, channels),
        "context_embedder": (width, text),
        "norm_out.linear": (2 * width, width),
        "proj_out": (channels, width),
    }
    sources = {"timestep": 256, "text": pooled} | ({"guidance": 256} if guidance else {})
    for source, size in sources.items():
        embedder = f"time_text_embed.{source}_embedder.linear"
        linears |= {f"{embedder}_1": (width, size), f"{embedder}_2": (width, width)}
    norms: dict[str, tuple[int, ...]] = {}
    for block in (f"transformer_blocks.{i}" for i in range(19)):
        for side, ff in (("norm1", "ff"), ("norm1_context", "ff_context")):
            linears[f"{block}.{side}.linear"] = (6 * width, width)
            linears[f"{block}.{ff}.net.0.proj"] = (4 * width, width)
            linears[f"{block}.{ff}.net.2"] = (width, 4 * width)
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            linears[f"{block}.attn.{name}"] = (width, width)
        for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            linears[f"{block}.attn.{name}"] = (width, width)
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            norms[f"{block}.attn.{name}.weight"] = (head,)
    for block in (f"single_transformer_blocks.{i}" for i in range(38)):
        linears[f"{block}.norm.linear"] = (3 * width, width)
        linears[f"{block}.proj_mlp"] = (4 * width, width)
        linears[f"{block}.proj_out"] = (width, 5 * width)
        for name in ("to_q", "to_k", "to_v"):
            linears[f"{block}.attn.{name}"] = (width, width)
        for name in ("norm_q", "norm_k"):
            norms[f"{block}.attn.{name}.weight"] = (head,)
    weights = {f"{name}.weight": shape for name, shape in linears.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in linears.items()} | norms


def t5_xxl() -> dict[str, tuple[int, ...]]:
    """The shapes of the encoder of T5 v1.1 XXL, by their names in transformers."""
    width, inner, heads = 4096, 10240, 64
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (32128, width)}
    for number in range(24):
        attention = f"encoder.block.{number}.layer.0"
        for name in "qkvo":
            shapes[f"{attention}.SelfAttention.{name}.weight"] = (width, width)
        if number == 0:
            shapes[f"{attention}.SelfAttention.relative_attention_bias.weight"] = (32, heads)
        shapes[f"{attention}.layer_norm.weight"] = (width,)
        dense = f"encoder.block.{number}.layer.1"
        shapes[f"{dense}.DenseReluDense.wi_0.weight"] = (inner, width)
        shapes[f"{dense}.DenseReluDense.wi_1.weight"] = (inner, width)
        shapes[f"{dense}.DenseReluDense.wo.weight"] = (width, inner)
        shapes[f"{dense}.layer_norm.weight"] = (width,)
    shapes["encoder.final_layer_norm.weight"] = (width,)
    return shapes


def flux_parts(*, guidance: bool) -> ModelParts:
    """The sizes of FLUX.1: its CLIP is CLIP-L's text model, its decoder ends with 256 channels."""
    return ModelParts(
        transformer=PartSizes.of(flux_transformer(guidance=guidance)),
        t5=PartSizes.of(t5_xxl()),
        clip=PartSizes(123_060_480),
        vae=PartSizes(83_819_683),
        width=3072,
        channels=256,
        single_blocks=38,
    )


def parts_of_folder(folder: Path) -> ModelParts | None:
    """The sizes of a model in diffusers' format, from the headers of its safetensors files.

    Args:
        folder: the model's folder.

    Returns:
        None where one of its networks has no safetensors file.

    Raises:
        ValueError: if a file is damaged.
    """
    shapes = {}
    for component in ("transformer", "text_encoder_2", "text_encoder", "vae"):
        found: dict[str, tuple[int, ...]] = {}
        # A dot in the stem marks a variant (model.fp16.safetensors), which is not what is loaded.
        for path in sorted((folder / component).glob("*.safetensors")):
            if "." not in path.stem:
                found |= read_shapes(path)
        if not found:
            return None
        shapes[component] = found
    transformer, t5, clip, vae = (PartSizes.of(found) for found in shapes.values())
    width = shapes["transformer"].get("x_embedder.weight", (0,))[0]
    ends = {
        int(match[1]): shape[0]
        for name, shape in shapes["vae"].items()
        if (match := _LAST_RESNET.fullmatch(name))
    }
    channels = ends[max(ends)] if ends else 0
    singles = {match[1] for name in shapes["transformer"] if (match := _SINGLE_BLOCK.match(name))}
    return ModelParts(transformer, t5, clip, vae, width, channels, len(singles))


def with_packed_transformer(parts: ModelParts, file: Path) -> ModelParts:
    """The same model with its transformer from a GGUF file."""
    packed = replace(parts.transformer, packed_bytes=file.stat().st_size)
    return replace(parts, transformer=packed)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a safetensors file's tensors, from its header.

    Raises:
        ValueError: if the file is damaged.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= path.stat().st_size - 8:
            raise ValueError(f"{path} is damaged or not completely downloaded.")
        header = file.read(length)
    try:
        tensors = json.loads(header)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    return {name: tuple(t["shape"]) for name, t in tensors.items() if name != "__metadata__"}
