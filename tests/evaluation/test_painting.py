"""The folder of an evaluation: what it keeps, how it goes on, and painting side by side."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.ablation import Ablation
from evaluation.painting import Gallery, Run, paint_side_by_side
from evaluation.rows import REFERENCE_ROWS, ROWS, Row, frame_ids
from evaluation.suite import SUITE_VERSION, Suite, SuiteCharacter, SuiteFrame, SuiteReference
from pipelines.errors import UserError
from pipelines.models.catalog import MINIATURE, find_model
from pipelines.pictures import Reference
from pipelines.request import Prompt
from storyboard.errors import ProjectError
from storyboard.settings import Settings
from tests.pipelines.tiny import tiny_pipeline
from tests.pipelines.tiny_character import save_tiny_model
from tests.storyboard.fakes import FakeEngine

pytestmark = pytest.mark.slow

FRAMES = tuple(
    SuiteFrame(Prompt("the forest,", "a girl in red hat,", action), seed, {}, ())
    for seed, action in enumerate(("waves", "runs", "sits"))
)
CASES = (
    SuiteCharacter("c01", {}, (), True, FRAMES),
    SuiteCharacter("c02", {}, (), False, FRAMES),
    SuiteCharacter("p001", {}, (), False, FRAMES[:1]),
)
SUITE = Suite(SUITE_VERSION, 64, 64, {}, CASES[:2], CASES[2:])
RUN = Run(SUITE, CASES, ROWS, MINIATURE, steps=2)
PICTURES = 9 + 7 + 1


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = Gallery(RUN, tmp_path / "out")
    gallery.open()
    return gallery


def test_everything_is_painted_and_kept(gallery: Gallery) -> None:
    engine = FakeEngine()
    names = list(gallery.paint(engine, CASES))
    assert len(names) == len(set(names)) == PICTURES
    assert engine.closed == len(engine.requests) == 5
    assert [gallery.missing(case) for case in CASES] == [[], [], []]
    for name in names:
        with Image.open(gallery.out / "pictures" / f"{name}.png") as image:
            assert image.size == (64, 64)
        with Image.open(gallery.out / "masks" / f"{name}.png") as mask:
            assert mask.size == (4, 4)
            assert np.asarray(mask).astype(bool).sum() == 1
    record = json.loads((gallery.out / "pictures" / "c01" / "merge-2.json").read_text("utf-8"))
    assert record == {
        "prompt": "the forest, a girl in red hat, runs",
        "seed": 1,
        "seconds": 0.5,
        "matches": 3,
    }


def test_a_stopped_evaluation_goes_on_where_it_was(gallery: Gallery) -> None:
    stopped = FakeEngine()
    painting = gallery.paint(stopped, CASES)
    done = [next(painting) for _ in range(6)]
    painting.close()
    assert stopped.closed == len(stopped.requests)
    again = Gallery(RUN, gallery.out)
    again.open()
    rest = list(again.paint(FakeEngine(), CASES))
    assert len(rest) == PICTURES - 6
    assert not set(done) & set(rest)
    assert list(again.paint(FakeEngine(), CASES)) == []


def test_a_row_has_the_identity_frame_first(gallery: Gallery) -> None:
    list(gallery.paint(FakeEngine(), CASES))
    place = gallery.row(ROWS[-1], CASES[:2])
    assert list(place.pictures) == ["c01"]
    stems = [picture.path.stem for picture in place.pictures["c01"]]
    assert stems == ["identity", "place-2", "place-3"]
    assert {picture.seconds for picture in place.pictures["c01"]} == {0.5}
    plain = gallery.row(ROWS[0], CASES[:2])
    assert list(plain.pictures) == ["c01", "c02"]
    assert plain.pictures["c01"][0] == place.pictures["c01"][0]


def test_pictures_of_another_setting_are_not_mixed_in(gallery: Gallery) -> None:
    Gallery(replace(RUN, rows=ROWS[:1], cases=CASES[:1]), gallery.out).open()
    with pytest.raises(UserError, match="another suite, model or setting.*--out"):
        Gallery(replace(RUN, steps=3), gallery.out).open()
    hotter = replace(MINIATURE, true_cfg_scale=9.0)
    with pytest.raises(UserError, match="another suite, model or setting"):
        Gallery(replace(RUN, spec=hotter), gallery.out).open()


def test_other_weights_are_another_model(tmp_path: Path, tiny_folder: Path) -> None:
    run = replace(RUN, spec=find_model(str(tiny_folder)))
    record = run.record()
    weights = tiny_folder / "transformer" / "diffusion_pytorch_model.safetensors"
    old = weights.read_bytes()
    weights.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
    changed = run.record()
    weights.write_bytes(old)
    assert record["weights"] != changed["weights"]
    assert run.record() == record


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="no evaluation"):
        Gallery(RUN, tmp_path).open()
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ProjectError, match="not a throughline evaluation"):
        Gallery(RUN, tmp_path).open()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        Gallery(RUN, tmp_path / "file" / "out").open()


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder)
    return folder


UPLOAD = Image.new("RGB", (40, 40), "red")
REFERENCE = Reference(UPLOAD, UPLOAD, Image.new("L", (40, 40), 255))
KNOWN = replace(CASES[1], name="r01", reference=SuiteReference(3, {}))


def known_run(folder: Path, *rows: Row) -> Run:
    suite = replace(SUITE, characters=(KNOWN,), prompts=())
    return Run(suite, (KNOWN,), rows, find_model(str(folder)), 2, {"r01": REFERENCE})


@pytest.fixture
def following_folder(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def test_frames_follow_the_references_in_the_folder(tmp_path: Path, following_folder: Path) -> None:
    gallery = Gallery(known_run(following_folder, *REFERENCE_ROWS), tmp_path / "out")
    gallery.open()
    assert gallery.references.image(REFERENCE.name).getpixel((0, 0)) == (255, 0, 0)
    engine = FakeEngine()
    names = list(pickle.loads(pickle.dumps(gallery)).paint(engine, (KNOWN,)))  # as in a process
    assert len(names) == len(set(names)) == 3 + 2 + 3 + 2
    assert engine.pictures == [gallery.references.folder]
    (request,) = engine.requests
    assert request.references == {REFERENCE.name}
    stems = [
        picture.path.stem for picture in gallery.row(REFERENCE_ROWS[-1], [KNOWN]).pictures["r01"]
    ]
    assert stems == ["identity-reference", "both-2", "both-3"]
    record = json.loads((tmp_path / "out/pictures/r01/both-2.json").read_text("utf-8"))
    assert record["reference"] == REFERENCE.name


@pytest.mark.parametrize(("doubt", "doubted"), [("", []), ("unlike all", ["r01"])])
def test_references_that_the_model_doubts_are_remembered(
    doubt: str, doubted: list[str], tmp_path: Path, following_folder: Path
) -> None:
    gallery = Gallery(known_run(following_folder, *REFERENCE_ROWS), tmp_path / "out")
    gallery.open()
    list(gallery.paint(FakeEngine(doubt=doubt), (KNOWN,)))
    assert Gallery(gallery.run, gallery.out).doubted() == doubted
    assert Gallery(replace(gallery.run, rows=REFERENCE_ROWS[:2]), gallery.out).doubted() == []


def test_each_model_is_painted_with_once(tmp_path: Path, following_folder: Path) -> None:
    models = tmp_path / "out" / "models"
    ablations = [Ablation(name, following_folder / "subject").row(models) for name in ("a", "b")]
    run = known_run(following_folder, REFERENCE_ROWS[2], *ablations)
    other = replace(KNOWN, name="r02")
    run = replace(run, cases=(KNOWN, other), references={"r01": REFERENCE, "r02": REFERENCE})
    gallery = Gallery(run, tmp_path / "out")
    gallery.open()
    engine = FakeEngine()
    assert len(list(gallery.paint(engine, run.cases))) == 2 * 3 * 3
    painted = [request.model for request in engine.requests]
    assert len(painted) == 6 and len(set(painted)) == 3
    assert painted == sorted(painted)
    assert str(models / "a") in painted and (models / "a" / "subject" / "config.json").is_file()


def test_pictures_of_another_bundle_are_not_mixed_in(
    tmp_path: Path, following_folder: Path
) -> None:
    none, _, reference, _ = REFERENCE_ROWS
    Gallery(known_run(following_folder, none), tmp_path / "out").open()
    Gallery(known_run(following_folder, reference), tmp_path / "out").open()  # one more is fine
    Gallery(known_run(following_folder, none), tmp_path / "out").open()
    with pytest.raises(UserError, match="another suite, model or setting"):
        Gallery(replace(RUN, spec=find_model(str(following_folder))), tmp_path / "out").open()
    weights = following_folder / "subject" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="another suite, model or setting"):
        Gallery(known_run(following_folder, reference), tmp_path / "out").open()


def test_two_processes_paint_everything(tmp_path: Path, tiny_folder: Path) -> None:
    run = replace(RUN, spec=find_model(str(tiny_folder)), rows=ROWS[:2])
    gallery = Gallery(run, tmp_path / "out")
    gallery.open()
    names = list(paint_side_by_side(gallery, Settings(device="cpu", dtype="float32"), 2))
    expected = [f"{c.name}/{i}" for c in CASES for i in frame_ids(c, run.rows)]
    assert sorted(names) == sorted(expected)
    assert not any(gallery.missing(case) for case in CASES)
    assert list(paint_side_by_side(gallery, Settings(), 2)) == []


def test_a_fault_in_a_process_reaches_the_caller(tmp_path: Path, tiny_folder: Path) -> None:
    spec = replace(find_model(str(tiny_folder)), name=str(tmp_path / "gone" / "away"))
    gallery = Gallery(replace(RUN, spec=spec, cases=CASES[2:]), tmp_path / "out")
    gallery.open()
    with pytest.raises(UserError, match="There is no model"):
        list(paint_side_by_side(gallery, Settings(device="cpu"), 2))


def test_a_process_that_dies_is_noticed(tmp_path: Path) -> None:
    odd = replace(RUN, suite=replace(SUITE, width=40), cases=CASES[2:])  # no size for a request
    gallery = Gallery(odd, tmp_path / "out")
    gallery.open()
    with pytest.raises(UserError, match="ended early"):
        list(paint_side_by_side(gallery, Settings(device="cpu"), 1))
