"""Sizes of a model's networks, counted from the shapes of their weights; no torch.

Shapes come from the headers of safetensors files. It knows nothing of GPUs:
`pipelines.models.presets` turns these counts into bytes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.models.weight_files import FileFault, find_weights, read_shapes

Shapes = Mapping[str, tuple[int, ...]]

# A repeated block is named by everything up to its number: "transformer_blocks.7".
_BLOCK = re.compile(r"(.+?\.\d+)\.")
_SINGLE_BLOCK = re.compile(r"single_transformer_blocks\.(\d+)\.")
# Matrices that are lookup tables: no linear layer multiplies with them.
_EMBEDDINGS = re.compile(r"\b(shared|embed_tokens|relative_attention_bias|\w*embedding)\.")
_LAST_RESNET = re.compile(r"decoder\.up_blocks\.(\d+)\.resnets\.0\.norm1\.weight")

# Peak memory of one denoising step besides weights, in values of tokens x width. The peak is in a
# single-stream block where the key is rotated: the block's input 1, its norm 1, the MLP's inner
# values 4, query, key and value 3, the rotated query 1, the swapped key 1, and float32 copies (two
# values each) of its two products and of one factor: 6. Everything else, such as the rotary tables
# and the text's part of the latents, is less than 1 more.
STEP_VALUES = 18
# Peak memory of decoding besides weights, in values of pixels x channels: in the last block of the
# decoder, the input that its shortcut keeps, its norm and the norm's activation.
_DECODER_VALUES = 3


@dataclass(frozen=True)
class PartSizes:
    """Size of one network, in parameters.

    Attributes:
        whole: all parameters.
        linear: those in the matrices of linear layers, which quantisation makes smaller.
        block: those of the largest repeated block.
        blocks: number of blocks of that size (in FLUX, the double-stream ones).
        rest: those outside of repeated blocks.
        layer: those of the largest layer.
        pinned: all, each tensor rounded up to a power of two, as torch allocates pinned memory.
        packed_bytes: size of the file of weights that are packed already (GGUF), else 0.
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
        """Return the bytes of one parameter where a value takes `itemsize`."""
        return self.packed_bytes / self.whole if self.packed_bytes else float(itemsize)


@dataclass(frozen=True)
class ModelParts:
    """Sizes of a model's networks and of their activations.

    Attributes:
        transformer: size of the transformer.
        t5: size of the T5 text encoder.
        clip: size of the CLIP text encoder.
        vae: size of the autoencoder.
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
        """Number of parameters of all networks."""
        return sum(part.whole for part in (self.transformer, self.t5, self.clip, self.vae))

    def step_bytes(self, width: int, height: int, text: int, itemsize: int) -> int:
        """Return the peak bytes of a denoising step besides weights.

        The picture's size is in pixels, the text in tokens, a value's size in bytes.
        """
        tokens = (width // 16) * (height // 16) + text
        return STEP_VALUES * tokens * self.width * itemsize

    def decoder_bytes(self, width: int, height: int, itemsize: int) -> int:
        """Return the peak bytes of decoding a picture besides weights; see `step_bytes`."""
        return _DECODER_VALUES * width * height * self.channels * itemsize


# FLUX.1, counted from the published configurations; `tests/pipelines/models/test_sizes.py` counts
# again. Its CLIP is CLIP-L's text model, and its decoder ends with 256 channels.
FLUX_DEV_PARTS = ModelParts(
    transformer=PartSizes(
        whole=11_901_408_320,
        linear=11_898_322_944,
        block=339_831_296,
        blocks=19,
        rest=64_124_992,
        layer=56_641_536,
        pinned=18_600_545_344,
    ),
    t5=PartSizes(
        whole=4_762_310_656,
        linear=4_630_511_616,
        block=192_948_224,
        blocks=1,
        rest=131_600_384,
        layer=131_596_288,
        pinned=6_576_871_424,
    ),
    clip=PartSizes(123_060_480),
    vae=PartSizes(83_819_683),
    width=3072,
    channels=256,
    single_blocks=38,
)
# Without the embedder of the guidance.
FLUX_SCHNELL_PARTS = replace(
    FLUX_DEV_PARTS,
    transformer=replace(
        FLUX_DEV_PARTS.transformer,
        whole=11_891_178_560,
        linear=11_888_099_328,
        rest=53_895_232,
        pinned=18_582_711_360,
    ),
)


def parts_of_folder(folder: Path) -> ModelParts | None:
    """Count a model in diffusers' format from the headers of its safetensors files.

    Returns:
        None where one of its networks has no safetensors file, or lacks one.

    Raises:
        FileFault: if a file is damaged.
    """
    shapes = {}
    for component in ("transformer", "text_encoder_2", "text_encoder", "vae"):
        try:
            weights = find_weights(folder / component)
        except FileFault as fault:
            if fault.reason == "missing":
                return None
            raise
        if not weights.safetensors:
            return None
        shapes[component] = {
            name: shape for file in weights.files for name, shape in read_shapes(file).items()
        }
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
    """Return the sizes of the same model with its transformer from a GGUF file."""
    packed = replace(parts.transformer, packed_bytes=file.stat().st_size)
    return replace(parts, transformer=packed)
