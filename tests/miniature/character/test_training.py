"""The training command at toy size: its results, its exactness, and its learning."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from miniature.character import train
from miniature.character.adapters import AdapterTrainer, build_instant_character
from miniature.character.encoder_batches import EncoderBatchSource
from miniature.character.encoders import EncoderTrainer, build_encoders
from miniature.character.outsiders import KINDS
from miniature.character.pairs import Phase, phase_at
from miniature.character.recipe import RECIPES, CharacterRecipe, CharacterSizes
from miniature.character.references import cut_out
from miniature.character.views import encode_views, views_of
from miniature.model.assembly import assemble
from miniature.model.autoencoder import build_autoencoder
from miniature.model.latent_map import FILE_NAME
from miniature.model.recipe import TOY
from miniature.model.sample import DEFAULT_MODEL
from miniature.model.text_encoders import build_text_encoders
from miniature.model.tokens import load_tokenizers
from miniature.model.transformer import build_transformer, velocity
from pipelines.flux1.attention import subject_attention
from pipelines.instant_character.bundle import load_bundle

CPU = torch.device("cpu")
RECIPE = RECIPES["toy"]
MIXED = Phase("mixed", "full", 0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pipeline of random weights, of the toy's sizes."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    tokenizers = load_tokenizers(DEFAULT_MODEL, TOY.sizes.text_tokens)
    transformer = build_transformer(TOY.sizes)
    for parameter in transformer.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    encoders = build_text_encoders(TOY.sizes, tokenizers)
    pipeline = assemble(tokenizers, encoders, transformer, build_autoencoder(TOY.sizes))
    pipeline.save_pretrained(folder)
    shutil.copy(DEFAULT_MODEL / "vae" / FILE_NAME, folder / "vae")
    return folder


def arguments(folder, model, *more):
    return [
        "--out",
        str(folder),
        "--recipe",
        "toy",
        "--model",
        str(model),
        "--processes",
        "1",
        *more,
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("run")
    train.main(arguments(folder, model))
    return train.CharacterRun(folder, RECIPE, CPU, 1, None, model, DEFAULT_MODEL / "judge")


@pytest.fixture(scope="module")
def pairs(run):
    return train._pairs(run, "cast")


@pytest.fixture(scope="module")
def references(run):
    cast = train.load_cast(run.folder / "cast")
    return EncoderBatchSource(cast, RECIPE.sizes.encoder, RECIPE.sizes.patch)


@pytest.fixture
def adapter_trainer(run, pairs):
    def new(recipe=RECIPE, source=pairs):
        transformer, encoders = train._transformer(run), train._encoders(run)
        return AdapterTrainer(recipe, source, transformer, encoders, CPU)

    return new


def assert_same_weights(first, second):
    assert first.weights.values.keys() == second.weights.values.keys()
    for name, weight in first.weights.values.items():
        assert torch.equal(weight, second.weights.values[name]), name
        assert torch.equal(first.weights.average[name], second.weights.average[name]), name


def test_every_stage_leaves_its_result(run):
    lines = [
        json.loads(line)
        for line in (run.folder / "complete" / "adapters.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["step"] == RECIPE.steps
    for name in ("held_out", "held_out_without", "held_out_other"):
        assert lines[-1][name] > 0
    for name in ("kept", "kept_without", "action", "place"):
        assert 0 <= lines[-1][name] <= 1
    assert list((run.folder / "complete" / "samples").glob("*.png"))
    logged = json.loads((run.folder / "encoders.jsonl").read_text().splitlines()[-1])
    assert 0 <= logged["looks"] <= 1 and 0 <= logged["parts"] <= 1 and 0 <= logged["identity"] <= 1
    found = json.loads((run.folder / "familiarity.json").read_text())
    assert found["bound"] > 0
    assert found["familiar"].keys() == {"reference", *KINDS}
    assert all(0 <= share <= 1 for share in found["familiar"].values())


def test_a_second_call_does_nothing_again(run):
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.safetensors")}
    stages = [stage for stage in train.STAGES if stage != "assemble"]
    train.main(arguments(run.folder, run.model, "--stages", *stages))
    assert before == {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.safetensors")}


def test_the_assembled_folder_loads_and_changes_the_picture(run, adapter_trainer):
    transformer = train._transformer(run)
    bundle = load_bundle(run.folder / "complete" / "subject", transformer)
    assert bundle.familiarity is not None
    averaged = adapter_trainer()
    averaged.load(run.folder / "complete" / "adapters.pt")
    shipped = bundle.weights.adapters.state_dict()
    for name, weight in averaged.averaged().adapters.state_dict().items():
        assert torch.equal(shipped[name], weight.half().bfloat16()), name

    cast = train.load_cast(run.folder / "held_out")
    pictures = [Image.fromarray(cut_out(cast.images[r], cast.parts[r]).picture) for r in (0, 2)]
    inputs = adapter_trainer().draw_batch(0).batch
    tokens = inputs.tokens.shape[1]
    seen = []
    with torch.no_grad():
        stock = velocity(transformer, inputs)
        for picture, scale in ((pictures[0], 1.0), (pictures[1], 1.0), (pictures[0], 0.0)):
            subject = bundle.weights.subject(bundle.encoders([picture]), scale)
            subject.begin_step(torch.tensor([500.0]))
            with subject_attention(transformer, subject, tokens):
                seen.append(velocity(transformer, inputs))
    assert torch.equal(seen[2], stock)
    assert not torch.equal(seen[0], stock) and not torch.equal(seen[0], seen[1])
    assert torch.equal(velocity(transformer, inputs), stock)


def test_views_encoded_in_training_are_those_of_the_encoders(run):
    encoders, cast = train._encoders(run), train.load_cast(run.folder / "cast")
    pictures = [cut_out(cast.images[row], cast.parts[row]).picture for row in (0, 1)]
    ours = encode_views(encoders, views_of(pictures, encoders.config))
    theirs = encoders([Image.fromarray(picture) for picture in pictures])
    for name in ("low_shallow", "low_deep", "high_deep"):
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5)


def test_interrupted_encoders_end_like_uninterrupted_ones(references, tmp_path):
    straight = EncoderTrainer(RECIPE, references, CPU)
    losses = [straight.step() for _ in range(4)]
    broken = EncoderTrainer(RECIPE, references, CPU)
    assert [broken.step() for _ in range(2)] == losses[:2]
    broken.save(tmp_path / "encoders.pt")
    resumed = EncoderTrainer(RECIPE, references, CPU)
    resumed.load(tmp_path / "encoders.pt")
    assert [resumed.step() for _ in range(2)] == losses[2:]
    assert_same_weights(straight, resumed)


def test_interrupted_adapters_end_like_uninterrupted_ones(adapter_trainer, tmp_path):
    """Through all three phases, guidance included."""
    straight = adapter_trainer()
    losses = [straight.step() for _ in range(RECIPE.steps)]
    broken = adapter_trainer()
    assert [broken.step() for _ in range(3)] == losses[:3]
    broken.save(tmp_path / "adapters.pt")
    resumed = adapter_trainer()
    resumed.load(tmp_path / "adapters.pt")
    assert [resumed.step() for _ in range(3)] == losses[3:]
    assert_same_weights(straight, resumed)


def test_encoders_learn_a_few_references(references):
    trainer = EncoderTrainer(replace(RECIPE, encoder_steps=40), references, CPU)
    few = references.training(0, 4)
    trainer._source.training = lambda *_: few
    losses = [trainer.step() for _ in range(40)]
    for name in ("looks", "parts"):
        assert losses[-1][name] < 0.7 * losses[0][name], name


class OnePair:
    """A source that gives one batch again and again."""

    def __init__(self, pair):
        self.pair = pair

    def training(self, *_):
        return self.pair


def test_adapters_learn_the_look_of_a_reference(adapter_trainer, pairs):
    """Without a prompt, from the same noise, the references alone say which picture is which."""
    recipe = replace(
        RECIPE, steps=40, batch=2, targets=1, guided_share=0.0, muon_rate=0.05, adam_rate=0.01
    )
    pair = pairs.training(3, recipe, Phase("unpaired", "low", 1.0), 0.0)
    sequence, pooled = pairs._sources["full"].without_prompt()
    clean = pair.batch.tokens - pair.batch.times[:, None, None] * pair.batch.velocity
    noise = torch.randn(clean[:1].shape, generator=torch.Generator().manual_seed(0))
    times = torch.full((2,), 0.9)
    batch = replace(
        pair.batch,
        tokens=torch.lerp(clean, noise.expand_as(clean), times[:, None, None]),
        velocity=noise - clean,
        times=times,
        sequence=sequence.expand_as(pair.batch.sequence),
        pooled=pooled.expand_as(pair.batch.pooled),
    )
    pair = replace(pair, batch=batch)
    trainer = adapter_trainer(recipe, OnePair(pair))
    before = trainer.loss(pair).item()
    for _ in range(40):
        trainer.step()
    own = trainer.loss(pair).item()
    other = trainer.loss(replace(pair, reference=pair.reference.flip(0))).item()
    assert own < 0.85 * before
    assert other - own > 0.1 * (before - own)


def test_new_adapters_add_nothing(adapter_trainer):
    trainer = adapter_trainer()
    pair = trainer.draw_batch(0)
    predicted = trainer.predict(
        pair.batch, trainer.features(pair.views), pair.reference, trainer.adapted
    )
    assert torch.equal(predicted, velocity(trainer.transformer, pair.batch))


def test_guidance_strengthens_what_the_reference_changes(adapter_trainer):
    trainer = adapter_trainer()
    for _ in range(3):
        trainer.step()
    pair = trainer.draw_batch(0)
    batch = replace(pair.batch, guidance=torch.tensor([1.0, 3.0, 1.0, 1.0]))
    features = trainer.features(pair.views)
    targets = trainer.targets(replace(pair, batch=batch), features)
    plain = replace(batch, guidance=torch.ones(4))
    with torch.no_grad():
        with_reference = trainer.predict(plain, features, pair.reference, trainer._teacher)
        without = velocity(trainer.transformer, plain)
        guided = velocity(trainer.transformer, batch)
    expected = guided + 3 * (with_reference - without)
    for row in (0, 2, 3):
        assert torch.equal(targets[row], batch.velocity[row])
    assert (targets[1] - expected[1]).abs().max() < 0.1 * expected[1].abs().max()  # bfloat16


def test_before_anything_is_learnt_guidance_is_the_transformers_own(adapter_trainer):
    trainer = adapter_trainer()
    pair = trainer.draw_batch(0)
    batch = replace(pair.batch, guidance=torch.full((4,), 2.5))
    targets = trainer.targets(replace(pair, batch=batch), trainer.features(pair.views))
    assert torch.equal(targets, velocity(trainer.transformer, batch))


def test_processes_share_references_and_their_targets(pairs):
    recipe = replace(RECIPE, batch=8)
    whole = pairs.training(5, recipe, MIXED, 0.5)
    numbers = torch.arange(8).view(-1, recipe.targets)
    for rank in (0, 1):
        half = pairs.training(5, recipe, MIXED, 0.5, rank, 2)
        mine = numbers[rank::2].flatten()
        for name in ("times", "guidance", "parts", "lengths"):
            assert torch.equal(getattr(half.batch, name), getattr(whole.batch, name)[mine])
        seen = whole.views.low[whole.reference[mine]]
        assert torch.equal(half.views.low[half.reference], seen)


@pytest.mark.parametrize(
    ("progress", "name", "tokens"),
    [(0.0, "unpaired", 16), (0.2, "paired", 16), (0.9, "mixed", 256)],
)
def test_the_three_phases_render_what_they_say(pairs, progress, name, tokens):
    phase = phase_at(progress, RECIPE)
    assert phase.name == name
    assert pairs.training(0, RECIPE, phase, 0.0).batch.tokens.shape[1] == tokens
    shown, rendered, own = pairs._choose(np.random.default_rng(0), 60, 2, phase)
    same = (shown[:, None] == rendered.reshape(-1, 2)).all(1)
    assert (same == own).all()
    assert (shown[:, None] // 2 == rendered.reshape(-1, 2) // 2).all()
    assert {"unpaired": same.all(), "paired": not same.any(), "mixed": 0 < same.sum() < 60}[name]


def test_a_part_of_the_projector_can_be_left_out(run):
    train.main(arguments(run.folder, run.model, "--without", "time", "region"))
    folder = run.folder / "without-time-region" / "subject"
    bundle = load_bundle(folder, train._transformer(run))
    config = bundle.weights.projector.config
    assert config.use_low_level and not config.use_time and not config.use_region
    assert (run.folder / "complete" / "subject").exists()


def test_a_training_starts_from_trained_weights(run, tmp_path):
    subject = run.folder / "complete" / "subject"
    train.main(arguments(tmp_path, run.model, "--init", str(subject), "--steps", "1"))
    ours = train._encoders(run).state_dict()
    kept = train._encoders(replace(run, folder=tmp_path)).state_dict()
    assert all(torch.equal(kept[name], value.half().float()) for name, value in ours.items())
    with pytest.raises(SystemExit):
        train.main(arguments(tmp_path, run.model, "--init", str(subject), "--without", "time"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_fits_into_twenty_five_megabytes(name):
    recipe = RECIPES[name]
    transformer = build_transformer(recipe.miniature.sizes)
    weights = build_instant_character(recipe, transformer)
    parts = (build_encoders(recipe.sizes), weights.projector, weights.adapters)
    numbers = sum(parameter.numel() for part in parts for parameter in part.parameters())
    familiarity = (8 * recipe.sizes.width) ** 2
    assert 2 * (numbers + familiarity) <= 24 * 2**20  # float16, and a little for configurations


def test_every_process_has_a_reference_of_both_batches():
    assert CharacterRecipe(batch=32, targets=2, encoder_batch=48).most_processes == 16
    assert CharacterRecipe(batch=32, targets=1, encoder_batch=16).most_processes == 8


def test_sizes_and_recipes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no multiple of the patch"):
        CharacterSizes(side=100)
    with pytest.raises(ValueError, match="cannot share 96 channels"):
        CharacterSizes(encoder_heads=7)
    with pytest.raises(ValueError, match="pictures cannot be left out"):
        CharacterRecipe(without=frozenset({"pictures"}))
    with pytest.raises(ValueError, match="3 for each reference"):
        CharacterRecipe(targets=3)
