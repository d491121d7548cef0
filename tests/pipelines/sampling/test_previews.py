"""Previews of frames: their frames, steps and sizes, and how true the pictures are."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from evaluation.drawn.scenes import draw_frame
from evaluation.suite import read_suite
from miniature.model.latent_map import as_values, load_latent_map
from pipelines.consistency.frame_pass import FramePass
from pipelines.events import FrameDone, MaskFound, PipelineEvent, Preview, StepDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading.previews import find_previews
from pipelines.models.catalog import FLUX1_DEV, FLUX1_SCHNELL, MINIATURE, find_model
from pipelines.request import FrameRequest, Prompt, RenderBudget, RenderRequest
from pipelines.sampling.context import RenderContext
from pipelines.sampling.denoiser import Guidance
from pipelines.sampling.previews import (
    LARGEST_SIDE,
    Previews,
    RenderPreviews,
    linear_decoder,
    tiny_decoder,
)
from pipelines.sampling.schedule import step_plan
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline

SUITE = Path(__file__).resolve().parents[3] / "assets" / "evaluation" / "suite-v1.json"
BANK = RenderBudget(order="bank")
LOCKSTEP = RenderBudget(order="lockstep")
NOTHING_KEPT = RenderBudget(order="lockstep", device_bytes=0)
ORDERS = {"bank": BANK, "lockstep": LOCKSTEP, "nothing kept": NOTHING_KEPT}


class Enlarged:
    """Shows three channels of latents as they are, and keeps them."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, latents: Tensor) -> Tensor:
        self.seen.append(latents)
        return torch.nn.functional.interpolate(latents[:, :3], scale_factor=8)


def story(steps: int = 8, targets: tuple[str, ...] = ("a", "b", "c")) -> RenderRequest:
    frames = tuple(
        FrameRequest(
            name,
            Prompt("on the beach,", "a girl in a red hat,", action),
            seed=5,
            width=96,
            height=64,
            identity_from=who,
            background_from=who,
        )
        for name, action, who in (("a", "runs", None), ("b", "waves", "a"), ("c", "sits", "a"))
    )
    return RenderRequest(model="tiny", frames=frames, targets=targets, steps=steps)


@pytest.fixture(scope="module")
def pipeline() -> FluxStoryboardPipeline:
    return tiny_pipeline()


def rendered(
    pipeline: FluxStoryboardPipeline,
    request: RenderRequest,
    previews: Previews | None,
    budget: RenderBudget = BANK,
) -> list[PipelineEvent]:
    stream = pipeline.stream(
        request, RenderContext(max_sequence_length=SEQUENCE, budget=budget, previews=previews)
    )
    return list(stream)


def steps_shown(events: list[PipelineEvent], frame_id: str) -> list[tuple[str, int]]:
    """Phase and step of a frame after which there was a preview."""
    of_frame = [e for e in events if isinstance(e, StepDone | Preview) and e.frame_id == frame_id]
    shown = []
    for event, following in zip(of_frame, of_frame[1:], strict=False):
        if isinstance(following, Preview):
            assert isinstance(event, StepDone)
            shown.append((event.phase, event.step))
    return shown


@pytest.mark.parametrize("order", ORDERS)
def test_targets_are_shown_every_so_many_steps_of_their_render_pass(pipeline, order):
    previews = Previews(Enlarged(), every=3, seconds=0)
    events = rendered(pipeline, story(steps=12), previews, ORDERS[order])
    for name in "abc":
        assert steps_shown(events, name) == [("render", 3), ("render", 6), ("render", 9)]
        kinds = [type(e) for e in events if getattr(e, "frame_id", None) == name]
        assert kinds[-1] is FrameDone
    assert any(isinstance(e, MaskFound) and e.phase == "probe" for e in events)
    pictures = [e.image for e in events if isinstance(e, Preview)]
    assert {(p.size, p.mode) for p in pictures} == {((96, 64), "RGB")}


@pytest.mark.parametrize("order", ORDERS)
def test_rendered_frames_are_the_same_to_the_bit(pipeline, order):
    plain, shown = (
        {
            event.frame_id: np.asarray(event.image)
            for event in rendered(pipeline, story(), previews, ORDERS[order])
            if isinstance(event, FrameDone)
        }
        for previews in (None, Previews(Enlarged(), seconds=0))
    )
    assert plain.keys() == shown.keys() == {"a", "b", "c"}
    assert all(np.array_equal(plain[name], shown[name]) for name in plain)


