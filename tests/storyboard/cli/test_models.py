"""`models`: memory presets that fit, on this machine and on one that is not there yet."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.models.catalog import INSTANT_CHARACTER, MINIATURE, MODELS
from pipelines.models.presets import MEMORY_PRESETS
from storyboard.cli.main import main


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out


def row(text: str, preset: str) -> str:
    found = re.search(rf"^ +{preset} .*$", text, re.MULTILINE)
    assert found, f"no {preset} in:\n{text}"
    return " ".join(found[0].split())


def test_models_are_listed_with_licence_size_and_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    text = listed(capsys)
    assert text.startswith("Memory: ") and "no CUDA GPU" in text
    for spec in MODELS:
        assert re.search(rf"^{spec.name}  .*{spec.width}x{spec.height}", text, re.MULTILINE)
        assert spec.licence in text
    assert text.count("reference pictures: ") == len(MODELS)
    assert "reference pictures: not supported" in text
    supported = f"reference pictures: with {INSTANT_CHARACTER.title}"
    assert f"{supported}, {INSTANT_CHARACTER.licence}, {INSTANT_CHARACTER.licence_url}" in text
    assert "Runs here, on the CPU.\n" in text
    assert "GPU" not in row(text, "full") and "group-offload" not in text


def test_a_card_is_tried_before_it_is_bought(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "flux1-dev", "--gpu", "24", "--host", "64")
    assert text.startswith("Memory: a GPU with 24.0 GB and 64.0 GB of host memory free\n")
    assert "run here" not in text and "Runs here" not in text and "miniature" not in text
    assert row(text, "full").endswith("needs 35.9 GB of GPU memory, and 24.0 GB are free")
    assert row(text, "group-offload").endswith("23.8 GB a step fits <- auto")
    assert row(text, "leaf-offload").endswith(" fits")
    assert row(text, "spread").endswith("takes two GPUs or more")
    for preset in MEMORY_PRESETS:
        assert f"  {preset.name}: {preset.title}\n    {preset.note}\n" in text


def test_the_size_of_banks_is_printed_beforehand(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "flux1-dev", "--gpu", "24", "--host", "64")
    # As `python -m benchmarks.memory` counts it.
    assert "30% of it the character: 16.7 GB, with its background 70.3 GB\n" in text
    assert "THROUGHLINE_BANK=fp8 8.4 GB and 35.2 GB; side by side none\n" in text
    assert "bank of a source frame" in listed(capsys, "miniature", "--gpu", "24")


def test_two_cards_share(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "flux1-schnell", "--gpu", "20,20", "--host", "16")
    assert "a GPU with 20.0 GB, a GPU with 20.0 GB and 16.0 GB of host memory" in text
    assert re.search(r"spread 1\d\.\d GB \+ 1\d\.\d GB - - fits <- auto", row(text, "spread"))


def test_a_model_of_unknown_size_is_reported_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys, "someone/flux-finetune", "--gpu", "24")
    assert "memory: not known" in text
    assert "full " not in text.partition("Memory presets")[0]


def test_a_damaged_model_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = shutil.copytree(MINIATURE.source, tmp_path / "miniature")
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes(b"")
    broken = replace(MINIATURE, source=str(folder))
    monkeypatch.setattr("storyboard.cli.models.MODELS", (broken, *MODELS[1:]))
    text = listed(capsys, "--gpu", "24")
    assert re.search(r"memory: not known\. .*is damaged.*git checkout", text)
    assert all(f"\n{spec.name}  " in text for spec in MODELS)


@pytest.mark.parametrize(
    ("arguments", "say"),
    [
        (["flux1-dve", "--gpu", "24"], "Did you mean 'flux1-dev'"),
        (["--gpu", "24", "--host", "1,2"], "there is one host"),
    ],
)
def test_options_that_make_no_sense_are_reported(
    arguments: list[str], say: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *arguments]) == 2
    assert say in capsys.readouterr().err


@pytest.mark.parametrize("size", ["", "much", "0", "-4", "24,", "nan", "inf"])
def test_a_bad_size_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["models", f"--gpu={size}"])
    assert left.value.code == 2
    assert "is not a number of gigabytes" in capsys.readouterr().err


def test_nothing_is_claimed_for_workers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    monkeypatch.setenv("THROUGHLINE_WORKERS", "2@10.0.0.7:6379")
    text = listed(capsys, "miniature")
    assert "The workers decide whether it runs" in text and "Runs here" not in text
