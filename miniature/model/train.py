"""Train the miniature: python -m miniature.model.train --out DIR

Stages, each skipped when its result exists in DIR: world (draws the pictures), tokenizers, text,
autoencoder, latents, transformer, assemble (DIR/pipeline). An interrupted training continues.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel

from miniature.dataset import FIRST_SEEDS, draw_dataset, draw_held_out, load_dataset
from miniature.model import sample
from miniature.model.assembly import assemble, save_assembled
from miniature.model.autoencoder import train_autoencoder
from miniature.model.latent_map import FILE_NAME, LatentMap, fit_latent_map, load_latent_map
from miniature.model.latents import load_latents, prepare_latents
from miniature.model.recipe import RECIPES, Recipe
from miniature.model.text_encoders import (
    build_text_encoders,
    load_text_encoders,
    start_from,
    train_text_encoders,
)
from miniature.model.tokens import load_tokenizers, sample_prompts, train_tokenizers
from miniature.model.transformer import TransformerTrainer
from pipelines.threads import usable_cores
from training.command import TrainingRun, run_settings, run_stages, training_parser
from training.files import save_json, write_folder
from training.loop import train_until_done
from training.parallel import run_together

_TEXT_SEED = 2
_MAP_PICTURES = 256
_AUTOENCODER_PICTURES = 6000  # on a GPU-less machine all of them would not stay in memory
_HELD_OUT_SCENES = 48
_GENTLE = 0.2  # of the learning rates, for text encoders that have learnt before
_LOGGED_PROMPTS = 8
_LOGGED_STEPS = 12


@dataclass(frozen=True)
class ModelRun(TrainingRun[Recipe]):
    """Settings of the command; `initial` is a pipeline."""

    @property
    def text_tokens(self) -> int:
        """T5 tokens of a prompt."""
        return self.recipe.sizes.text_tokens


def draw_world(run: ModelRun) -> None:
    """Draw the pictures."""
    recipe = run.recipe
    oblong = round(recipe.oblong_share * recipe.scenes)
    counts = dict.fromkeys(FIRST_SEEDS, oblong) | {"square": recipe.scenes - 2 * oblong}
    folder, processes = run.folder / "world", usable_cores()
    draw_dataset(folder, counts, recipe.world, processes, recipe.pictures_from)


def make_tokenizers(run: ModelRun) -> None:
    """Train both tokenizers on the world's words."""
    if not (run.folder / "tokenizer_2").exists():
        train_tokenizers(run.folder, run.text_tokens, run.recipe.prompts)


def train_text(run: ModelRun) -> None:
    """Train both text encoders."""
    if (run.folder / "text_encoder_2").exists():
        return
    tokenizers = load_tokenizers(run.folder, run.text_tokens)
    torch.manual_seed(_TEXT_SEED)
    encoders = build_text_encoders(run.recipe.sizes, tokenizers)
    if run.initial is not None:
        start_from(encoders, tokenizers, run.initial)
    rate = _GENTLE if run.initial else 1.0
    accuracy = train_text_encoders(encoders, tokenizers, run.recipe, run.device, run.folder, rate)
    save_json(run.folder / "text_accuracy.json", accuracy)
    write_folder(run.folder / "text_encoder", encoders.clip.save_pretrained)
    write_folder(run.folder / "text_encoder_2", encoders.t5.save_pretrained)


def _latent_map(run: ModelRun) -> LatentMap:
    """Return the run's latent map; the first call fits it or copies the initial pipeline's."""
    if not (run.folder / FILE_NAME).exists():
        if run.initial is not None and (run.initial / "vae" / FILE_NAME).exists():
            latent_map = load_latent_map(run.initial / "vae")
        else:
            latent_map = fit_latent_map(load_dataset(run.folder / "world").images[:_MAP_PICTURES])
        latent_map.save(run.folder)
    return load_latent_map(run.folder)


