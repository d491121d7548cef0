"""The benchmark of speed: its tables of given seconds, and every section at a tiny size."""

from __future__ import annotations

import re

import pytest
import torch
from diffusers import FluxTransformer2DModel

from benchmarks import measuring, speed
from benchmarks.block_attention import SharingBlock
from benchmarks.measuring import Cost
from benchmarks.random_models import SHAPES, open_model
from benchmarks.speed import PLAIN, PUBLISHED, STORYBOARD_HEAD, Rounds
from evaluation import results
from pipelines.request import RenderBudget

CPU = torch.device("cpu")
TINY = ["--model", "tiny", "--device", "cpu", "--frames", "2", "--steps", "4", "--repeats", "2"]


def cells(table: str) -> list[list[str]]:
    """The cells of the only table in a text, head first, without the rule."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == len(rows[0]) for row in rows)
    return [rows[0], *rows[2:]]


def test_the_table_is_computed_from_seconds():
    def costs(*seconds: float, evaluations: int, latent: float, peak: int | None) -> list[Cost]:
        latents = (torch.full((1, 2, 3), latent),)
        return [Cost(one, evaluations, peak, latents) for one in seconds]

    rounds = Rounds(
        {
            PLAIN: costs(9.0, 10.0, 11.0, evaluations=100, latent=0.0, peak=10**10),
            "ours": costs(12.0, 12.0, 11.0, evaluations=120, latent=1.0, peak=2 * 10**10),
            PUBLISHED: costs(15.0, 14.0, 20.0, evaluations=125, latent=1.5, peak=None),
        }
    )
    assert [dict(zip(STORYBOARD_HEAD, row, strict=True)) for row in rounds.rows()] == [
        {
            "way": PLAIN,
            "seconds": "10.00 (9.00 to 11.00)",
            "ratio to plain": "1.000 (1.000 to 1.000)",
            "evaluations": "100",
            "s an evaluation": "0.1000",
            "peak GPU GB": "10.00",
            "latents differ by": "–",
        },
        {
            "way": "ours",
            "seconds": "12.00 (11.00 to 12.00)",
            "ratio to plain": "1.200 (1.000 to 1.333)",
            "evaluations": "120",
            "s an evaluation": "0.1000",
            "peak GPU GB": "20.00",
            "latents differ by": "–",
        },
        {
            "way": PUBLISHED,
            "seconds": "15.00 (14.00 to 20.00)",
            "ratio to plain": "1.500 (1.400 to 1.818)",
            "evaluations": "125",
            "s an evaluation": "0.1200",
            "peak GPU GB": "–",
            "latents differ by": "5.0e-01",
        },
    ]


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page of its own for every command that a test runs."""
    path = tmp_path / "RESULTS.md"
    path.write_text("# Measured\n")
    monkeypatch.setattr(results, "PAGE", path)
    return path


def test_the_storyboard_is_rendered_in_every_way(page, capsys):
    assert speed.main([*TINY, "--only", "storyboard", "--batches", "2"]) == 0
    head, *rows = cells(page.read_text())
    assert head == list(STORYBOARD_HEAD)
    assert [row[0] for row in rows] == [
        PLAIN,
        "one after another, with a bank",
        "side by side, batches of 2",
        PUBLISHED,
    ]
    # Two frames of four steps; a probe pass is of two, of which ours does not do the first again.
    assert [int(row[3]) for row in rows] == [8, 9, 9, 10]
    assert all(float(row[6]) < 1e-4 for row in rows[2:])
    assert "tokens foreground" not in page.read_text()
    assert "an ellipse of 30% of the tokens" in page.read_text()
    assert capsys.readouterr().out.count("side by side, batches of 2") == 3


def test_a_row_beside_busy_processes(page):
    assert speed.main([*TINY, "--only", "neighbours", "--batches", "2"]) == 0
    head, *rows = cells(page.read_text())
    assert head == ["way", "seconds alone", "seconds beside them", "beside / alone"]
    assert [row[0] for row in rows] == [PLAIN, "ours, side by side"]
    used = re.search(r"meanwhile other processes used (\d+\.\d) cores", page.read_text())
    assert used and float(used[1]) > 0


def test_plain_pictures_are_fluxpipelines(monkeypatch):
    """The identity frame is a plain picture: the same latents from both."""
    model = open_model("tiny", CPU, torch.float32)
    request = model.story(2, steps=4)
    plain = measuring.cost(model, measuring.plain_way(model), request)
    ours = measuring.cost(model, measuring.our_way(model, RenderBudget(order="bank")), request)
    torch.testing.assert_close(plain.latents[0], ours.latents[0], atol=1e-6, rtol=0)
    assert plain.distance(ours) > 1e-3
    assert plain.device_bytes is None


def test_other_sections_leave_tables_in_a_folder(tmp_path, page):
    out = tmp_path / "out"
    command = [*TINY, "--out", str(out), "--tokens", "16,64", "--batches", "2"]
    assert speed.main([*command, "--only", "attention", "--only", "forward"]) == 0
    attention = cells((out / "speed-tiny-attention.md").read_text())
    assert [row[:2] for row in attention[1:]] == [
        [tokens, shared]
        for tokens in ("16", "64")
        for shared in ("character", "character and place")
    ]
    forward = cells((out / "speed-tiny-forward.md").read_text())
    assert [row[0] for row in forward[1:]] == ["1", "2"]
    one, two = ([float(cell.split()[0]) for cell in row[1:]] for row in forward[1:])
    assert one[0] == one[1]
    assert two[1] == pytest.approx(two[0] / 2, abs=1e-4)
    assert page.read_text() == "# Measured\n"

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "SharingBlock", never)
        assert speed.main([*command, "--only", "attention"]) == 0


def test_compiled_blocks_have_tables_of_their_own(tmp_path, monkeypatch):
    """That they compile is `tests/pipelines/flux1/test_compiled.py`'s affair."""
    backends = []
    monkeypatch.setattr(
        FluxTransformer2DModel,
        "compile_repeated_blocks",
        lambda self, backend: backends.append(backend),
    )
    arguments = [*TINY, "--only", "compiled", "--compiler", "eager", "--out", str(tmp_path)]
    assert speed.main([*arguments, "--orders", "bank", "--repeats", "1"]) == 0
    assert backends == ["eager"]
    rows = cells((tmp_path / "speed-tiny-compiled.md").read_text())[1:]
    assert [row[0] for row in rows] == [PLAIN, "one after another, with a bank"]
    assert (tmp_path / "speed-tiny-compiled-forward.md").exists()


@pytest.mark.parametrize("background", [False, True])
def test_slices_and_dense_mask_give_the_same(background):
    block = SharingBlock(SHAPES["tiny"], 64, CPU, torch.float32, 0.3, background)
    assert list(block.calls()) == ["plain", "slices", "dense"]
    assert block.difference() < 1e-5
    calls = block.calls()
    plain = calls["plain"]()
    assert (calls["dense"]() - plain).abs().max() > 0.01
    words = SHAPES["tiny"].text_tokens
    torch.testing.assert_close(calls["dense"]()[:, :words], plain[:, :words], atol=1e-5, rtol=0)
