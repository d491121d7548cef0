"""Agreement with the truth, on grids small enough to count by hand."""

import numpy as np
import pytest

from evaluation.studies.agreement import (
    LABELS,
    TokenTruth,
    count_matches,
    intersection_over_union,
    token_truth,
)
from miniature.world.vocabulary import Part
from pipelines.events import TokenMatches

GROUPS, WITH_HAIR, MIRRORED, EXACT = LABELS.values()


def truth(*rows: list[Part]) -> TokenTruth:
    parts = np.array(rows, np.uint8)
    return TokenTruth(parts != Part.BACKGROUND, parts)


def test_a_token_is_foreground_where_more_than_half_is_covered_and_shows_its_largest_part():
    parts = np.full((8, 8), Part.BACKGROUND, np.uint8)
    parts[:4, :2] = Part.FACE  # half of the first token
    parts[:4, 4:7] = Part.HAIR  # three quarters of the second, a quarter of them hat
    parts[0, 4:7] = Part.HAT
    parts[4:, :4] = Part.TORSO
    found = token_truth(parts != Part.BACKGROUND, parts, (2, 2))
    assert found.foreground.tolist() == [[False, True], [True, False]]
    assert found.parts.tolist() == [[Part.FACE, Part.HAIR], [Part.TORSO, Part.BACKGROUND]]


def test_parts_outside_the_foreground_do_not_count():
    parts = np.full((4, 4), Part.HAIR, np.uint8)
    parts[:3] = Part.FACE
    foreground = np.zeros((4, 4), bool)
    foreground[3] = True
    found = token_truth(foreground, parts, (1, 1))
    assert (found.foreground.item(), found.parts.item()) == (False, Part.HAIR)


def test_tokens_must_divide_the_picture():
    with pytest.raises(ValueError, match="3x2 tokens"):
        token_truth(np.zeros((8, 8), bool), np.zeros((8, 8), np.uint8), (3, 2))


def test_intersection_over_union():
    mask = np.array([[True, True, False, False]])
    assert intersection_over_union(mask, ~mask) == 0
    assert intersection_over_union(mask, mask) == 1
    assert intersection_over_union(mask, np.array([[True, False, True, False]])) == 1 / 3
    assert intersection_over_union(mask, np.zeros_like(mask)) == 0
    assert intersection_over_union(np.zeros_like(mask), np.zeros_like(mask)) == 1


def test_every_part_of_a_figure_belongs_to_one_of_five_groups():
    groups = {int(GROUPS[part]) for part in Part if part}
    assert len(groups) == 5
    assert GROUPS[Part.HAIR] == GROUPS[Part.GLASSES] == GROUPS[Part.FACE]
    assert GROUPS[Part.LEFT_FOREARM] == GROUPS[Part.RIGHT_UPPER_ARM] == GROUPS[Part.TORSO]
    assert GROUPS[Part.BACKGROUND] == Part.BACKGROUND


def test_hair_can_count_as_a_part_of_its_own():
    groups = {int(WITH_HAIR[part]) for part in Part if part}
    assert len(groups) == 6
    assert WITH_HAIR[Part.HAIR] not in (WITH_HAIR[Part.FACE], WITH_HAIR[Part.HAT])
    apart = [part for part in Part if part != Part.HAIR]
    assert (GROUPS[apart] == WITH_HAIR[apart]).all()


def test_limbs_are_alike_in_the_mirror_but_not_from_joint_to_joint():
    assert MIRRORED[Part.LEFT_SHIN] == MIRRORED[Part.RIGHT_SHIN] != MIRRORED[Part.LEFT_THIGH]
    assert len(set(EXACT.tolist())) == len(Part)


def test_agreement_and_chance_of_four_tokens():
    identity = truth(
        [Part.HAIR, Part.FACE, Part.BACKGROUND],
        [Part.TORSO, Part.LEFT_THIGH, Part.BACKGROUND],
    )
    frame = truth([Part.FACE, Part.FACE], [Part.RIGHT_THIGH, Part.TORSO])
    # The face finds the hair, then the face; the right thigh the left; the torso the background.
    found = np.array([[0, 1], [4, 5]])
    matches = TokenMatches(found, np.ones((2, 2), np.float32))
    everywhere = np.ones((2, 2), bool)
    counts = [
        count_matches(matches, everywhere, frame, identity, labels)
        for labels in (GROUPS, MIRRORED, EXACT)
    ]
    assert [c.same for c in counts] == [3, 2, 1]
    assert [c.tokens for c in counts] == [4, 4, 4]
    assert [c.chance for c in counts] == pytest.approx([0.5 * 2 + 0.25 * 2, 1.0, 0.75])
    first = np.array([[True, False], [False, False]])
    assert count_matches(matches, first, frame, identity, GROUPS).same == 1
    assert count_matches(matches, first, frame, identity, EXACT).same == 0


def test_what_has_no_part_never_agrees():
    nothing = TokenTruth(np.ones((1, 1), bool), np.zeros((1, 1), np.uint8))
    matches = TokenMatches(np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32))
    counted = count_matches(matches, np.ones((1, 1), bool), nothing, nothing, EXACT)
    assert (counted.same, counted.chance, counted.tokens) == (0, 0, 1)