def train_vae(run: ModelRun) -> None:
    """Fit the autoencoder to the latent map."""
    if (run.folder / "vae").exists():
        return
    images = load_dataset(run.folder / "world").images[:_AUTOENCODER_PICTURES]
    initial = AutoencoderKL.from_pretrained(run.initial / "vae") if run.initial else None
    latent_map = _latent_map(run)
    vae = train_autoencoder(images, latent_map, run.recipe, run.device, run.folder, initial)
    write_folder(run.folder / "vae", vae.save_pretrained)


def make_latents(run: ModelRun) -> None:
    """Turn pictures into latents and prompts into tokens."""
    latent_map, folder = _latent_map(run), run.folder / "latents"
    tokenizers = load_tokenizers(run.folder, run.text_tokens)
    for shape in FIRST_SEEDS:
        drawn = load_dataset(run.folder / "world", shape, run.recipe.pictures_from)
        prepare_latents(folder / shape, drawn, latent_map, tokenizers, run.recipe.wordings)
    if not (folder / "held_out" / "latents.npy").exists():
        drawn = draw_held_out(_HELD_OUT_SCENES, run.recipe.world)
        prepare_latents(folder / "held_out", drawn, latent_map, tokenizers, 1)


def train_transformer(run: ModelRun) -> None:
    """Train the transformer in one or several processes."""
    if (run.folder / "transformer").exists():
        return
    run_together(_train_transformer_process, run.processes, run)


def _train_transformer_process(rank: int, run: ModelRun) -> None:
    initial = None
    if run.initial is not None:
        known = FluxTransformer2DModel.from_pretrained(run.initial / "transformer")
        initial = known.float().state_dict()
    trainer = TransformerTrainer(
        run.recipe,
        [load_latents(run.folder / "latents" / shape) for shape in FIRST_SEEDS],
        load_text_encoders(run.folder),
        run.device,
        rank,
        run.processes,
        initial,
    )
    held_out = load_latents(run.folder / "latents" / "held_out")

    def report() -> dict[str, float]:
        _log_samples(trainer, run)
        return trainer.evaluate(held_out)

    train_until_done(trainer, run.folder, "transformer", report)
    if rank == 0:
        model = trainer.averaged_model().cpu()
        write_folder(run.folder / "transformer", model.save_pretrained)


def _log_samples(trainer: TransformerTrainer, run: ModelRun) -> None:
    """Render some prompts with the averaged weights, decoded by the latent map."""
    model = trainer.averaged_model().to(torch.bfloat16)
    encoders = load_text_encoders(run.folder).to(run.device)
    for encoder in (encoders.clip, encoders.t5):
        encoder.to(torch.bfloat16)
    tokenizers = load_tokenizers(run.folder, run.text_tokens)
    prompts = [prompt.text for prompt in sample_prompts(_LOGGED_PROMPTS, 5, run.recipe.world)]
    guided = trainer.budget.progress > run.recipe.guided_from
    pictures = sample.render(
        assemble(tokenizers, encoders, model, None),
        prompts,
        text_tokens=run.text_tokens,
        steps=_LOGGED_STEPS,
        guidance=sample.GUIDANCE if guided else 1.0,
        true_guidance=sample.TRUE_GUIDANCE,
        latent_map=_latent_map(run),
    )
    folder = run.folder / "samples"
    folder.mkdir(exist_ok=True)
    sheet = sample.contact_sheet(pictures, prompts, columns=4)
    sheet.save(folder / f"{trainer.budget.step:07d}.png")


STAGES: dict[str, Callable[[ModelRun], None]] = {
    "world": draw_world,
    "tokenizers": make_tokenizers,
    "text": train_text,
    "autoencoder": train_vae,
    "latents": make_latents,
    "transformer": train_transformer,
    "assemble": lambda run: save_assembled(run.folder, run.folder / "pipeline", run.text_tokens),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = training_parser("miniature.model.train", __doc__, RECIPES, "the transformer", STAGES)
    parser.add_argument("--pictures-from", type=int, help="draw others: added to their seeds")
    options = parser.parse_args(arguments)
    run_stages(STAGES, options.stages, ModelRun(**run_settings(options, RECIPES)))


if __name__ == "__main__":
    main()
