"""Styles in a request: their limits, their trigger words, and the header of a file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from pipelines.request import Prompt, StyleLora, with_trigger
from pipelines.styles.info import read_info

PROMPT = Prompt("a beach at dusk", "a girl in a red hat", "runs")


def style(trigger: str) -> StyleLora:
    return StyleLora("ink.safetensors", trigger=trigger)


@pytest.mark.parametrize("weight", [2.5, -2.01, float("nan"), float("inf")])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match=r"is not in \[-2, 2\]"):
        StyleLora("ink.safetensors", weight)


def test_a_style_needs_a_source():
    with pytest.raises(ValueError, match="needs a LoRA"):
        StyleLora("  ")


def test_the_trigger_begins_the_background_alone():
    styled = with_trigger(PROMPT, [style("ink wash")])
    assert styled == Prompt("ink wash, a beach at dusk", PROMPT.character, PROMPT.action)


def test_without_a_background_there_is_still_none():
    styled = with_trigger(Prompt(" ", "a girl", "runs"), [style("ink wash")])
    assert styled == Prompt(" ", "ink wash, a girl", "runs")
    assert with_trigger(Prompt("", "", ""), [style("ink wash")]).text == "ink wash"


def test_several_triggers_keep_their_order_without_repetition():
    loras = [style("ink wash"), style("  "), style("Beach"), style("glow"), style("INK WASH")]
    assert with_trigger(PROMPT, loras).background == "ink wash, glow, a beach at dusk"


@pytest.mark.parametrize("loras", [[], [style("")], [style("red HAT")], [style("girl")]])
def test_what_needs_no_words_leaves_the_prompt_alone(loras):
    assert with_trigger(PROMPT, loras) is PROMPT


def test_part_of_a_word_is_not_the_word():
    assert with_trigger(PROMPT, [style("each")]).background == "each, a beach at dusk"


# The header of a file.


def test_a_kohya_files_header_is_read(tmp_path):
    save_file(
        {
            "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.zeros(4, 8),
            "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.zeros(24, 4),
            "lora_unet_single_blocks_0_linear2.lora_down.weight": torch.zeros(4, 8),
            "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.zeros(2, 8),
        },
        tmp_path / "ink.safetensors",
    )
    info = read_info(tmp_path / "ink.safetensors")
    assert (info.layers, len(info.keys), info.settings) == (3, 4, {})


def test_a_file_without_a_lora_changes_no_layer(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert read_info(tmp_path / "x.safetensors").layers == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04" + bytes(60),
        (200).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b"nope",
        (10).to_bytes(8, "little") + b'{"a": {}} ',
        (20).to_bytes(8, "little") + b'{"__metadata__": 12}',
    ],
)
def test_what_is_no_safetensors_file_is_reported(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_info(path)


def test_a_file_that_was_cut_off_is_reported(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not completely downloaded"):
        read_info(path)
