"""The training command at toy size; an interrupted run ends as an uninterrupted one does."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers import FluxPipeline
from transformers import T5EncoderModel

from miniature.dataset import FIRST_SEEDS, draw_dataset, load_dataset
from miniature.model import train
from miniature.model.autoencoder import build_autoencoder, train_autoencoder
from miniature.model.batches import BatchSource
from miniature.model.latent_map import load_latent_map
from miniature.model.latents import load_latents
from miniature.model.recipe import RECIPES, TOY, ModelSizes
from miniature.model.sample import DEFAULT_MODEL
from miniature.model.text_encoders import build_text_encoders, load_text_encoders
from miniature.model.tokens import load_tokenizers
from miniature.model.transformer import (
    TransformerTrainer,
    build_transformer,
    start_weights,
    token_weights,
)
from miniature.world.vocabulary import Part

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train.main(["--out", str(folder), "--recipe", "toy", "--processes", "1"])
    return folder


def load_all_latents(folder):
    return [load_latents(folder / "latents" / shape) for shape in FIRST_SEEDS]


def new_trainer(folder, recipe=TOY):
    return TransformerTrainer(recipe, load_all_latents(folder), load_text_encoders(folder), CPU)


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
    assert accuracy.keys() == {"t5", "clip", "t5_held_out", "clip_held_out"}


def test_figures_count_more_and_their_details_most_until_the_rate_falls():
    parts = torch.zeros(1, 4, len(Part))
    parts[0, 0, Part.BACKGROUND] = 1
    parts[0, 1, Part.TORSO] = 1
    parts[0, 2, Part.HAND] = 1
    parts[0, 3, [Part.BACKGROUND, Part.PROP]] = 0.5
    recipe = replace(TOY, foreground_weight=2.0, detail_weight=4.0)
    assert token_weights(parts, recipe, 1.0).tolist() == [[1.0, 2.0, 4.0, 2.5]]
    assert token_weights(parts, recipe, 0.5).tolist() == [[1.0, 1.5, 2.5, 1.75]]
    assert token_weights(parts, recipe, 0.0).tolist() == [[1.0] * 4]


def test_a_second_call_does_nothing_again(run_folder):
    before = {p: p.stat().st_mtime_ns for p in run_folder.rglob("*.safetensors")}
    train.main(
        ["--out", str(run_folder), "--recipe", "toy", "--processes", "1",
         "--stages", "world", "tokenizers", "text", "autoencoder", "latents", "transformer"]
    )  # fmt: skip
    assert before == {p: p.stat().st_mtime_ns for p in run_folder.rglob("*.safetensors")}


def test_weights_that_were_not_saved_completely_are_made_again(tmp_path, monkeypatch):
    arguments = ["--out", str(tmp_path), "--recipe", "toy", "--stages", "tokenizers", "text"]

    def write_configuration(self, folder):
        self.config.save_pretrained(folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(T5EncoderModel, "save_pretrained", write_configuration)
        with pytest.raises(KeyboardInterrupt):
            train.main(arguments)
    train.main(arguments)
    assert load_text_encoders(tmp_path).t5.config.num_layers == TOY.sizes.t5_layers


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
    assert not torch.equal(
        states[0]["weights"]["values"][name], states[2]["weights"]["values"][name]
    )


def test_training_lowers_the_loss_of_a_batch(run_folder):
    trainer = new_trainer(run_folder)
    batch = trainer.draw_batch(0)
    before = trainer.losses(batch)["flow"].item()
    for _ in range(6):
        trainer.step()
    assert trainer.losses(batch)["flow"].item() < before


def test_guidance_is_learnt_from_the_averaged_model(run_folder):
    """The target is what classifier-free guidance makes of the averaged weights' velocities."""
    trainer = new_trainer(run_folder)
    for _ in range(3):
        trainer.step()
    batch = trainer.draw_batch(0)
    batch = replace(batch, guidance=torch.tensor([1.0, 3.0]))
    model = trainer.averaged_model()
    sequence, pooled = trainer._source.without_prompt()

    def velocity(sequence, pooled):
        return model(
            hidden_states=batch.tokens[1:],
            timestep=batch.times[1:],
            guidance=torch.ones(1),
            pooled_projections=pooled,
            encoder_hidden_states=sequence,
            txt_ids=torch.zeros(sequence.shape[1], 3),
            img_ids=batch.positions,
        ).sample

    with torch.no_grad():
        stated = velocity(batch.sequence[1:], batch.pooled[1:])
        unstated = velocity(sequence, pooled)
    targets = trainer.targets(batch)
    assert torch.equal(targets[0], batch.velocity[0])
    expected = unstated[0] + 3 * (stated - unstated)[0]
    assert (targets[1] - expected).abs().max() < 0.1 * expected.abs().max()  # bfloat16
    assert (targets[1] - expected).abs().mean() < 0.02 * expected.abs().mean()


def test_guided_errors_count_less_by_the_square_of_the_guidance(run_folder, monkeypatch):
    trainer = new_trainer(run_folder, replace(TOY, foreground_weight=1.0, detail_weight=1.0))
    batch = trainer.draw_batch(0)
    monkeypatch.setattr(trainer, "targets", lambda batch: batch.velocity)
    plain = trainer.losses(batch)["flow"]
    guided = trainer.losses(replace(batch, guidance=torch.full_like(batch.guidance, 3.0)))["flow"]
    assert torch.allclose(plain / 9, guided, rtol=0.02)  # a toy hardly heeds guidance yet


