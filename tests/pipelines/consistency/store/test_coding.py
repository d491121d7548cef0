"""Eight-bit numbers: how far off they may be, and that rows are rows of what they came from."""

import pytest
import torch

from pipelines.consistency.store.coding import Coded, row_bytes


def uneven_rows(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Rows of very different size, with numbers of very different size in each, and a row of 0."""
    torch.manual_seed(0)
    numbers = torch.randn(40, 4, 32) * torch.logspace(-9, 0, 32)
    numbers *= torch.logspace(-6, 6, 40)[:, None, None]
    numbers[7] = 0
    return numbers.to(dtype)


def test_an_error_is_half_a_unit_of_the_last_of_three_bits():
    numbers = uneven_rows()
    error = (Coded.encode(numbers, "fp8").decoded() - numbers).abs()
    largest = numbers.flatten(1).abs().amax(1)[:, None, None]
    # Half a unit in the last place: 2^-4 of a normal number; below 2^-6, the smallest normal one,
    # units are 2^-9. A scale that is rounded adds 2^-22 to either.
    bound = torch.maximum(numbers.abs() / 16, largest / 448 / 1024) * (1 + 2**-20)
    assert (error <= bound).all()
    assert (error > numbers.abs() / 18).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_largest_of_a_row_keeps_its_value(dtype):
    numbers = uneven_rows(dtype)
    decoded = Coded.encode(numbers, "fp8").decoded()
    assert decoded.dtype == dtype
    assert torch.equal(decoded[7], torch.zeros(4, 32, dtype=dtype))
    before, after = (rows.float().flatten(1).abs().amax(1) for rows in (numbers, decoded))
    torch.testing.assert_close(after, before, rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", ["native", "fp8"])
def test_rows_decode_as_they_do_among_all(dtype):
    numbers, tokens = uneven_rows(), torch.tensor([5, 39, 5, 0])
    coded = Coded.encode(numbers, dtype)
    assert torch.equal(coded.rows(tokens).decoded(), coded.decoded()[tokens])
    assert coded.rows(tokens[:0]).decoded().shape == (0, 4, 32)
    none = Coded.encode(numbers[:0], dtype)
    assert none.decoded().shape == (0, 4, 32)


def test_bytes_of_a_row_are_those_that_are_kept():
    numbers = uneven_rows(torch.bfloat16)
    assert Coded.encode(numbers, "native").nbytes == 40 * row_bytes(128, 2) == 40 * 256
    assert Coded.encode(numbers, "fp8").nbytes == 40 * row_bytes(128, 1) == 40 * 132
