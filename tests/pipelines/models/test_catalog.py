"""Catalog: every model is found by each of its names, and a similar name is suggested."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    Dinov2Config,
    Dinov2Model,
    SiglipConfig,
    SiglipModel,
    SiglipVisionModel,
)

from pipelines.errors import ModelError, UnknownModelError
from pipelines.instant_character.adapters import SubjectAdapters
from pipelines.instant_character.projector import SubjectProjector
from pipelines.models.catalog import (
    BIREFNET,
    FLUX1_DEV,
    FLUX1_KREA_DEV,
    FLUX1_SCHNELL,
    INSTANT_CHARACTER,
    MINIATURE,
    MODELS,
    find_model,
)
from pipelines.models.specs import MadeFor, ModelSpec
from pipelines.request import ConsistencySettings

ROOT = Path(__file__).resolve().parents[3]

# The sum of the files of FLUX.1 [dev]'s components on the hub, all bfloat16.
FLUX1_DEV_BYTES_ON_THE_HUB = 33.74e9

SIGLIP_SO400M = dict(
    hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16
)
DINOV2_GIANT = dict(
    hidden_size=1536,
    num_hidden_layers=40,
    num_attention_heads=24,
    use_swiglu_ffn=True,
    image_size=518,
    patch_size=14,
)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def folder(tmp_path: Path, miniature_folder: Path) -> Path:
    """A copy of the miniature's folder that a test may change."""
    return Path(shutil.copytree(miniature_folder, tmp_path / "model"))


def change(path: Path, **values: object) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | values))


def enlarge(folder: Path, parameters: int) -> None:
    """Give a folder so many parameters in all, by a weights file with a hole in place of values."""
    missing = parameters - find_model(str(folder)).weights_bytes // 2
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    with path.open("rb") as file:
        tensors = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    end = max(tensor["data_offsets"][1] for name, tensor in tensors.items() if name[0] != "_")
    whole = end + 2 * missing
    tensors["more"] = {"dtype": "F16", "shape": [missing], "data_offsets": [end, whole]}
    header = json.dumps(tensors).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + whole)


def rendered_like(spec: ModelSpec) -> tuple[object, ...]:
    return (spec.steps, spec.guidance_scale, spec.true_cfg_scale, spec.consistency)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_a_model_is_found_by_name_and_by_source_in_any_case(spec):
    for name in (spec.name, spec.name.upper(), spec.source, f" {spec.source.lower()} "):
        assert find_model(name) is spec


@pytest.mark.parametrize("spec", [m for m in MODELS if m.kind == "hub"], ids=lambda s: s.name)
def test_models_of_the_hub_keep_the_published_consistency(spec):
    assert spec.consistency == ConsistencySettings()


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_model_has_what_the_pages_show(spec):
    assert spec.title and spec.licence and spec.licence_url.startswith("https://") and spec.note
    assert spec.width % 16 == 0 and spec.height % 16 == 0
    assert spec.steps >= 1 and spec.true_cfg_scale >= 1
    assert 16 <= spec.max_sequence_length <= 512
    assert spec.non_commercial == ("Non-Commercial" in spec.licence)
    assert (spec.url == "") == (spec.kind == "embedded")


def test_the_miniature_ships_with_the_project():
    assert (Path(MINIATURE.source) / "model_index.json").is_file()
    assert not MINIATURE.gated and not MINIATURE.non_commercial


def test_the_size_of_flux_is_the_size_of_its_files():
    assert FLUX1_DEV.weights_bytes == pytest.approx(FLUX1_DEV_BYTES_ON_THE_HUB, rel=0.001)
    # Schnell lacks the guidance embedder: two linear layers, 256 to 3072 and 3072 to 3072.
    embedder = 256 * 3072 + 3072 + 3072 * 3072 + 3072
    assert FLUX1_DEV.weights_bytes - FLUX1_SCHNELL.weights_bytes == 2 * embedder


def test_flux_dev_and_krea_have_the_character_adapter_of_instant_character_and_schnell_has_none():
    assert FLUX1_DEV.character_adapter is INSTANT_CHARACTER
    assert FLUX1_KREA_DEV.character_adapter is INSTANT_CHARACTER
    assert FLUX1_SCHNELL.character_adapter is None
    assert INSTANT_CHARACTER.research_only
    assert INSTANT_CHARACTER.consent == "tencent/InstantCharacter"


