"""Matches: recovered permutations, the threshold, and both masks."""

import torch

from pipelines.consistency.matching import (
    SimilarityMap,
    add_cosines,
    best_matches,
    find_matches,
    unit_rows,
)


def test_a_permutation_is_found_again():
    torch.manual_seed(0)
    outputs = [torch.randn(30, 16) for _ in range(3)]
    order = torch.randperm(30)
    total = None
    for output in outputs:
        total = add_cosines(total, output[order] * 3, unit_rows(output))
    found = best_matches(total, blocks=3)
    assert torch.equal(found.identity_index, order)
    torch.testing.assert_close(found.similarity, torch.ones(30))


def test_similarity_is_the_mean_cosine_over_blocks():
    torch.manual_seed(0)
    ours, theirs = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    total = None
    for a, b in zip(ours, theirs, strict=True):
        total = add_cosines(total, a, unit_rows(b))
    expected = torch.stack(
        [
            torch.cosine_similarity(a[:, None], b[None], dim=-1)
            for a, b in zip(ours, theirs, strict=True)
        ]
    ).mean(0)
    torch.testing.assert_close(total / 2, expected)


def test_matches_need_both_masks_and_more_than_the_threshold():
    found = SimilarityMap(
        similarity=torch.tensor([0.9, 0.9, 0.9, 0.5, 0.6]),
        identity_index=torch.tensor([0, 1, 2, 0, 0]),
    )
    mask = torch.tensor([True, False, True, True, True])
    identity_mask = torch.tensor([True, True, False])
    matches = find_matches(found, mask, identity_mask, threshold=0.5)
    assert matches.frame_index.tolist() == [0, 4]
    assert matches.identity_index.tolist() == [0, 0]
    assert len(matches) == 2
    assert len(find_matches(found, mask, identity_mask, threshold=0.95)) == 0