def test_frames_that_are_only_sources_are_not_shown(pipeline):
    events = rendered(pipeline, story(targets=("b",)), Previews(Enlarged(), seconds=0))
    assert {e.frame_id for e in events if isinstance(e, StepDone)} == {"a", "b"}
    assert {e.frame_id for e in events if isinstance(e, Preview)} == {"b"}


def test_no_frame_is_shown_more_often_than_it_may_be(pipeline):
    previews = Previews(Enlarged(), every=1, seconds=1000)
    events = rendered(pipeline, story(), previews, LOCKSTEP)
    assert sorted(e.frame_id for e in events if isinstance(e, Preview)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("steps", "shown"),
    [(1, []), (2, [1]), (4, [1, 2, 3]), (8, [2, 4, 6]), (50, [*range(4, 50, 4)])],
)
def test_short_schedules_are_shown_more_often(steps, shown):
    times = RenderPreviews(Previews(Enlarged(), seconds=0), ["a"])
    done = [StepDone("a", "render", step, steps, step, steps) for step in range(1, steps + 1)]
    assert [event.step for event in done if times.due(event)] == shown
    assert not any(times.due(event) for event in done)  # a later pass of it is a source alone


def test_what_is_shown_is_where_the_velocity_leads(pipeline):
    """The clean latents that `denoise` estimates, x_0 = x_i - sigma_i v_i."""
    wanted, shown = story(steps=6, targets=("a",)), Enlarged()
    rendered(pipeline, wanted, Previews(shown, every=1, seconds=0))
    inputs = pipeline.prepare(wanted.frames[0], SEQUENCE)
    plan = step_plan(6, wanted.consistency, wanted.shortcuts)
    assert len(shown.seen) == 5
    for step, seen in enumerate(shown.seen, 1):
        frame_pass = FramePass(plan, inputs.prompt.text, (4, 6), 4, torch.device("cpu"))
        guidance = Guidance(wanted.guidance_scale)
        *_, expected = pipeline.denoise(inputs, frame_pass, guidance, step)
        torch.testing.assert_close(seen, pipeline.unpack(expected, 64, 96), atol=1e-5, rtol=0)