def test_the_sizes_of_instant_character_are_those_of_its_parts():
    """Built on the meta device, with the encoders' published configurations."""
    with torch.device("meta"):
        siglip = SiglipConfig(
            text_config=dict(
                **SIGLIP_SO400M, vocab_size=32000, max_position_embeddings=64,
                bos_token_id=0, eos_token_id=1,
            ),
            vision_config=dict(**SIGLIP_SO400M, image_size=384, patch_size=14),
        )  # fmt: skip
        projector = SubjectProjector()
        adapters = SubjectAdapters.of_size(57, 24, 128, projector.config.token_width)
        whole, seen = SiglipModel(siglip), SiglipVisionModel(siglip.vision_config)
        dino = Dinov2Model(Dinov2Config(**DINOV2_GIANT))
    ours = parameters(projector) + parameters(adapters)
    loaded = ours + parameters(seen) + parameters(dino)
    downloaded = 2 * ours + 4 * (parameters(whole) + parameters(dino))
    assert INSTANT_CHARACTER.weights_bytes == 2 * loaded
    assert INSTANT_CHARACTER.download_bytes == downloaded


def test_the_miniature_has_a_character_adapter_and_previews():
    bundle = Path(MINIATURE.source) / "subject"
    assert (bundle / "config.json").is_file() and Path(MINIATURE.preview).is_file()
    assert Path(MINIATURE.character_adapter.adapter) == bundle
    assert MINIATURE.character_adapter.weights_bytes > 10**6


def test_a_folder_has_a_character_adapter_if_it_holds_a_bundle(folder):
    shutil.rmtree(folder / "subject", ignore_errors=True)
    assert find_model(str(folder)).character_adapter is None
    (folder / "subject" / "siglip").mkdir(parents=True)
    for name in ("adapter.safetensors", "siglip/model.safetensors"):
        (folder / "subject" / name).write_bytes(bytes(500))
    assert find_model(str(folder)).character_adapter is None
    (folder / "subject" / "config.json").write_text("{}")
    subject = find_model(str(folder)).character_adapter
    assert Path(subject.adapter) == folder / "subject"
    assert Path(subject.siglip) == folder / "subject" / "siglip"
    assert (subject.weights_bytes, subject.download_bytes) == (1000, 0)
    assert not subject.research_only and subject.consent == ""


def test_the_matting_network_says_that_it_runs_foreign_code():
    assert BIREFNET.runs_code and BIREFNET.licence == "MIT" and BIREFNET.download_bytes > 0


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("flux-dev", "flux1-dev"),
        ("flux1-schnel", "flux1-schnell"),
        ("minature", "miniature"),
        ("FLUX.1 Krea dev", "flux1-krea-dev"),
    ],
)
def test_a_near_miss_gets_a_suggestion(typed, meant):
    with pytest.raises(UnknownModelError, match=f"Did you mean '{meant}'"):
        find_model(typed)


@pytest.mark.parametrize("name", ["", "  ", "stable diffusion", "../nowhere", "a/b/c"])
def test_what_is_no_model_lists_the_known_ones(name):
    with pytest.raises(UnknownModelError, match="flux1-schnell") as caught:
        find_model(name)
    assert "Did you mean" not in str(caught.value)


def test_another_repository_is_taken_at_its_word():
    spec = find_model("someone/flux-finetune")
    assert (spec.source, spec.kind) == ("someone/flux-finetune", "hub")
    assert spec.url == "https://huggingface.co/someone/flux-finetune"
    assert spec.weights_bytes == 0
    assert spec.character_adapter is FLUX1_DEV.character_adapter


def test_a_gguf_file_gives_any_model_its_transformer(folder, tmp_path, monkeypatch):
    (tmp_path / "flux1-Q4_K.GGUF").write_bytes(bytes(1000))
    monkeypatch.chdir(tmp_path)
    for model in ("flux1-dev", "black-forest-labs/FLUX.1-schnell", str(folder), "some/finetune"):
        plain, packed = find_model(model), find_model(f"{model}:flux1-Q4_K.GGUF")
        assert packed.transformer_file == str((tmp_path / "flux1-Q4_K.GGUF").resolve())
        assert packed.packed and not plain.packed
        assert packed.name == f"{plain.name}:{packed.transformer_file}"
        assert find_model(packed.name) == packed
        assert (packed.source, packed.licence, packed.steps) == (
            plain.source, plain.licence, plain.steps,
        )  # fmt: skip
        assert "flux1-Q4_K.GGUF" in packed.title
        if plain.parts is not None:
            assert packed.parts.transformer.packed_bytes == 1000
            assert packed.parts.t5 == plain.parts.t5


