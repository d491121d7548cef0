"""The loss on matches: low where equal parts have alike attention outputs, high where not."""

import torch

from miniature.model.match_statistic import match_loss, token_labels
from miniature.world.vocabulary import Part

LABELS = torch.tensor(
    [
        [Part.FACE, Part.FACE, Part.TORSO, Part.SHOE, Part.BACKGROUND, Part.BACKGROUND],
        [Part.BACKGROUND, Part.TORSO, Part.TORSO, Part.FACE, Part.SHOE, Part.BACKGROUND],
    ]
)


def shares(labels):
    return torch.nn.functional.one_hot(labels.long(), len(Part)).float()


def directions(labels):
    """An attention output of its own for every part."""
    return torch.nn.functional.one_hot(labels.long(), 32).float() * 3


def test_right_limbs_count_as_left_ones_and_edges_as_background():
    parts = torch.zeros(1, 3, len(Part))
    parts[0, 0, Part.RIGHT_SHIN], parts[0, 0, Part.BACKGROUND] = 0.6, 0.4
    parts[0, 1, Part.HAIR], parts[0, 1, Part.BACKGROUND] = 0.5, 0.5
    parts[0, 2, Part.FACE], parts[0, 2, Part.HAIR], parts[0, 2, Part.BACKGROUND] = 0.4, 0.3, 0.3
    assert token_labels(parts).tolist() == [[Part.LEFT_SHIN, Part.BACKGROUND, Part.FACE]]


def test_the_loss_is_small_where_parts_agree_across_pictures():
    right = match_loss([directions(LABELS)] * 2, shares(LABELS))
    wrong = match_loss([directions(LABELS.flip(0))] * 2, shares(LABELS))
    alike = match_loss([torch.ones(2, 6, 8)] * 2, shares(LABELS))
    assert right < 0.01
    assert right < alike < wrong


def test_the_loss_is_that_of_the_formula():
    torch.manual_seed(0)
    outputs = [torch.randn(2, 6, 8) for _ in range(3)]
    flat = LABELS.flatten()
    cosines = sum(
        torch.nn.functional.cosine_similarity(
            output.flatten(0, 1)[:, None], output.flatten(0, 1)[None], dim=-1
        )
        for output in outputs
    )
    weights = (cosines / 3 / 0.1).exp()
    terms = []
    for token, label in enumerate(flat.tolist()):
        others = range(6, 12) if token < 6 else range(6)
        same = [other for other in others if flat[other] == label]
        if label != Part.BACKGROUND:
            terms.append(-(weights[token, same].sum() / weights[token, list(others)].sum()).log())
    # Six tokens a picture: each is chosen twice, as a character's token and as any token, which
    # weighs all alike.
    assert torch.allclose(match_loss(outputs, shares(LABELS)), torch.stack(terms).mean(), atol=1e-5)


def test_pictures_without_counterparts_cost_nothing():
    alone = LABELS.clone()
    alone[1] = Part.BACKGROUND
    assert match_loss([torch.randn(2, 6, 8)], shares(alone)) == 0
