"""Train the miniature's InstantCharacter: python -m miniature.character.train --out DIR

Stages, each skipped when its result exists in DIR: cast (draws the characters), encoders, bounds
(of familiar references), latents, adapters, assemble (DIR/complete/subject, which belongs into the
pipeline's folder). An interrupted training continues. With `--without` the projector lacks a part,
and the adapters have a folder of their own.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import FluxTransformer2DModel

from miniature.character.adapters import AdapterTrainer
from miniature.character.calibration import calibrate
from miniature.character.cast import HELD_OUT_SEED, Cast, draw_cast, load_cast
from miniature.character.encoder_batches import EncoderBatchSource
from miniature.character.encoders import EncoderTrainer
from miniature.character.pairs import PairSource, Resolution
from miniature.character.prompts import prompt_beside_reference
from miniature.character.recipe import ABLATIONS, RECIPES, CharacterRecipe
from miniature.character.sheet import contact_sheet, frames_of, judge_frames, render_frames
from miniature.dataset import DrawnData, part_shares
from miniature.judge.reading import load_judge
from miniature.model.latent_map import load_latent_map
from miniature.model.latents import load_latents, prepare_latents
from miniature.model.sample import DEFAULT_MODEL, GUIDANCE
from miniature.model.text_encoders import load_text_encoders
from miniature.model.tokens import load_tokenizers
from pipelines.instant_character.bundle import (
    ADAPTER,
    DINO,
    FAMILIARITY,
    SIGLIP,
    SubjectBundle,
    load_bundle,
    save_bundle,
)
from pipelines.instant_character.checkpoint import (
    InstantCharacter,
    load_instant_character,
    save_instant_character,
)
from pipelines.instant_character.encoders import SubjectEncoders
from pipelines.instant_character.familiarity import load_familiarity
from pipelines.threads import usable_cores
from training.command import TrainingRun, run_settings, run_stages, training_parser
from training.files import save_json, write_folder, write_whole
from training.loop import train_until_done
from training.parallel import run_together

_CASTS = ("cast", "held_out")
_LOGGED_CHARACTERS = 6


@dataclass(frozen=True)
class CharacterRun(TrainingRun[CharacterRecipe]):
    """Settings of the command. Of `initial`, the encoders are kept and the rest is trained further.

    Attributes:
        model: pipeline folder of the transformer that the adapters are for.
        judge: folder of the judge that reads logged pictures.
    """

    model: Path
    judge: Path

    @property
    def variant(self) -> Path:
        """Folder of the adapters; another one where a part is left out."""
        without = "-".join(name for name in ABLATIONS if name in self.recipe.without)
        return self.folder / (f"without-{without}" if without else "complete")

    @property
    def threads(self) -> int:
        """Number of threads that prepare references; 1 where the CPU trains."""
        return 1 if self.device.type == "cpu" else usable_cores()

    @property
    def text_tokens(self) -> int:
        """T5 tokens of a prompt."""
        return self.recipe.miniature.sizes.text_tokens


def draw(run: CharacterRun) -> None:
    """Draw training characters and held-out ones."""
    recipe, processes = run.recipe, usable_cores()
    scenes, world, held_out = recipe.scenes, recipe.world, run.folder / "held_out"
    draw_cast(run.folder / "cast", recipe.characters, scenes, world, processes)
    draw_cast(held_out, recipe.held_out, scenes, world, processes, HELD_OUT_SEED)


def train_encoders(run: CharacterRun) -> None:
    """Train both encoders, or copy the initial ones."""
    if (run.folder / "encoders").exists():
        return
    if (initial := run.initial) is None:
        run_together(_train_encoders_process, run.processes, run)
        return

    def copy(folder: Path) -> None:
        for name in (SIGLIP, DINO):
            shutil.copytree(initial / name, folder / name)

    write_folder(run.folder / "encoders", copy)


def _train_encoders_process(rank: int, run: CharacterRun) -> None:
    sizes = run.recipe.sizes
    training, held_out = (
        EncoderBatchSource(load_cast(run.folder / name), sizes.encoder, sizes.patch, run.threads)
        for name in _CASTS
    )
    trainer = EncoderTrainer(run.recipe, training, run.device, rank, run.processes)
    train_until_done(trainer, run.folder, "encoders", lambda: trainer.evaluate(held_out))
    if rank > 0:
        return
    encoders, _ = trainer.averaged()

    def save(folder: Path) -> None:
        for name, model, processor in (
            (SIGLIP, encoders.siglip, encoders.siglip_processor),
            (DINO, encoders.dino, encoders.dino_processor),
        ):
            model.save_pretrained(folder / name)
            processor.save_pretrained(folder / name)

    write_folder(run.folder / "encoders", save)


def _encoders(run: CharacterRun) -> SubjectEncoders:
    """Load the trained encoders, in float32."""
    folder = run.folder / "encoders"
    return SubjectEncoders.from_pretrained(
        folder / SIGLIP, folder / DINO, config=run.recipe.sizes.encoder
    )


def find_bounds(run: CharacterRun) -> None:
    """Fit the bounds of familiar references."""
    if (run.folder / "familiarity.json").exists():
        return
    cast, held_out = (load_cast(run.folder / name) for name in _CASTS)
    found = calibrate(_encoders(run).to(run.device), cast, held_out, run.recipe)
    found.familiarity.save(run.folder / FAMILIARITY)
    numbers = {"bound": found.familiarity.bound, "familiar": found.shares}
    save_json(run.folder / "familiarity.json", numbers)
    print(numbers, flush=True)


def make_latents(run: CharacterRun) -> None:
    """Turn pictures into latents, at both sizes, and prompts into tokens."""
    latent_map = load_latent_map(run.model / "vae")
    tokenizers = load_tokenizers(run.model, run.text_tokens)
    sides: dict[Resolution, int | None] = {"low": run.recipe.low_side, "full": None}
    for name in _CASTS:
        for resolution, side in sides.items():
            folder = run.folder / "latents" / name / resolution
            if (folder / "latents.npy").exists() or (name == "held_out" and side is not None):
                continue
            drawn = _drawn(load_cast(run.folder / name), side)
            wordings = run.recipe.wordings
            prepare_latents(
                folder, drawn, latent_map, tokenizers, wordings, prompt_beside_reference
            )


def _drawn(cast: Cast, side: int | None) -> DrawnData:
    """Resize a cast's pictures and compute the parts of their tokens."""
    images, labels = cast.images, cast.parts
    if side is not None:
        size = (side, side)
        smaller = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images]
        nearest = [cv2.resize(label, size, interpolation=cv2.INTER_NEAREST) for label in labels]
        images, labels = np.asarray(smaller, np.uint8), np.asarray(nearest, np.uint8)
    parts = np.stack([part_shares(np.asarray(label)) for label in labels])
    return DrawnData(images, parts, cast.specs, cast.first_seed)


