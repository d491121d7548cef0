"""The places of the drawn world: whole, recognisable, and true to their time and weather."""

from itertools import product

import cv2
import numpy as np
import pytest

from miniature.world import vocabulary as v
from miniature.world.canvas import Canvas, points
from miniature.world.place.places import draw_place
from miniature.world.spec import SceneSpec

INDOORS = tuple(place for place in v.PLACES if place not in v.OUTDOORS)


def drawn(
    place: str,
    time: str = "day",
    weather: str = "clear",
    shape: str = "square",
    seed: int = 0,
    under: v.Color = (0, 0, 0),
) -> np.ndarray:
    """Draw a place over a canvas of one colour."""
    spec = SceneSpec(place, time=time, weather=weather, shape=shape)
    canvas = Canvas(*spec.size)
    width, height = spec.size
    corners = [(-2, -2), (width + 2, -2), (width + 2, height + 2), (-2, height + 2)]
    canvas.polygon(points(corners), under)
    draw_place(canvas, spec, np.random.default_rng(seed))
    assert not canvas.parts.any()
    assert not canvas.owners.any()
    return canvas.picture()


def thumbnails(place: str, shape: str, seeds: range) -> list[np.ndarray]:
    """Return a place as 16 x 16 colours, as a model of few tokens sees it, and those mirrored."""
    found = []
    for seed in seeds:
        small = cv2.resize(
            drawn(place, shape=shape, seed=seed), (16, 16), interpolation=cv2.INTER_AREA
        )
        found += [small.astype(float), small[:, ::-1].astype(float)]
    return found


def settings_of(place: str) -> list[tuple[str, str]]:
    return list(product(v.TIMES, v.WEATHERS)) if place in v.OUTDOORS else [("day", "clear")]


@pytest.mark.parametrize("place", v.PLACES)
def test_nothing_is_left_undrawn(place):
    for shape, (time, weather) in product(v.SHAPES, settings_of(place)):
        over_black = drawn(place, time, weather, shape)
        over_pink = drawn(place, time, weather, shape, under=(255, 0, 255))
        assert np.array_equal(over_black, over_pink), (shape, time, weather)
        assert over_black.shape == (v.SHAPES[shape][1], v.SHAPES[shape][0], 3)


@pytest.mark.parametrize("shape", v.SHAPES)
def test_every_place_differs_from_the_others_at_sixteen_tokens_across(shape):
    known = {place: thumbnails(place, shape, range(6)) for place in v.PLACES}
    for place in v.PLACES:
        for unseen in thumbnails(place, shape, range(50, 52))[::2]:
            distances = {
                other: min(float(np.abs(unseen - one).mean()) for one in pictures)
                for other, pictures in known.items()
            }
            assert min(distances, key=lambda name: distances[name]) == place


@pytest.mark.parametrize("place", ["beach", "city", "library", "cave"])
def test_equal_seeds_give_equal_pictures_and_others_do_not(place):
    assert np.array_equal(drawn(place, seed=3), drawn(place, seed=3))
    assert len({drawn(place, seed=seed).tobytes() for seed in range(12)}) > 1


@pytest.mark.parametrize("place", v.OUTDOORS)
def test_evening_is_warm_and_night_dark_and_blue(place):
    for weather in v.WEATHERS:
        day, evening, night = (drawn(place, time, weather).astype(float) for time in v.TIMES)
        assert night.mean() < 0.62 * day.mean()
        redness = [red_to_blue(picture[-60:]) for picture in (day, evening, night)]
        assert redness[1] > 1.15 * redness[0]
        assert redness[2] < 0.85 * redness[0]


def red_to_blue(picture: np.ndarray) -> float:
    """Return the difference of red and blue."""
    return float(picture[..., 0].mean() / picture[..., 2].mean())


@pytest.mark.parametrize("place", v.OUTDOORS)
@pytest.mark.parametrize("time", v.TIMES)
def test_weather_shows(place, time):
    clear, rain, snow, fog = (drawn(place, time, weather) for weather in v.WEATHERS)
    for picture in (rain, snow, fog):
        changed = np.abs(picture.astype(int) - clear).max(2) > 12
        assert changed.mean() > 0.25
    assert colorfulness(rain) < colorfulness(clear)
    ground = slice(-24, None)
    if place != "mountain":  # where snow lies in any weather
        assert snow[ground].mean() > 1.05 * clear[ground].mean()
    assert edges(fog) < 0.6 * edges(clear)
    assert edges(rain) > edges(fog)


def colorfulness(picture: np.ndarray) -> float:
    """Return the mean distance of the colours from gray."""
    return float((picture.max(2).astype(int) - picture.min(2)).mean())


def edges(picture: np.ndarray) -> float:
    """Return the mean difference of neighbours in the upper three quarters."""
    upper = picture[: picture.shape[0] * 3 // 4].astype(int)
    return float(np.abs(np.diff(upper, axis=1)).mean())


@pytest.mark.parametrize("place", INDOORS)
def test_there_is_no_weather_indoors(place):
    with pytest.raises(ValueError, match="rain"):
        SceneSpec(place, weather="rain")
    with pytest.raises(ValueError, match="night"):
        SceneSpec(place, time="night")


@pytest.mark.parametrize(("shape", "ground"), [("square", 226), ("landscape", 178)])
def test_a_canvas_has_its_shape_and_its_ground(shape, ground):
    canvas = Canvas(*v.SHAPES[shape])
    assert (canvas.width, canvas.height) == v.SHAPES[shape]
    assert canvas.ground == ground


def test_labels_are_drawn_with_the_same_strokes():
    canvas = Canvas(64, 48)
    canvas.owner = 2
    canvas.polygon(points([(4, 4), (20, 4), (20, 20), (4, 20)]), (255, 0, 0), v.Part.TORSO)
    canvas.owner = 1
    canvas.stroke(points([(8, 8), (8, 30)]), 4, (0, 255, 0), v.Part.HAND)
    canvas.polygon(points([(30, 30), (60, 30), (60, 44)]), (0, 0, 255))
    assert set(np.unique(canvas.owners)) == {0, 1, 2}
    assert np.array_equal(canvas.owners == 2, canvas.parts == v.Part.TORSO)
    assert np.array_equal(canvas.owners == 1, canvas.parts == v.Part.HAND)
    picture, parts, owners = canvas.picture(), canvas.parts.copy(), canvas.owners.copy()
    canvas.mirror()
    assert np.array_equal(canvas.picture(), picture[:, ::-1])
    assert np.array_equal(canvas.parts, parts[:, ::-1])
    assert np.array_equal(canvas.owners, owners[:, ::-1])


def test_a_veil_blends_each_row_by_its_share():
    canvas = Canvas(16, 16)
    canvas.veil((200, 100, 50), np.array([0, 1], np.float32))
    rows = canvas.picture()[:, 0].astype(int)
    assert np.all(np.diff(rows, axis=0) >= 0)
    assert rows[0].max() < 30
    assert rows[-1] == pytest.approx((200, 100, 50), abs=30)
