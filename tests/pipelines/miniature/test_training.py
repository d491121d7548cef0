"""The training command at toy size; an interrupted run ends as an uninterrupted one does."""

import json

import pytest
import torch
from diffusers import FluxPipeline

from pipelines.miniature import train
from pipelines.miniature.autoencoder import build_autoencoder
from pipelines.miniature.batches import BatchSource
from pipelines.miniature.dataset import load_dataset
from pipelines.miniature.latents import load_latents
from pipelines.miniature.recipe import RECIPES, TOY, ModelSizes
from pipelines.miniature.sample import DEFAULT_MODEL
from pipelines.miniature.text_encoders import build_text_encoders, load_text_encoders
from pipelines.miniature.tokens import load_tokenizers
from pipelines.miniature.transformer import TransformerTrainer, build_transformer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train.main(["--out", str(folder), "--recipe", "toy", "--processes", "1"])
    return folder


def new_trainer(folder):
    data = load_latents(folder / "latents", load_dataset(folder / "world").parts, TOY.wordings)
    return TransformerTrainer(TOY, data, load_text_encoders(folder), CPU)


def assert_same_state(first, second, path=""):
    assert type(first) is type(second), path
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            if key != "seconds":
                assert_same_state(first[key], second[key], f"{path}/{key}")
    elif isinstance(first, list):
        assert len(first) == len(second), path
        for number, pair in enumerate(zip(first, second, strict=True)):
            assert_same_state(*pair, f"{path}/{number}")
    else:
        assert first == second, path


def test_every_stage_leaves_its_result(run_folder):
    pipeline = FluxPipeline.from_pretrained(run_folder / "pipeline", dtype=torch.float32)
    assert pipeline.transformer.config.num_single_layers == TOY.sizes.single_blocks
    configurations = [path.read_text() for path in (run_folder / "pipeline").rglob("*.json")]
    assert not any(str(run_folder) in text for text in configurations)
    lines = (run_folder / "transformer.jsonl").read_text().splitlines()
    numbers = [json.loads(line) for line in lines]
    assert numbers[-1]["step"] == TOY.steps
    assert 0 <= numbers[-1]["mask_iou"] <= 1
    assert numbers[-1]["held_out_loss"] > 0
    assert list((run_folder / "samples").glob("*.png"))
    accuracy = json.loads((run_folder / "text_accuracy.json").read_text())
    assert accuracy.keys() == {"t5", "clip"}


def test_a_second_call_does_nothing_again(run_folder):
    before = {p: p.stat().st_mtime_ns for p in run_folder.rglob("*.safetensors")}
    train.main(
        ["--out", str(run_folder), "--recipe", "toy", "--processes", "1",
         "--stages", "world", "tokenizers", "text", "autoencoder", "latents", "transformer"]
    )  # fmt: skip
    assert before == {p: p.stat().st_mtime_ns for p in run_folder.rglob("*.safetensors")}


def test_an_interrupted_run_ends_like_an_uninterrupted_one(run_folder, tmp_path):
    straight = new_trainer(run_folder)
    for _ in range(4):
        straight.step()
    straight.save(tmp_path / "straight.pt")

    first = new_trainer(run_folder)
    for _ in range(2):
        first.step()
    first.save(tmp_path / "half.pt")
    second = new_trainer(run_folder)
    second.load(tmp_path / "half.pt")
    for _ in range(2):
        second.step()
    second.save(tmp_path / "resumed.pt")

    states = [torch.load(tmp_path / f"{name}.pt") for name in ("straight", "resumed", "half")]
    assert_same_state(states[0], states[1])
    name = "single_transformer_blocks.0.attn.to_q.weight"
    assert not torch.equal(states[0]["weights"][name], states[2]["weights"][name])


def test_training_lowers_the_loss_of_a_batch(run_folder):
    trainer = new_trainer(run_folder)
    batch = trainer.draw_batch(0)
    before = trainer.losses(batch).flow.item()
    for _ in range(6):
        trainer.step()
    assert trainer.losses(batch).flow.item() < before


def test_processes_share_a_batch_between_them(run_folder):
    data = load_latents(
        run_folder / "latents", load_dataset(run_folder / "world").parts, TOY.wordings
    )
    source = BatchSource(data, load_text_encoders(run_folder), CPU)
    whole = source.training(3, TOY, 128, rank=0, world_size=1)
    for rank in (0, 1):
        half = source.training(3, TOY, 128, rank, world_size=2)
        for name in ("times", "parts", "lengths", "pooled"):
            mine = getattr(whole, name)[rank::2]
            assert torch.allclose(getattr(half, name), mine, atol=1e-5)
        assert torch.equal(half.positions, whole.positions)


def test_noisy_tokens_and_velocities_give_back_the_picture(run_folder):
    drawn = load_dataset(run_folder / "world")
    data = load_latents(run_folder / "latents", drawn.parts, TOY.wordings)
    source = BatchSource(data, load_text_encoders(run_folder), CPU)
    batch = source.at_noise_level(0.4)
    clean = batch.tokens - 0.4 * batch.velocity
    latents = FluxPipeline._unpack_latents(clean, 256, 256, 8)
    assert torch.allclose(latents, torch.tensor(data.latents).float(), atol=1e-4)
    kept = source.training(0, TOY, 128, rank=0, world_size=1)
    assert kept.tokens.shape[1:] == (128, 64)
    number = kept.positions[:, 1] * 16 + kept.positions[:, 2]
    assert (number.diff() > 0).all()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_into_forty_megabytes(name):
    sizes = RECIPES[name].sizes
    tokenizers = load_tokenizers(DEFAULT_MODEL, sizes.text_tokens)
    encoders = build_text_encoders(sizes, tokenizers)
    parts = (build_transformer(sizes), build_autoencoder(sizes), encoders.clip, encoders.t5)
    numbers = sum(parameter.numel() for part in parts for parameter in part.parameters())
    assert 2 * numbers <= 39 * 2**20  # float16, and a little for the tokenizers


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not add up to 48"):
        ModelSizes(rope_axes=(8, 8, 8))
