"""GGUF files that hold no whole transformer of FLUX.1 are told exactly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.errors import ModelError
from pipelines.loading.gguf_file import check_gguf

FLUX = {"double_blocks.0.img_attn.qkv.weight": np.zeros((64, 32), np.float32)}


def write(path: Path, kind: str, tensors: dict[str, NDArray[np.float32]]) -> Path:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, kind)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_transformer_of_flux1_passes(tmp_path):
    check_gguf(write(tmp_path / "flux.gguf", "flux", FLUX))


def test_another_model_is_named(tmp_path):
    file = write(tmp_path / "other.gguf", "llama", {"token_embd.weight": np.zeros((8, 8), "f")})
    with pytest.raises(ModelError, match="holds 'llama', not the transformer of a FLUX.1"):
        check_gguf(file)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.03, 0.5, 0.99])
def test_half_a_file_is_noticed(tmp_path, share):
    file = write(tmp_path / "flux.gguf", "flux", FLUX)
    os.truncate(file, int(file.stat().st_size * share))
    with pytest.raises(ModelError, match="is damaged or not completely downloaded") as caught:
        check_gguf(file)
    assert "Get this file again" in caught.value.remedy


def test_another_format_is_no_gguf(tmp_path):
    file = tmp_path / "flux.gguf"
    file.write_bytes(b"PK" + bytes(500))
    with pytest.raises(ModelError, match="is no GGUF file"):
        check_gguf(file)
