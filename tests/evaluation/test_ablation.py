"""Ablations: what is typed, and the model folder that has another bundle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluation.ablation import Ablation, make_model, parse_ablation
from pipelines.errors import UserError
from pipelines.models.catalog import FLUX1_DEV, find_model
from tests.pipelines.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder)
    bundle_of(folder / "subject", "{}")
    return folder


def bundle_of(folder: Path, config: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(config, encoding="utf-8")
    return folder


def test_a_name_and_a_folder_make_a_row(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "bundle", "{}")
    ablation = parse_ablation(f"without the Time resampler={bundle}")
    assert ablation == Ablation("without the Time resampler", bundle)
    row = ablation.row(tmp_path / "models")
    assert (row.name, row.title) == (
        "without-the-time-resampler",
        "reference, without the Time resampler",
    )
    assert not row.consistent and row.conditioning is not None
    assert row.conditioning.bundle == bundle
    assert row.conditioning.model == str(tmp_path / "models" / "without-the-time-resampler")


def test_what_is_no_ablation_is_refused(tmp_path: Path) -> None:
    for text in ("without time", f"={tmp_path}", f"../time={tmp_path}", "time="):
        with pytest.raises(ValueError, match="is not NAME=FOLDER"):
            parse_ablation(text)
    with pytest.raises(ValueError, match="is no subject folder: it has no config.json"):
        parse_ablation(f"without time={tmp_path}")


@pytest.mark.parametrize("links", [True, False])
def test_the_model_is_the_same_but_for_its_bundle(
    links: bool, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:  # as on systems that let only administrators make them

        def refuse(*_: object, **__: object) -> None:
            raise OSError("no privilege")

        monkeypatch.setattr(Path, "symlink_to", refuse)
    bundle = bundle_of(tmp_path / "bundle", '{"other": 1}')
    folder = tmp_path / "out" / "models" / "ablated"
    for _ in range(2):  # an older one is replaced
        make_model(find_model(str(model)), bundle, folder)
    assert (folder / "subject" / "config.json").read_text("utf-8") == '{"other": 1}'
    assert (model / "subject" / "config.json").read_text("utf-8") == "{}"
    assert {path.name for path in folder.iterdir()} == {path.name for path in model.iterdir()}
    assert os.path.islink(folder / "transformer") == links
    own, other = find_model(str(model)), find_model(str(folder))
    assert own.character_adapter is not None and other.character_adapter is not None
    assert (other.steps, other.width, other.weights_bytes) == (
        own.steps,
        own.width,
        own.weights_bytes,
    )


def test_a_model_that_is_not_here_has_no_other_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Ablations need a model in a folder"):
        make_model(FLUX1_DEV, tmp_path, tmp_path / "out")
    (tmp_path / "file").write_text("", encoding="utf-8")
    local = find_model("miniature")
    with pytest.raises(UserError, match="cannot be made"):
        make_model(local, tmp_path, tmp_path / "file" / "out")
