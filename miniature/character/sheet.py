"""Contact sheet of frames rendered from held-out references during the adapters' training.

A row shows a character: the reference, and frames with other places and actions. The prompts state
the kind of character only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxPipeline
from numpy.typing import NDArray
from PIL import Image

from miniature.character.adapters import AdapterTrainer, conditioned_on
from miniature.character.cast import Cast
from miniature.character.encoder_batches import LOOKS
from miniature.character.prompts import prompt_beside_reference
from miniature.character.references import cut_out
from miniature.character.views import views_of
from miniature.dataset import IMAGE_SIZE, TOKEN_SIZE
from miniature.judge.attributes import true_attributes, visible_attributes
from miniature.judge.reading import Judge
from miniature.model import sample
from pipelines.instant_character.config import EncoderConfig

_STEPS = 12
_USUAL = frozenset({"none", "plain"})  # values that are rendered when none is stated
_TOKENS = (IMAGE_SIZE // TOKEN_SIZE) ** 2


@dataclass(frozen=True)
class Frames:
    """Frames of a sheet.

    Attributes:
        rows: rows of the cast's pictures with the same characters, n of them.
        references: reference of each frame, RGB, uint8 of shape (side, side, 3).
        prompts: prompt of each frame.
    """

    rows: list[int]
    references: list[NDArray[np.uint8]]
    prompts: list[str]


def frames_of(cast: Cast, characters: int) -> Frames:
    """Return the first characters' frames: their first scenes are references, the others frames."""
    rows = [
        character * cast.scenes + scene
        for character in range(min(characters, cast.characters))
        for scene in range(1, cast.scenes)
    ]
    shown = [row - row % cast.scenes for row in rows]
    return Frames(
        rows,
        [cut_out(cast.images[row], cast.parts[row]).picture for row in shown],
        [prompt_beside_reference(cast.specs[row], cast.first_seed + row).text for row in rows],
    )


def render_frames(
    trainer: AdapterTrainer,
    model: Path,
    frames: Frames,
    config: EncoderConfig,
    guidance: float,
    *,
    with_reference: bool,
) -> NDArray[np.uint8]:
    """Render frames with the averaged weights, conditioned on their references or not.

    Args:
        trainer: trainer of the weights.
        model: pipeline folder of the transformer.
        frames: the frames.
        config: the encoders' side and crops.
        guidance: learnt guidance; 1 is none.
        with_reference: condition on the references.

    Returns:
        RGB, uint8 of shape (frames, 256, 256, 3).
    """
    pipeline = FluxPipeline.from_pretrained(
        model, transformer=trainer.transformer, dtype=torch.bfloat16
    ).to(trainer.transformer.device)
    pipeline.set_progress_bar_config(disable=True)

    def render() -> NDArray[np.uint8]:
        return sample.render(
            pipeline,
            frames.prompts,
            text_tokens=pipeline.tokenizer_2.model_max_length,
            steps=_STEPS,
            guidance=guidance,
        )

    if not with_reference:
        return render()
    with torch.no_grad():
        weights = trainer.averaged()
        for part in (weights.projector, weights.adapters):
            part.to(torch.bfloat16)
        views = views_of(frames.references, config).to(trainer.transformer.device)
        condition = trainer.condition(weights, trainer.features(views))
    with conditioned_on(trainer.transformer, condition, _TOKENS):
        return render()


def judge_frames(
    judge: Judge, cast: Cast, frames: Frames, pictures: NDArray[np.uint8]
) -> dict[str, float]:
    """Judge how well frames keep their characters and follow their prompts.

    Returns:
        `kept`: share of the characters' looks that the pictures show, of those that are visible in
        the drawn frame, not stated, and not the usual value; `action` and `place`: share of the
        pictures that show the stated value.
    """
    kept, looks, right = 0, 0, {"action": 0, "place": 0}
    reading = judge.read(pictures)
    for row, found in zip(frames.rows, reading.attributes, strict=True):
        truth = true_attributes(cast.specs[row], 0)
        seen = visible_attributes(truth, cast.parts[row])
        for name in LOOKS:
            if name in found and name in seen and name != "kind" and truth[name] not in _USUAL:
                looks += 1
                kept += found[name] == truth[name]
        for name in right:
            right[name] += found[name] == truth[name]
    shares = {name: count / len(pictures) for name, count in right.items()}
    return {"kept": kept / max(1, looks), **shares}


def contact_sheet(cast: Cast, frames: Frames, pictures: NDArray[np.uint8]) -> Image.Image:
    """Arrange references and their frames in rows, with the prompts below."""
    columns, size = cast.scenes, (IMAGE_SIZE, IMAGE_SIZE)
    shown, captions = [], []
    for k, picture in enumerate(pictures):
        if k % (columns - 1) == 0:
            reference = Image.fromarray(frames.references[k])
            shown.append(np.asarray(reference.resize(size, Image.Resampling.BICUBIC)))
            captions.append("reference")
        shown.append(picture)
        captions.append(frames.prompts[k])
    return sample.contact_sheet(np.stack(shown), captions, columns)
