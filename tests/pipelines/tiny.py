"""A random FLUX of a few thousand parameters, with the miniature's text side around it."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from pipelines.flux1.pipeline import FluxStoryboardPipeline

WORDS = "a girl in red hat the forest beach city runs waves sits on with blue coat , .".split()
SEQUENCE = 24


def tiny_transformer(
    *, guidance: bool = True, blocks: tuple[int, int] = (2, 4)
) -> FluxTransformer2DModel:
    """Make a FLUX of a few blocks of two heads, whose attention finds backgrounds and figures."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=blocks[0],
        num_single_layers=blocks[1],
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 6, 6),
    )
    torch.manual_seed(2)
    for name, parameter in transformer.named_parameters():
        if name.endswith(("to_q.weight", "to_k.weight")):
            torch.nn.init.normal_(parameter, std=0.4)
        elif name == "context_embedder.weight":
            torch.nn.init.normal_(parameter, std=0.5)
    return transformer.eval()


def tiny_pipeline(
    *, guidance: bool = True, blocks: tuple[int, int] = (2, 4)
) -> FluxStoryboardPipeline:
    """Every component random, every class the real one; pictures of 16 pixels a token."""
    transformer = tiny_transformer(guidance=guidance, blocks=blocks)
    torch.manual_seed(1)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=0.4,
    ).eval()
    clip_words = ["<|startoftext|>", "<|endoftext|>", *sorted({c for w in WORDS for c in w})]
    clip_words += [f"{word}</w>" for word in sorted({c for w in WORDS for c in w})]
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip_words),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=16,
            bos_token_id=0,
            eos_token_id=1,
        )
    ).eval()
    t5_words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -6.0)]
    t5_words += [(f"▁{word}", -2.0) for word in WORDS] + [(",", -3.0)]
    t5 = T5EncoderModel(
        T5Config(vocab_size=len(t5_words), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).eval()
    return FluxStoryboardPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae,
        text_encoder=clip,
        tokenizer=CLIPTokenizer(
            vocab={word: i for i, word in enumerate(clip_words)}, merges=[], model_max_length=77
        ),
        text_encoder_2=t5,
        tokenizer_2=T5Tokenizer(vocab=t5_words, extra_ids=0, model_max_length=64),
        transformer=transformer,
    )
