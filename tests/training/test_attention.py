"""Attention in plain products on a CPU."""

import torch
import torch.nn.functional as F

from training.attention import quick_attention

CPU = torch.device("cpu")


def test_quick_attention_is_attention_and_leaves_no_trace():
    query, key, value = torch.randn(3, 1, 2, 40, 16, generator=torch.Generator().manual_seed(0))
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    with quick_attention(CPU):
        assert not torch.backends.cuda.flash_sdp_enabled()
        quick = F.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(quick, F.scaled_dot_product_attention(query, key, value), atol=1e-5)
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before
    assert torch.backends.cuda.flash_sdp_enabled()
