"""Counted sizes are those of the networks, built on the meta device, where they take no memory."""

from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from pipelines.models.sizes import (
    FLUX_DEV_PARTS,
    FLUX_SCHNELL_PARTS,
    ModelParts,
    PartSizes,
    parts_of_folder,
    with_packed_transformer,
)
from tests.pipelines.tiny import tiny_pipeline

T5_XXL = T5Config(
    vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
    feed_forward_proj="gated-gelu",
)  # fmt: skip


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in network.named_parameters()}


@pytest.mark.parametrize(
    ("parts", "guidance"), [(FLUX_DEV_PARTS, True), (FLUX_SCHNELL_PARTS, False)]
)
def test_the_transformer_and_t5_have_the_sizes_of_their_configurations(
    parts: ModelParts, guidance: bool
):
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=guidance)
        t5 = T5EncoderModel(T5_XXL)
    assert parts.transformer == PartSizes.of(shapes(transformer))
    assert parts.single_blocks == len(transformer.single_transformer_blocks)
    assert parts.width == transformer.x_embedder.out_features
    assert parts.t5 == PartSizes.of(shapes(t5))


def test_clip_and_the_autoencoder_have_the_published_sizes():
    with torch.device("meta"):
        clip = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                num_attention_heads=12, projection_dim=768,
            )
        )  # fmt: skip
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=16,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
    parts = FLUX_DEV_PARTS
    assert parts.clip.whole == sum(value.numel() for value in clip.parameters())
    assert parts.vae.whole == sum(value.numel() for value in vae.parameters())
    assert parts.channels == vae.decoder.up_blocks[-1].resnets[0].norm1.num_channels


def test_blocks_and_layers_of_flux_are_counted_from_its_width():
    transformer, width = FLUX_DEV_PARTS.transformer, 3072
    # Double-stream: two modulations of 6, eight projections and two MLPs of 4 + 4, with biases.
    matrices, biases = 2 * 6 + 8 + 2 * 8, 2 * 6 + 8 + 2 * 5
    assert transformer.block == matrices * width**2 + biases * width + 4 * 128
    assert transformer.blocks == 19
    assert transformer.layer == 6 * width**2 + 6 * width


def test_the_sizes_of_a_folder_are_those_of_its_networks(tmp_path):
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path)
    parts = parts_of_folder(tmp_path)
    for part, network in (
        (parts.transformer, pipeline.transformer),
        (parts.t5, pipeline.text_encoder_2),
        (parts.clip, pipeline.text_encoder),
        (parts.vae, pipeline.vae),
    ):
        assert part == PartSizes.of(shapes(network))
        assert part.whole == sum(value.numel() for value in network.parameters())
    linears = [m for m in pipeline.transformer.modules() if isinstance(m, nn.Linear)]
    assert parts.transformer.linear == sum(m.weight.numel() for m in linears)
    block = pipeline.transformer.transformer_blocks[0]
    assert parts.transformer.block == sum(value.numel() for value in block.parameters())
    assert parts.transformer.blocks == 2
    linears = [m for m in pipeline.text_encoder_2.modules() if isinstance(m, nn.Linear)]
    assert parts.t5.linear == sum(m.weight.numel() for m in linears)
    assert (parts.width, parts.channels) == (32, 4)
    assert parts.single_blocks == pipeline.transformer.config.num_single_layers


def test_a_folder_that_lacks_a_network_has_no_known_size(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    (tmp_path / "text_encoder_2" / "model.safetensors").unlink()
    assert parts_of_folder(tmp_path) is None


def test_pinned_memory_comes_in_powers_of_two():
    counted = PartSizes.of({"a.weight": (3, 3), "b.weight": (16,), "c.bias": (1,)})
    assert (counted.whole, counted.pinned) == (26, 16 + 16 + 1)


def test_a_packed_transformer_takes_what_its_file_takes(tmp_path: Path):
    file = tmp_path / "flux.gguf"
    file.write_bytes(bytes(1000))
    parts = with_packed_transformer(FLUX_DEV_PARTS, file)
    assert parts.transformer.whole * parts.transformer.bytes_each(2) == pytest.approx(1000)
    assert parts.t5.bytes_each(2) == 2


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors that live at once, at their most.

    Args:
        network: its weights do not count.

    Attributes:
        most: that many.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.most = 0
        self._weights = {value.untyped_storage()._cdata for value in network.parameters()}
        self._holders: Counter[int] = Counter()
        self._bytes: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata in self._weights:
                    continue
                self._bytes[storage._cdata] = storage.nbytes()
                self._holders[storage._cdata] += 1
                weakref.finalize(tensor, self._let_go, storage._cdata)
        self.most = max(self.most, sum(self._bytes.values()))
        return result

    def _let_go(self, key: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._bytes[key]


def at_its_peak(network: nn.Module, *inputs: torch.Tensor, **more: object) -> int:
    with torch.no_grad(), Peak(network) as peak:
        network(*(value.clone() for value in inputs), **more)
    return peak.most


def test_a_step_holds_what_is_counted(monkeypatch):
    """On the meta device, where tensors have sizes but take no memory."""
    # What runs there would build the whole attention matrix; kernels for GPUs hold their result.
    attention = "torch.nn.functional.scaled_dot_product_attention"
    monkeypatch.setattr(attention, lambda query, key, value, **_: torch.empty_like(query))
    tokens, text = 32 * 32, 128
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(num_layers=1, num_single_layers=2)
        transformer.to(torch.bfloat16)
        held = at_its_peak(
            transformer,
            torch.empty(1, tokens, 64, dtype=torch.bfloat16),
            torch.empty(1, text, 4096, dtype=torch.bfloat16),
            torch.empty(1, 768, dtype=torch.bfloat16),
            torch.empty(1, dtype=torch.bfloat16),
            torch.empty(tokens, 3),
            torch.empty(text, 3),
        )
    counted = FLUX_DEV_PARTS.step_bytes(512, 512, text, 2)
    assert 0.9 * counted < held <= counted


def test_decoding_holds_what_is_counted():
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=16,
        )
        vae.to(torch.bfloat16)
        held = at_its_peak(vae.decoder, torch.empty(1, 16, 32, 32, dtype=torch.bfloat16))
    counted = FLUX_DEV_PARTS.decoder_bytes(256, 256, 2)
    assert held == pytest.approx(counted, rel=0.01)