def test_a_model_whose_files_were_replaced_is_another_one(folder, tmp_path):
    packed = tmp_path / "flux1-Q4_K.gguf"
    packed.write_bytes(bytes(1000))
    weights = folder / "subject" / "adapter.safetensors"
    changes = {
        str(folder): (
            lambda: os.utime(weights),  # other weights of the same size
            lambda: enlarge(folder, 200_000_000),
            lambda: change(folder / "scheduler" / "scheduler_config.json", shift=2.0),
        ),
        f"flux1-dev:{packed}": (
            lambda: os.utime(packed, (1, 1)),
            lambda: packed.write_bytes(bytes(1001)),
        ),
    }
    for name, steps in changes.items():
        found = [find_model(name)]
        assert find_model(name) == found[0]
        for step in steps:
            step()
            found.append(find_model(name))
            assert found[-1] not in found[:-1]


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-here/model", "~nobody-here/m.gguf"])
def test_a_name_that_no_file_can_have_is_no_model(name):
    with pytest.raises(UnknownModelError):
        find_model(f"flux1-dev:{name}" if name.endswith(".gguf") else name)


def test_a_gguf_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(UnknownModelError, match=r"no file .*other\.gguf"):
        find_model(f"flux1-dev:{tmp_path / 'other.gguf'}")
    with pytest.raises(UnknownModelError, match="Did you mean 'flux1-dev'"):
        find_model("flux-dev:other.gguf")


def test_a_folder_describes_itself(folder):
    spec = find_model(str(folder))
    assert (spec.kind, spec.source, spec.name) == ("folder", str(folder), str(folder))
    assert (spec.width, spec.height) == (256, 256)
    assert (spec.steps, spec.true_cfg_scale) == (MINIATURE.steps, MINIATURE.true_cfg_scale)
    config = json.loads((folder / "tokenizer_2" / "tokenizer_config.json").read_text())
    assert spec.max_sequence_length == config["model_max_length"]
    # fp16 files: the weights are the files but for their headers.
    components = ("transformer", "text_encoder", "text_encoder_2", "vae")
    files = [file for part in components for file in (folder / part).glob("*.safetensors")]
    on_disk = sum(file.stat().st_size for file in files)
    assert 0.98 * on_disk < spec.weights_bytes < on_disk


def test_a_folder_made_for_tiny_pictures_renders_the_smallest_that_a_storyboard_has(folder):
    change(folder / "vae" / "config.json", sample_size=32)
    spec = find_model(str(folder))
    assert (spec.width, spec.height) == (64, 64)


def test_a_variant_beside_the_weights_is_not_counted(folder):
    before = find_model(str(folder)).weights_bytes
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert find_model(str(folder)).weights_bytes == before


@pytest.mark.parametrize(
    ("parameters", "base"), [(99_999_999, MINIATURE), (100_000_000, FLUX1_DEV)]
)
def test_the_size_of_a_folder_with_a_guidance_embedding_says_how_it_renders(
    folder, parameters, base
):
    change(folder / "transformer" / "config.json", guidance_embeds=True)
    enlarge(folder, parameters)
    spec = find_model(str(folder))
    assert spec.weights_bytes == 2 * parameters
    assert rendered_like(spec) == rendered_like(base)


def test_a_folder_of_unknown_size_with_a_guidance_embedding_renders_like_dev(folder):
    change(folder / "transformer" / "config.json", guidance_embeds=True)
    for weights in folder.glob("*/*.safetensors"):
        weights.unlink()
    assert rendered_like(find_model(str(folder))) == rendered_like(FLUX1_DEV)


@pytest.mark.parametrize(
    ("parameters", "base"), [(99_999_999, MINIATURE), (100_000_000, FLUX1_DEV)]
)
def test_a_folder_that_was_never_distilled_takes_classifier_free_guidance(folder, parameters, base):
    change(folder / "transformer" / "config.json", guidance_embeds=False)
    enlarge(folder, parameters)
    spec = find_model(str(folder))
    assert not spec.learnt_guidance and spec.true_cfg_scale > 1
    assert (spec.steps, spec.consistency) == (base.steps, base.consistency)


