"""Attention backends and compilation of the transformer."""

import pytest
import torch

from pipelines.errors import ModelError
from pipelines.loading.model import open_pipeline, plan_placement
from pipelines.loading.speedups import use_attention
from pipelines.models.catalog import find_model
from tests.pipelines.flux1.test_attention import sharing_pass
from tests.pipelines.frame_attention import frame_attention
from tests.pipelines.tiny import tiny_transformer
from tests.pipelines.tiny_character import save_tiny_model


def test_frames_that_share_take_the_backend_too():
    transformer = tiny_transformer()
    use_attention(transformer, "_native_math")
    with frame_attention(transformer, sharing_pass(identity=True, background=True)):
        chosen = {str(p._attention_backend.value) for p in transformer.attn_processors.values()}
    assert chosen == {"_native_math"}


def test_an_unknown_backend_is_named_with_the_known_ones():
    with pytest.raises(ModelError, match=r"no attention backend 'flush'.*sage"):
        use_attention(tiny_transformer(), "flush")


def test_a_backend_that_is_not_installed_says_what_it_needs():
    with pytest.raises(ModelError, match="'xformers' cannot be used here.*leave THROUGHLINE_"):
        use_attention(tiny_transformer(), "xformers")


# What the compiler imports when it is first asked for.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_every_block_is_compiled(tmp_path):
    save_tiny_model(tmp_path)
    spec, device = find_model(str(tmp_path)), torch.device("cpu")
    placement = plan_placement(spec, device, "float32")
    transformer = open_pipeline(spec, placement, compiled=True).transformer
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    assert all(block._compiled_call_impl is not None for block in blocks)
    torch.compiler.reset()