def test_guidance_begins_where_the_recipe_says(run_folder):
    trainer = new_trainer(run_folder, replace(TOY, batch=16, guided_share=0.5))
    assert (trainer.draw_batch(0).guidance == 1).all()
    trainer.budget.step = TOY.steps - 1
    strengths = torch.cat([trainer.draw_batch(step).guidance for step in range(8)])
    guided = strengths > 1
    assert 0.3 < guided.float().mean() < 0.7
    assert strengths.max() <= TOY.most_guidance


def test_a_model_without_guidance_starts_one_that_ignores_it_at_first():
    model = build_transformer(TOY.sizes)
    torch.nn.init.normal_(model.proj_out.weight)
    known = {n: t for n, t in model.state_dict().items() if "guidance_embedder" not in n}
    started = build_transformer(TOY.sizes)
    start_weights(started, known)
    inputs = {
        "hidden_states": torch.randn(1, 4, 64),
        "timestep": torch.tensor([0.5]),
        "pooled_projections": torch.randn(1, TOY.sizes.text_width),
        "encoder_hidden_states": torch.randn(1, 3, TOY.sizes.text_width),
        "txt_ids": torch.zeros(3, 3),
        "img_ids": torch.zeros(4, 3),
    }
    with torch.no_grad():
        outputs = [started(**inputs, guidance=torch.tensor([g])).sample for g in (1.0, 4.0)]
        assert torch.equal(outputs[0], outputs[1])
        assert torch.equal(outputs[0], model(**inputs, guidance=torch.ones(1)).sample)
    with pytest.raises(ValueError, match="1 are missing"):
        start_weights(started, {n: t for n, t in known.items() if n != "proj_out.bias"})


def test_every_shape_of_picture_is_trained_on(run_folder):
    source = BatchSource(load_all_latents(run_folder), load_text_encoders(run_folder), CPU)
    batches = [source.training(step, TOY, 0.0, rank=0, world_size=1) for step in range(40)]
    grids = [tuple(int(v) for v in batch.positions[-1, 1:] + 1) for batch in batches]
    assert set(grids) == {(16, 16), (13, 20), (20, 13)}
    assert grids.count((16, 16)) > 15
    for batch, (rows, columns) in zip(batches, grids, strict=True):
        assert batch.tokens.shape == (TOY.batch, rows * columns, 64)
        assert batch.parts.shape[1] == rows * columns


def test_processes_share_a_batch_between_them(run_folder):
    source = BatchSource(load_all_latents(run_folder), load_text_encoders(run_folder), CPU)
    whole = source.training(3, TOY, 0.5, rank=0, world_size=1)
    for rank in (0, 1):
        half = source.training(3, TOY, 0.5, rank, world_size=2)
        for name in ("times", "guidance", "parts", "lengths", "pooled"):
            mine = getattr(whole, name)[rank::2]
            assert torch.allclose(getattr(half, name), mine, atol=1e-5)
        assert torch.equal(half.positions, whole.positions)


@pytest.mark.parametrize("shape", FIRST_SEEDS)
def test_noisy_tokens_and_velocities_give_back_the_picture(run_folder, shape):
    data = load_latents(run_folder / "latents" / shape)
    source = BatchSource([data], load_text_encoders(run_folder), CPU)
    batch = source.at_noise_level(0.4)
    clean = batch.tokens - 0.4 * batch.velocity
    height, width = load_dataset(run_folder / "world", shape).images.shape[1:3]
    latents = FluxPipeline._unpack_latents(clean, height, width, 8)
    assert torch.allclose(latents, torch.tensor(data.latents).float(), atol=1e-4)


def test_a_later_training_can_draw_other_pictures(tmp_path):
    draw = partial(draw_dataset, world=TOY.world, processes=1)
    draw(tmp_path / "first", {"square": 3})
    draw(tmp_path / "later", {"square": 2}, further=1)
    first, later = load_dataset(tmp_path / "first"), load_dataset(tmp_path / "later", further=1)
    assert (first.images[1:] == later.images).all()
    assert first.specs[1:] == later.specs
    assert later.first_seed == first.first_seed + 1


class Interrupting:
    """Pictures that can be read a few times only."""

    def __init__(self, images, reads):
        self.images, self.reads = images, reads

    def __len__(self):
        return len(self.images)

    def __getitem__(self, chosen):
        if self.reads == 0:
            raise KeyboardInterrupt
        self.reads -= 1
        return self.images[chosen]


def test_an_interrupted_autoencoder_ends_like_an_uninterrupted_one(run_folder, tmp_path):
    images = load_dataset(run_folder / "world").images
    others = (load_latent_map(run_folder), replace(TOY, checkpoint_every=0.0), CPU)
    for name in ("straight", "resumed"):
        (tmp_path / name).mkdir()
    straight = train_autoencoder(images, *others, tmp_path / "straight").state_dict()
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(Interrupting(images, 3), *others, tmp_path / "resumed")
    resumed = train_autoencoder(images, *others, tmp_path / "resumed").state_dict()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


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
