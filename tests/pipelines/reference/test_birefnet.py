"""BiRefNet's wrapper: a network of its kind, loaded from a folder as from the hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from pipelines.errors import ModelError
from pipelines.reference.birefnet import BiRefNetMatting

CODE = """
import torch
from transformers import PretrainedConfig, PreTrainedModel
{extra}

class TinyConfig(PretrainedConfig):
    model_type = "tiny_matting"


class Tiny(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.mix = torch.nn.Conv2d(3, 1, 1)
        self.post_init()

    def forward(self, pixels):
        return [pixels[:, :1] * 0, self.mix(pixels)]
"""


@pytest.fixture(autouse=True)
def modules_in_a_folder_of_their_own(tmp_path_factory, monkeypatch):
    """transformers copies a model's code to a cache before it imports it."""
    cache = tmp_path_factory.mktemp("modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(cache))
    monkeypatch.setattr(sys, "path", [*sys.path])


class RednessNetwork(nn.Module):
    """Network that takes everything redder than the mean of ImageNet for the figure."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.mix.weight.copy_(torch.tensor([20.0, 0.0, 0.0]).reshape(1, 3, 1, 1))
            self.mix.bias.zero_()

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        assert pixels.shape == (1, 3, 1024, 1024)
        return [torch.zeros(1), self.mix(pixels)]


def folder(path: Path, extra: str = "") -> Path:
    """A model with its own code, like the hub's repository."""
    classes = {"AutoConfig": "tiny.TinyConfig", "AutoModelForImageSegmentation": "tiny.Tiny"}
    config = {"model_type": "tiny_matting", "architectures": ["Tiny"], "auto_map": classes}
    (path / "config.json").write_text(json.dumps(config))
    (path / "tiny.py").write_text(CODE.format(extra=extra))
    weights = {"mix.weight": torch.zeros(1, 3, 1, 1), "mix.bias": torch.full((1,), 30.0)}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def test_the_mask_is_the_last_map_at_the_pictures_size():
    picture = Image.new("RGB", (90, 60), (0, 200, 255))
    picture.paste((255, 0, 0), (30, 10, 60, 50))
    mask = BiRefNetMatting(RednessNetwork()).mask(picture)
    assert mask.shape == (60, 90) and mask.dtype == np.uint8
    assert (mask[14:46, 34:56] > 250).all()
    assert (mask[:, :26] < 5).all() and (mask[:6] < 5).all()


def test_a_folder_with_its_own_code_is_loaded_when_that_is_allowed(tmp_path):
    matting = BiRefNetMatting.load(str(folder(tmp_path)), run_remote_code=True)
    assert matting.mask(Image.new("RGB", (70, 64))).min() == 255


def test_remote_code_is_not_run_by_default(tmp_path):
    trap = tmp_path / "trap"
    source = folder(tmp_path, f"open({str(trap)!r}, 'w').close()")
    with pytest.raises(ModelError, match="its own Python code"):
        BiRefNetMatting.load(str(source))
    assert not trap.exists()


def test_missing_packages_are_named(tmp_path):
    source = folder(tmp_path, "import a_package_that_nobody_has")
    with pytest.raises(ModelError, match="a_package_that_nobody_has.*built-in"):
        BiRefNetMatting.load(str(source), run_remote_code=True)


def test_a_source_that_cannot_be_had_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        BiRefNetMatting.load(str(tmp_path), run_remote_code=True)


def test_a_weight_that_is_missing_is_never_random(tmp_path):
    source = folder(tmp_path)
    weights = {"mix.weight": torch.zeros(1, 3, 1, 1)}
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of its weights, such as mix\.bias.*built-in"):
        BiRefNetMatting.load(str(source), run_remote_code=True)


def test_values_that_are_no_numbers_are_no_mask():
    network = RednessNetwork()
    with torch.no_grad():
        network.mix.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="no numbers.*built-in matting"):
        BiRefNetMatting(network).mask(Image.new("RGB", (70, 64)))


def test_the_package_opens_without_torch():
    code = "import sys, pipelines.reference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
