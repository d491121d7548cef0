"""Weights are found in every form in which they are saved, and each damaged file is named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipelines.models.weight_files import FileFault, check_file, find_weights, read_shapes

TENSORS = {"a.weight": torch.zeros(2, 3), "b.weight": torch.zeros(4)}
STEMS = [
    ("vae", "diffusion_pytorch_model", "diffusion_pytorch_model"),
    ("text_encoder", "model", "pytorch_model"),
]


def save_index(folder: Path, name: str, files: list[str]) -> None:
    weight_map = {f"{i}.weight": file for i, file in enumerate(files)}
    (folder / name).write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map})
    )


def component(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("name", "stem", "pickled"), STEMS)
def test_every_form_is_found_and_the_plainest_goes_first(tmp_path, name, stem, pickled):
    folder = component(tmp_path, name)
    forms = [
        (f"{pickled}.fp16.bin", ("fp16", False)),
        (f"{pickled}.bin", (None, False)),
        (f"{stem}.ema.safetensors", ("ema", True)),
        (f"{stem}.fp16.safetensors", ("fp16", True)),
        (f"{stem}.safetensors", (None, True)),
    ]
    for file, expected in forms:
        if file.endswith(".bin"):
            torch.save(TENSORS, folder / file)
        else:
            save_file(TENSORS, folder / file)
        found = find_weights(folder)
        assert (found.variant, found.safetensors) == expected
        assert found.files == (folder / file,)


@pytest.mark.parametrize("variant", ["", ".fp16"])
@pytest.mark.parametrize(("name", "stem", "pickled"), STEMS)
def test_shards_are_found_by_their_index(tmp_path, name, stem, pickled, variant):
    folder = component(tmp_path, name)
    shards = [f"{stem}{variant}-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for shard in shards:
        save_file(TENSORS, folder / shard)
    with pytest.raises(FileFault, match="the index of the 2 shards"):
        find_weights(folder)
    save_index(folder, f"{stem}.safetensors.index{variant}.json", shards)
    found = find_weights(folder)
    assert [file.name for file in found.files] == shards
    assert found.variant == (variant.lstrip(".") or None)
    (folder / shards[1]).unlink()
    with pytest.raises(FileFault, match=rf"{shards[1]} is missing \(1 of 2 shards") as caught:
        find_weights(folder)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize("file", ["../elsewhere.safetensors", "/etc/passwd", "..", ""])
def test_an_index_lists_files_of_its_own_folder_alone(tmp_path, file):
    folder = component(tmp_path, "transformer")
    save_index(folder, "diffusion_pytorch_model.safetensors.index.json", [file])
    with pytest.raises(FileFault, match="damaged: it lists"):
        find_weights(folder)


def test_what_a_folder_without_weights_holds_is_said(tmp_path):
    folder = component(tmp_path, "vae")
    (folder / "diffusion_pytorch_model.safetensors.part").write_bytes(b"half")
    with pytest.raises(FileFault, match=r"holds no weights.*only .*safetensors\.part") as caught:
        find_weights(folder)
    assert caught.value.reason == "missing"


def test_any_byte_that_is_missing_is_noticed(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file(TENSORS, file)
    check_file(file)
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(FileFault, match="is damaged or not completely downloaded"):
            check_file(file)


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "pointer of Git LFS",
        ),
        (b"<!DOCTYPE html><html>Access denied</html>", "web page"),
        (b" \n<html>", "web page"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "tokenizer.json"])
def test_a_file_that_stands_for_another_is_named(tmp_path, name, content, say):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFault, match=say) as caught:
        check_file(tmp_path / name)
    assert ("git lfs pull" in caught.value.remedy) == ("LFS" in say)


def test_links_are_followed_where_they_lead_somewhere(tmp_path):
    target, link = tmp_path / "blob", tmp_path / "model.safetensors"
    save_file(TENSORS, target)
    link.symlink_to(target)
    check_file(link)
    target.unlink()
    with pytest.raises(FileFault, match=f"is a link to {target}, which is not there") as caught:
        check_file(link)
    assert caught.value.reason == "missing"
    link.unlink()
    link.symlink_to(link.name)
    with pytest.raises(FileFault, match="is a link"):
        check_file(link)


def test_a_folder_in_place_of_a_file_is_none(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(FileFault, match="is no file"):
        check_file(tmp_path / "model.safetensors")


def test_half_a_pickle_is_noticed(tmp_path):
    file = tmp_path / "pytorch_model.bin"
    torch.save(TENSORS, file)
    check_file(file)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(FileFault, match="its end is missing"):
        check_file(file)


@pytest.mark.parametrize(
    "header", [b"[" * 9999 + b"]" * 9999, b"[]", b"{", b'{"a": 1}', b'{"a": {"shape": [1]}}']
)
def test_a_header_of_another_form_is_damaged(tmp_path, header):
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(FileFault, match="is damaged"):
        read_shapes(file)