def test_pictures_are_small_and_keep_their_shape():
    wide = torch.zeros(1, 3, 96, 128)
    wide[:, 0] = 2.0  # beyond what a picture holds
    image = Previews(Enlarged()).picture(wide)
    assert image.size == (LARGEST_SIDE, LARGEST_SIDE * 3 // 4)
    assert image.getpixel((200, 100)) == (255, 128, 128)


@pytest.fixture(scope="module")
def drawn() -> Tensor:
    """Pictures of the miniature's world, values in [-1, 1], shape (6, 3, 256, 256)."""
    cases = read_suite(SUITE).characters[:6]
    return as_values(np.stack([draw_frame(case, 0) for case in cases]))


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Of pictures, on average over their pixels' values, in steps of 255."""
    return 127.5 * (one.clamp(-1, 1) - other.clamp(-1, 1)).abs().flatten(1).mean(1)


@torch.no_grad()
def test_the_miniatures_map_shows_nearly_what_its_autoencoder_does(drawn, miniature_folder):
    vae = AutoencoderKL.from_pretrained(miniature_folder / "vae").eval()
    latent_map = load_latent_map(miniature_folder / "vae")
    pipeline = tiny_pipeline()
    pipeline.vae = vae
    previews = find_previews(MINIATURE, pipeline)
    assert previews is not None
    latents = latent_map.encode(drawn)
    shown, decoded = previews.decoder(latents), vae.decode(latents).sample
    assert torch.equal(shown, latent_map.decode(latents))
    # The colours of whole blocks, all that a map of single latents to single pixels could show,
    # are 11 to 17 away; a picture of one colour is 45 away.
    assert distances(shown, decoded).max() < 8
    blocks = torch.nn.functional.avg_pool2d(drawn, 8)
    blocks = torch.nn.functional.interpolate(blocks, scale_factor=8)
    assert (distances(blocks, decoded) > 1.5 * distances(shown, decoded)).all()


def test_an_autoencoders_scale_and_shift_are_undone():
    inverse, mean = torch.randn(12, 4), torch.randn(12)
    latents = torch.randn(1, 4, 3, 5)
    plain = linear_decoder(inverse, mean, 1.0, 0.0)(latents / 0.4 + 0.1)
    assert plain.shape == (1, 3, 6, 10)
    assert torch.equal(linear_decoder(inverse, mean, 0.4, 0.1)(latents), plain)


@pytest.fixture
def flux_like() -> FluxStoryboardPipeline:
    """A pipeline whose autoencoder says of its latents what FLUX.1's says."""
    pipeline = tiny_pipeline()
    torch.manual_seed(4)
    pipeline.vae = AutoencoderKL(
        block_out_channels=(4,),
        norm_num_groups=1,
        latent_channels=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )
    return pipeline


@pytest.fixture
def taef1(tmp_path: Path) -> Path:
    """TAEF1's configuration with small random weights."""
    torch.manual_seed(5)
    tiny = AutoencoderTiny(
        latent_channels=16,
        scaling_factor=1.0,
        encoder_block_out_channels=(4, 4, 4, 4),
        decoder_block_out_channels=(4, 4, 4, 4),
    )
    tiny.save_pretrained(tmp_path / "taef1")
    return tmp_path / "taef1"


@torch.no_grad()
def test_flux_is_shown_by_a_tiny_autoencoder(flux_like, taef1):
    spec = replace(FLUX1_DEV, preview=str(taef1))
    previews = find_previews(spec, flux_like)
    assert previews is not None
    latents = torch.randn(1, 16, 8, 12)
    expected = AutoencoderTiny.from_pretrained(taef1).decode(latents).sample
    assert torch.equal(previews.decoder(latents), expected)
    assert previews.picture(latents).size == (96, 64)


@torch.no_grad()
def test_a_tiny_autoencoders_own_scale_is_undone():
    torch.manual_seed(6)
    sizes = dict(encoder_block_out_channels=(4,), decoder_block_out_channels=(4,))
    blocks = dict(num_encoder_blocks=(1,), num_decoder_blocks=(1,))
    tiny = AutoencoderTiny(scaling_factor=0.5, shift_factor=0.25, **sizes, **blocks)
    latents = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    expected = tiny.decode((latents * 2 + 0.25).float()).sample
    torch.testing.assert_close(tiny_decoder(tiny)(latents), expected)
    assert not torch.allclose(tiny_decoder(tiny)(latents * 2), expected, atol=1e-2)


def test_without_a_network_there_are_no_previews_but_a_note(flux_like, caplog):
    with caplog.at_level(logging.WARNING):
        assert find_previews(FLUX1_SCHNELL, flux_like) is None
    assert "HF_HUB_OFFLINE" in caplog.text
    assert "Rendering goes on without." in caplog.text


def test_a_damaged_file_is_noted(tmp_path, caplog):
    file = tmp_path / "latent_map.safetensors"
    file.write_bytes(b"nothing of the kind")
    with caplog.at_level(logging.WARNING):
        assert find_previews(replace(MINIATURE, preview=str(file)), tiny_pipeline()) is None
    assert str(file) in caplog.text


def test_other_models_are_not_shown_and_nothing_is_reported(flux_like, taef1, caplog):
    elsewhere = replace(FLUX1_DEV, kind="folder")  # downloads nothing
    assert find_previews(elsewhere, flux_like) is None
    other_latents = tiny_pipeline()
    assert find_previews(replace(FLUX1_DEV, preview=str(taef1)), other_latents) is None
    assert find_previews(replace(FLUX1_DEV, preview=""), flux_like) is None
    assert caplog.text == ""


def test_folders_are_shown_by_what_lies_in_them(tmp_path, miniature_folder):
    folder = Path(shutil.copytree(miniature_folder, tmp_path / "model"))
    file = folder / "vae" / "latent_map.safetensors"
    assert find_model(str(folder)).preview == str(file)
    file.unlink()
    assert find_model(str(folder)).preview == ""
