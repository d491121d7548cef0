"""The miniature as a `FluxPipeline`: assembled from its parts and saved for `from_pretrained`."""

import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)

from miniature.model.latent_map import FILE_NAME
from miniature.model.text_encoders import TextEncoders, load_text_encoders
from miniature.model.tokens import Tokenizers, load_tokenizers
from miniature.world import words
from training.files import load_json, save_json, write_folder


def assemble(
    tokenizers: Tokenizers,
    encoders: TextEncoders,
    transformer: FluxTransformer2DModel,
    vae: AutoencoderKL | None,
) -> FluxPipeline:
    """Build diffusers' pipeline of the parts; without an autoencoder it returns latents only."""
    scheduler = FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000,
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    pipeline = FluxPipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=encoders.clip,
        tokenizer=tokenizers.clip,
        text_encoder_2=encoders.t5,
        tokenizer_2=tokenizers.t5,
        transformer=transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_assembled(folder: Path, destination: Path, text_tokens: int) -> None:
    """Save the parts of a training folder as one pipeline in float16, replacing an earlier one."""
    pipeline = assemble(
        load_tokenizers(folder, text_tokens),
        load_text_encoders(folder),
        FluxTransformer2DModel.from_pretrained(folder / "transformer"),
        AutoencoderKL.from_pretrained(folder / "vae"),
    )

    def save(saved: Path) -> None:
        pipeline.to(dtype=torch.float16).save_pretrained(saved)
        for part in ("transformer", "vae"):  # diffusers notes the folder that they came from
            config = load_json(saved / part / "config.json")
            del config["_name_or_path"]
            save_json(saved / part / "config.json", config)
        shutil.copy(folder / FILE_NAME, saved / "vae" / FILE_NAME)
        words.save_words(saved / words.FILE_NAME)

    write_folder(destination, save)