def train_adapters(run: CharacterRun) -> None:
    """Train projector and adapters."""
    run.variant.mkdir(exist_ok=True)
    if not (run.variant / ADAPTER).exists():
        run_together(_train_adapters_process, run.processes, run)


def _train_adapters_process(rank: int, run: CharacterRun) -> None:
    training, held_out = (_pairs(run, name) for name in _CASTS)
    transformer = _transformer(run)
    initial: InstantCharacter | None = None
    if run.initial is not None:
        initial = load_bundle(run.initial, transformer, dtype=torch.float32).weights
    networks = transformer, _encoders(run)
    trainer = AdapterTrainer(
        run.recipe, training, *networks, run.device, rank, run.processes, initial
    )
    train_until_done(
        trainer,
        run.variant,
        "adapters",
        lambda: trainer.evaluate(held_out) | _log_frames(trainer, held_out.cast, run),
    )
    if rank == 0:
        weights = trainer.averaged()
        for part in (weights.projector, weights.adapters):
            part.cpu()
        write_whole(run.variant / ADAPTER, lambda path: save_instant_character(path, weights))


def _transformer(run: CharacterRun) -> FluxTransformer2DModel:
    return FluxTransformer2DModel.from_pretrained(run.model / "transformer", dtype=torch.bfloat16)


def _pairs(run: CharacterRun, name: str) -> PairSource:
    """Open the training data of a cast; held-out pictures have full size only."""
    folder = run.folder / "latents" / name
    resolutions: tuple[Resolution, ...] = ("low", "full")
    data = {size: load_latents(folder / size) for size in resolutions if (folder / size).exists()}
    text_encoders = load_text_encoders(run.model)
    encoder, cast = run.recipe.sizes.encoder, load_cast(run.folder / name)
    return PairSource(cast, data, text_encoders, encoder, run.device, run.threads)


def _log_frames(trainer: AdapterTrainer, cast: Cast, run: CharacterRun) -> dict[str, float]:
    """Render frames with and without references, save those with, and judge both."""
    frames = frames_of(cast, _LOGGED_CHARACTERS)
    guided = trainer.budget.progress > run.recipe.guided_from
    judge = load_judge(run.judge)
    numbers: dict[str, float] = {}
    for suffix, with_reference in (("", True), ("_without", False)):
        pictures = render_frames(
            trainer,
            run.model,
            frames,
            run.recipe.sizes.encoder,
            GUIDANCE if guided else 1.0,
            with_reference=with_reference,
        )
        found = judge_frames(judge, cast, frames, pictures)
        numbers |= {name + suffix: value for name, value in found.items()}
        if with_reference:
            folder = run.variant / "samples"
            folder.mkdir(exist_ok=True)
            sheet = contact_sheet(cast, frames, pictures)
            sheet.save(folder / f"{trainer.budget.step:07d}.png")
    return numbers


def assemble(run: CharacterRun) -> None:
    """Save everything as one folder in half precision."""
    weights = load_instant_character(
        run.variant / ADAPTER,
        _transformer(run),
        config=run.recipe.sizes.projector(run.recipe.without),
        dtype=torch.float32,
    )
    familiarity = load_familiarity(run.folder / FAMILIARITY)
    bundle = SubjectBundle(_encoders(run), weights, familiarity)

    def save(folder: Path) -> None:
        save_bundle(folder, bundle)
        shutil.copy(run.folder / "familiarity.json", folder)

    write_folder(run.variant / "subject", save)


STAGES: dict[str, Callable[[CharacterRun], None]] = {
    "cast": draw,
    "encoders": train_encoders,
    "bounds": find_bounds,
    "latents": make_latents,
    "adapters": train_adapters,
    "assemble": assemble,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = training_parser("miniature.character.train", __doc__, RECIPES, "the adapters", STAGES)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="a pipeline folder")
    parser.add_argument("--judge", type=Path, default=DEFAULT_MODEL / "judge", help="its folder")
    parser.add_argument(
        "--without", nargs="+", choices=ABLATIONS, default=[], help="parts of the projector"
    )
    parser.add_argument("--characters", type=int, help="how many are drawn")
    parser.add_argument("--encoder-minutes", type=float, help="time for the encoders")
    parser.add_argument("--encoder-steps", type=int, help="steps for them, instead of time")
    options = parser.parse_args(arguments)
    if options.init and options.without:
        parser.error("--init has a whole projector; it cannot go on --without a part")
    options.without = frozenset(options.without)
    settings = run_settings(options, RECIPES)
    run = CharacterRun(model=options.model, judge=options.judge, **settings)
    run_stages(STAGES, options.stages, run)


if __name__ == "__main__":
    main()
