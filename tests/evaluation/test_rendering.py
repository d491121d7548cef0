"""The folder of an evaluation: its files, continuing, and rendering in several processes."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.ablation import Ablation
from evaluation.rendering import EvaluationFolder, EvaluationRun, render_in_processes
from evaluation.rows import REFERENCE_ROWS, ROWS, SuiteRow, frame_ids
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
RUN = EvaluationRun(SUITE, CASES, ROWS, MINIATURE, steps=2)
PICTURES = 9 + 7 + 1


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    folder = EvaluationFolder(RUN, tmp_path / "out")
    folder.open()
    return folder


def test_everything_is_rendered_and_kept(folder: EvaluationFolder) -> None:
    engine = FakeEngine()
    names = list(folder.render(engine, CASES))
    assert len(names) == len(set(names)) == PICTURES
    assert engine.closed == len(engine.requests) == 5
    assert [folder.missing(case) for case in CASES] == [[], [], []]
    for name in names:
        with Image.open(folder.out / "pictures" / f"{name}.png") as image:
            assert image.size == (64, 64)
        with Image.open(folder.out / "masks" / f"{name}.png") as mask:
            assert mask.size == (4, 4)
            assert np.asarray(mask).astype(bool).sum() == 1
    record = json.loads((folder.out / "pictures" / "c01" / "merge-2.json").read_text("utf-8"))
    assert record == {
        "prompt": "the forest, a girl in red hat, runs",
        "seed": 1,
        "seconds": 0.5,
        "matches": 3,
    }


def test_a_stopped_evaluation_continues(folder: EvaluationFolder) -> None:
    stopped = FakeEngine()
    rendering = folder.render(stopped, CASES)
    done = [next(rendering) for _ in range(6)]
    rendering.close()
    assert stopped.closed == len(stopped.requests)
    again = EvaluationFolder(RUN, folder.out)
    again.open()
    rest = list(again.render(FakeEngine(), CASES))
    assert len(rest) == PICTURES - 6
    assert not set(done) & set(rest)
    assert list(again.render(FakeEngine(), CASES)) == []


def test_a_row_has_the_identity_frame_first(folder: EvaluationFolder) -> None:
    list(folder.render(FakeEngine(), CASES))
    place = folder.row(ROWS[-1], CASES[:2])
    assert list(place.pictures) == ["c01"]
    stems = [picture.path.stem for picture in place.pictures["c01"]]
    assert stems == ["identity", "place-2", "place-3"]
    assert {picture.seconds for picture in place.pictures["c01"]} == {0.5}
    plain = folder.row(ROWS[0], CASES[:2])
    assert list(plain.pictures) == ["c01", "c02"]
    assert plain.pictures["c01"][0] == place.pictures["c01"][0]


def test_pictures_of_another_setting_are_not_mixed_in(folder: EvaluationFolder) -> None:
    EvaluationFolder(replace(RUN, rows=ROWS[:1], cases=CASES[:1]), folder.out).open()
    with pytest.raises(UserError, match="another suite, model or setting.*--out"):
        EvaluationFolder(replace(RUN, steps=3), folder.out).open()
    hotter = replace(MINIATURE, true_cfg_scale=9.0)
    with pytest.raises(UserError, match="another suite, model or setting"):
        EvaluationFolder(replace(RUN, spec=hotter), folder.out).open()


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
        EvaluationFolder(RUN, tmp_path).open()
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ProjectError, match="not a throughline evaluation"):
        EvaluationFolder(RUN, tmp_path).open()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        EvaluationFolder(RUN, tmp_path / "file" / "out").open()


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder)
    return folder


UPLOAD = Image.new("RGB", (40, 40), "red")
REFERENCE = Reference(UPLOAD, UPLOAD, Image.new("L", (40, 40), 255))
KNOWN = replace(CASES[1], name="r01", reference=SuiteReference(3, {}))


def known_run(folder: Path, *rows: SuiteRow) -> EvaluationRun:
    suite = replace(SUITE, characters=(KNOWN,), prompts=())
    return EvaluationRun(suite, (KNOWN,), rows, find_model(str(folder)), 2, {"r01": REFERENCE})


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path / "model")
    return tmp_path / "model"


def test_frames_are_conditioned_on_the_references_in_the_folder(
    tmp_path: Path, model_folder: Path
) -> None:
    folder = EvaluationFolder(known_run(model_folder, *REFERENCE_ROWS), tmp_path / "out")
    folder.open()
    assert folder.references.image(REFERENCE.name).getpixel((0, 0)) == (255, 0, 0)
    engine = FakeEngine()
    names = list(pickle.loads(pickle.dumps(folder)).render(engine, (KNOWN,)))  # as in a process
    assert len(names) == len(set(names)) == 3 + 2 + 3 + 2
    assert engine.pictures == [folder.references.folder]
    (request,) = engine.requests
    assert request.references == {REFERENCE.name}
    stems = [
        picture.path.stem for picture in folder.row(REFERENCE_ROWS[-1], [KNOWN]).pictures["r01"]
    ]
    assert stems == ["identity-reference", "both-2", "both-3"]
    record = json.loads((tmp_path / "out/pictures/r01/both-2.json").read_text("utf-8"))
    assert record["reference"] == REFERENCE.name


@pytest.mark.parametrize(("doubt", "doubted"), [("", []), ("unlike all", ["r01"])])
def test_references_that_the_model_doubts_are_remembered(
    doubt: str, doubted: list[str], tmp_path: Path, model_folder: Path
) -> None:
    folder = EvaluationFolder(known_run(model_folder, *REFERENCE_ROWS), tmp_path / "out")
    folder.open()
    list(folder.render(FakeEngine(doubt=doubt), (KNOWN,)))
    assert EvaluationFolder(folder.run, folder.out).doubted() == doubted
    assert (
        EvaluationFolder(replace(folder.run, rows=REFERENCE_ROWS[:2]), folder.out).doubted() == []
    )


def test_each_model_is_used_in_one_run(tmp_path: Path, model_folder: Path) -> None:
    models = tmp_path / "out" / "models"
    ablations = [Ablation(name, model_folder / "subject").row(models) for name in ("a", "b")]
    run = known_run(model_folder, REFERENCE_ROWS[2], *ablations)
    other = replace(KNOWN, name="r02")
    run = replace(run, cases=(KNOWN, other), references={"r01": REFERENCE, "r02": REFERENCE})
    folder = EvaluationFolder(run, tmp_path / "out")
    folder.open()
    engine = FakeEngine()
    assert len(list(folder.render(engine, run.cases))) == 2 * 3 * 3
    used = [request.model for request in engine.requests]
    assert len(used) == 6 and len(set(used)) == 3
    assert used == sorted(used)
    assert str(models / "a") in used and (models / "a" / "subject" / "config.json").is_file()


def test_pictures_of_another_bundle_are_not_mixed_in(tmp_path: Path, model_folder: Path) -> None:
    none, _, reference, _ = REFERENCE_ROWS
    EvaluationFolder(known_run(model_folder, none), tmp_path / "out").open()
    EvaluationFolder(known_run(model_folder, reference), tmp_path / "out").open()  # one more
    EvaluationFolder(known_run(model_folder, none), tmp_path / "out").open()
    with pytest.raises(UserError, match="another suite, model or setting"):
        EvaluationFolder(replace(RUN, spec=find_model(str(model_folder))), tmp_path / "out").open()
    weights = model_folder / "subject" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="another suite, model or setting"):
        EvaluationFolder(known_run(model_folder, reference), tmp_path / "out").open()


def test_two_processes_render_everything(tmp_path: Path, tiny_folder: Path) -> None:
    run = replace(RUN, spec=find_model(str(tiny_folder)), rows=ROWS[:2])
    folder = EvaluationFolder(run, tmp_path / "out")
    folder.open()
    names = list(render_in_processes(folder, Settings(device="cpu", dtype="float32"), 2))
    expected = [f"{c.name}/{i}" for c in CASES for i in frame_ids(c, run.rows)]
    assert sorted(names) == sorted(expected)
    assert not any(folder.missing(case) for case in CASES)
    assert list(render_in_processes(folder, Settings(), 2)) == []


def test_a_fault_in_a_process_reaches_the_caller(tmp_path: Path, tiny_folder: Path) -> None:
    spec = replace(find_model(str(tiny_folder)), name=str(tmp_path / "gone" / "away"))
    folder = EvaluationFolder(replace(RUN, spec=spec, cases=CASES[2:]), tmp_path / "out")
    folder.open()
    with pytest.raises(UserError, match="There is no model"):
        list(render_in_processes(folder, Settings(device="cpu"), 2))


def test_a_process_that_dies_is_noticed(tmp_path: Path) -> None:
    odd = replace(RUN, suite=replace(SUITE, width=40), cases=CASES[2:])  # no size for a request
    folder = EvaluationFolder(odd, tmp_path / "out")
    folder.open()
    with pytest.raises(UserError, match="ended early"):
        list(render_in_processes(folder, Settings(device="cpu"), 1))