def test_a_folder_without_dynamic_shifting_renders_like_schnell(folder):
    change(folder / "transformer" / "config.json", guidance_embeds=False)
    change(folder / "scheduler" / "scheduler_config.json", use_dynamic_shifting=False)
    spec = find_model(str(folder))
    assert (spec.steps, spec.guidance_scale, spec.true_cfg_scale) == (4, 0, 1)


def test_a_folder_goes_before_a_repository_of_the_same_name(folder, monkeypatch):
    (folder.parent / "owner").mkdir()
    folder.rename(folder.parent / "owner" / "name")
    monkeypatch.chdir(folder.parent)
    assert find_model("owner/name").kind == "folder"


def test_a_folder_without_an_index_is_reported(tmp_path):
    with pytest.raises(UnknownModelError, match=r"model_index\.json is missing"):
        find_model(str(tmp_path))


def test_a_folder_of_another_kind_is_reported(folder):
    change(
        folder / "model_index.json",
        _class_name="StableDiffusionPipeline",
        transformer=[None, None],
    )
    with pytest.raises(UnknownModelError, match="'StableDiffusionPipeline', not a FLUX"):
        find_model(str(folder))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_configuration_is_reported(folder, text):
    (folder / "transformer" / "config.json").write_text(text)
    with pytest.raises(UnknownModelError, match=r"transformer.config\.json is damaged"):
        find_model(str(folder))


@pytest.mark.parametrize("size", [0, 4, 100])
def test_half_a_weights_file_is_reported(folder, size):
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(UnknownModelError, match="is damaged or not completely downloaded"):
        find_model(str(folder))


def test_a_damaged_embedded_model_is_an_error_when_its_sizes_are_needed(folder):
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    spec = replace(MINIATURE, source=str(folder))
    with pytest.raises(ModelError, match=r"transformer.*is damaged.*git checkout") as caught:
        assert spec.weights_bytes
    assert caught.value.reason == "broken"


def test_the_catalog_needs_no_torch_and_reads_no_file():
    code = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(args[0]))\n"
        "import pipelines.models.catalog\n"
        "assert 'torch' not in sys.modules\n"
        "assert not [name for name in opened if 'assets' in str(name)], opened"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_a_model_was_made_for_its_own_settings(spec):
    made_for = spec.made_for
    assert made_for.steps[0] <= spec.steps <= made_for.steps[1]
    assert made_for.area[0] <= spec.width * spec.height <= made_for.area[1]
    assert (made_for.guidance is not None) == spec.learnt_guidance
    if made_for.guidance is not None:
        assert made_for.guidance[0] <= spec.guidance_scale <= made_for.guidance[1]


def test_ranges_are_those_that_the_makers_name():
    """docs/models.md says where."""
    dev, krea, schnell = (find_model(f"flux1-{n}").made_for for n in ("dev", "krea-dev", "schnell"))
    assert (dev.steps, dev.guidance) == ((28, 50), (1.5, 5))
    assert (krea.steps, krea.guidance) == ((28, 32), (3.5, 5))
    assert krea.area[1] == 1280 * 1280
    assert (schnell.steps, schnell.guidance) == ((1, 4), None)
    for made_for in (dev, schnell):
        assert made_for.area[0] <= 0.1e6 and 1088 * 1920 <= made_for.area[1] < 2.2e6


def test_a_folder_was_made_for_its_own_size_and_may_list_its_words(folder):
    change(folder / "vae" / "config.json", sample_size=128)
    spec = find_model(str(folder))
    assert spec.made_for.area[0] < 128 * 128 < spec.made_for.area[1] < 256 * 256
    assert spec.made_for.steps == MINIATURE.made_for.steps
    assert Path(spec.vocabulary) == folder / "words.json"
    (folder / "words.json").unlink()
    assert find_model(str(folder)).vocabulary == ""


def test_what_an_unlisted_repository_was_made_for_is_not_known():
    assert find_model("someone/finetune").made_for is None


@pytest.mark.parametrize("steps", [(0, 4), (8, 4)])
def test_a_range_of_settings_begins_above_nothing_and_ends_after_it_begins(steps):
    with pytest.raises(ValueError, match="is no range"):
        MadeFor(steps=steps, area=(1, 2))
