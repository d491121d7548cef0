"""Train the judge: python -m miniature.judge.train --out DIR

Draws the pictures (DIR/pictures), trains (an interrupted training continues), saves the judge and
measures it on held-out pictures (DIR/judge.safetensors, config.json, accuracy.json).
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from miniature.judge.accuracy import measure_accuracy
from miniature.judge.batches import GroupSource
from miniature.judge.groups import draw_groups, load_groups
from miniature.judge.network import JudgeSizes
from miniature.judge.reading import load_judge, save_judge
from miniature.judge.trainer import JudgeRecipe, JudgeTrainer
from pipelines.threads import usable_cores
from training.command import recipe_of, training_parser
from training.files import save_json
from training.loop import train_until_done

_EIGHT = (8, 8, 8, 8)
TOY = JudgeRecipe(
    sizes=JudgeSizes(finder=_EIGHT, reader=_EIGHT, mixed=8, crop=32, embedding=8),
    groups=10,
    steps=4,
    batch=2,
    warmup=2,
    log_every=2,
)
RECIPES = {"small": JudgeRecipe(), "toy": TOY}


def train_judge(folder: Path, recipe: JudgeRecipe, device: torch.device) -> None:
    """Train a judge on the pictures in a folder, and save it there."""
    trainer = JudgeTrainer(recipe, GroupSource(load_groups(folder / "pictures"), device), device)
    train_until_done(trainer, folder, "judge")
    save_judge(trainer.averaged(), folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = training_parser("miniature.judge.train", __doc__, RECIPES, "the training")
    parser.add_argument("--groups", type=int, help="groups of four pictures to draw")
    parser.add_argument("--processes", type=int, help="for drawing; all cores unless given")
    parser.add_argument("--held-out", type=int, default=1000, help="pictures to measure on")
    options = parser.parse_args(arguments)
    recipe = recipe_of(options, RECIPES)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    print("drawing ...", flush=True)
    draw_groups(folder / "pictures", recipe.groups, options.processes or usable_cores())
    print("training ...", flush=True)
    train_judge(folder, recipe, torch.device(options.device))
    print("measuring ...", flush=True)
    judge, count = load_judge(folder, options.device), options.held_out
    save_json(folder / "accuracy.json", measure_accuracy(judge, count, count // 4))


if __name__ == "__main__":
    main()
