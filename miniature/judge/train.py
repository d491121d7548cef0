"""Train the judge: python -m miniature.judge.train --out DIR

Draws the pictures (DIR/pictures), trains (an interrupted training continues), saves the judge and
measures it on held-out pictures (DIR/judge.safetensors, config.json, accuracy.json).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from miniature.dataset import available_processes
from miniature.judge.accuracy import measure_accuracy
from miniature.judge.data import GroupSource
from miniature.judge.groups import draw_groups, load_groups
from miniature.judge.network import JudgeSizes
from miniature.judge.reading import load_judge, save_judge
from miniature.judge.trainer import JudgeRecipe, JudgeTrainer
from training.command import with_options
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
    parser = argparse.ArgumentParser(
        prog="python -m miniature.judge.train",
        description=(__doc__ or "").splitlines()[0],
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--recipe", choices=RECIPES, default="small", help="sizes and budgets")
    parser.add_argument("--minutes", type=float, help="training time")
    parser.add_argument("--steps", type=int, help="training steps, instead of time")
    parser.add_argument("--groups", type=int, help="groups of four pictures to draw")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--processes", type=int, help="for drawing; all cores unless given")
    parser.add_argument("--held-out", type=int, default=1000, help="pictures to measure on")
    options = parser.parse_args(arguments)
    recipe = with_options(RECIPES[options.recipe], options, "minutes", "steps", "groups")
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    print("drawing ...", flush=True)
    draw_groups(folder / "pictures", recipe.groups, options.processes or available_processes())
    print("training ...", flush=True)
    train_judge(folder, recipe, torch.device(options.device))
    print("measuring ...", flush=True)
    judge, count = load_judge(folder, options.device), options.held_out
    save_json(folder / "accuracy.json", measure_accuracy(judge, count, count // 4))


if __name__ == "__main__":
    main()
