"""Tops, skirts, patterns, and what is worn over them: backpacks and scarves."""

from dataclasses import dataclass

from pipelines.miniature.world.brush import Brush
from pipelines.miniature.world.poses import Body, Joint, Skeleton
from pipelines.miniature.world.spec import Character, SceneSpec
from pipelines.miniature.world.vocabulary import CLOTH_COLORS, Color, Part, darker

_LIGHT: Color = (248, 248, 248)
_DEEP: Color = (70, 70, 80)


@dataclass(frozen=True)
class ClothesPainter:
    """Paints what a character wears on the body."""

    brush: Brush
    character: Character
    body: Body
    bones: Skeleton
    spec: SceneSpec

    @property
    def _sideways(self) -> bool:
        return self.spec.action in ("walking", "running", "sitting", "kicking")

    @property
    def _cloth(self) -> Color:
        return CLOTH_COLORS[self.character.top_color]

    @property
    def _pack(self) -> Color:
        return (60, 120, 120) if self.character.top_color in ("orange", "brown") else (196, 116, 54)

    def _half_width(self, height: float) -> float:
        """Half of the torso's width; height 0 is the waist, 1 the shoulders."""
        shoulder = self.body.shoulder * (0.74 if self._sideways else 1.0)
        waist = self.body.waist * (0.84 if self._sideways else 1.0)
        return waist + (shoulder - waist) * height

    def _on_torso(self, across: float, height: float) -> Joint:
        """A point of the torso; across from -1 to 1, height from 0 (waist) to 1 (neck)."""
        x, y = self.bones.neck
        return (x * height + across * self._half_width(height), y * height)

    def paint_behind(self) -> None:
        """A backpack and a hood, as far as they show behind the body."""
        neck, wide = self.bones.neck, self.body.shoulder
        if self.character.accessory == "backpack" and not self.spec.from_behind:
            back = -0.19 if self._sideways else -wide - 0.07
            front = 0.0 if self._sideways else wide + 0.07
            top, bottom = neck[1] + 0.04, -0.03
            lean = neck[0]
            bag: list[Joint] = [
                (back + lean, top),
                (front + lean, top),
                (front, bottom),
                (back, bottom),
            ]
            self.brush.shape(bag, self._pack, Part.BACKPACK, darker(self._pack))
        if self.character.top == "hoodie":
            hood = darker(self._cloth, 0.8)
            place = (neck[0] - (0.05 if self._sideways else 0), neck[1] + 0.01)
            self.brush.oval(place, wide * 1.25, 0.075, hood, Part.TORSO, darker(self._cloth))

    def paint(self) -> None:
        """Skirt or waistband, then the top with its pattern and its details."""
        person = self.character
        if person.top == "dress":
            self._skirt(self._cloth, self.body.thigh * 1.25)
        elif person.bottom == "skirt":
            self._skirt(CLOTH_COLORS[person.bottom_color], self.body.thigh * 1.05)
        self._torso()
        if person.pattern != "plain":
            self._pattern()
        if not self.spec.from_behind:
            self._details()
        if person.accessory == "backpack" and not self._sideways:
            self._pack_on_top()

    def _skirt(self, color: Color, length: float) -> None:
        waist = self._half_width(0)
        if self.spec.action == "sitting":
            knee = self.bones.left_leg[1][0] * 0.9
            hem: list[Joint] = [
                (-waist, -0.05),
                (waist, -0.055),
                (knee, -0.055),
                (knee, 0.06),
                (-waist, 0.05),
            ]
        else:
            flare = waist * 1.85
            hem = [(-waist, -0.04), (waist, -0.04), (flare, length), (-flare, length)]
        self.brush.shape(hem, color, Part.SKIRT, darker(color))

    def _torso(self) -> None:
        at, color = self._on_torso, self._cloth
        hem = 0.03
        if self.character.top == "coat":
            hem = 0.05 if self.spec.action == "sitting" else 0.12
        neck, waist = self.bones.neck, self._half_width(0)
        shoulder = 0.05
        outline: list[Joint] = [
            (-waist * (1.0 + hem), hem),
            at(-1, 0.25),
            (at(-1, 1)[0], neck[1] + shoulder),
            (at(-0.5, 1)[0], neck[1]),
            (at(0.5, 1)[0], neck[1]),
            (at(1, 1)[0], neck[1] + shoulder),
            at(1, 0.25),
            (waist * (1.0 + hem), hem),
        ]
        edge = (18, 18, 22) if self.character.top_color == "black" else darker(color)
        self.brush.shape(outline, color, Part.TORSO, edge)

    def _pattern(self) -> None:
        pale = self.character.top_color in ("white", "yellow", "pink", "gray")
        ink = _DEEP if pale else _LIGHT
        if self.character.pattern == "striped":
            for height in (0.16, 0.44, 0.72):
                ends = [self._on_torso(-0.86, height), self._on_torso(0.86, height)]
                self.brush.line(ends, 0.028, ink, Part.TORSO)
            return
        for height in (0.18, 0.46, 0.74):
            for across in (-0.6, 0.0, 0.6):
                place = self._on_torso(across, height)
                self.brush.oval(place, 0.02, 0.02, ink, Part.TORSO)

    def _details(self) -> None:
        """What tells one kind of top from another."""
        at, top = self._on_torso, self.character.top
        shade, edge = darker(self._cloth, 0.8), darker(self._cloth)
        if top == "jacket":
            shirt = (90, 90, 100) if self.character.top_color == "white" else (238, 238, 236)
            opening = [at(-0.28, 1), at(0.28, 1), (0.04, 0.03), (-0.04, 0.03)]
            self.brush.shape(opening, shirt, Part.TORSO, edge)
        elif top == "coat":
            self.brush.line([at(0, 0.95), (0.0, 0.1)], 0.012, edge, Part.TORSO)
            for height in (0.7, 0.4, 0.1):
                place = at(0.3, height)
                self.brush.oval(place, 0.016, 0.016, edge, Part.TORSO)
        elif top == "hoodie":
            pocket = [at(-0.5, 0.36), at(0.5, 0.36), at(0.75, 0.06), at(-0.75, 0.06)]
            self.brush.shape(pocket, shade, Part.TORSO, edge)
        elif top == "sweater":
            self.brush.line([at(-0.9, -0.04), at(0.9, -0.04)], 0.034, shade, Part.TORSO)
            self.brush.line([at(-0.45, 0.96), at(0.45, 0.96)], 0.034, shade, Part.TORSO)

    def _pack_on_top(self) -> None:
        """The bag from behind, or its straps from the front."""
        at, color = self._on_torso, self._pack
        if self.spec.from_behind:
            bag = [at(-0.9, 0.85), at(0.9, 0.85), at(0.95, 0.02), at(-0.95, 0.02)]
            self.brush.shape(bag, color, Part.BACKPACK, darker(color))
            return
        for side in (-1, 1):
            strap = [at(side * 0.62, 0.95), at(side * 0.74, 0.35)]
            self.brush.line(strap, 0.036, color, Part.BACKPACK, darker(color))

    def paint_scarf(self) -> None:
        """A scarf around the neck, over the chin's shadow."""
        if self.character.accessory != "scarf":
            return
        warm = self.character.top_color in ("red", "pink", "orange")
        color: Color = (60, 110, 200) if warm else (214, 62, 60)
        x, y = self.bones.neck
        wide = self.body.shoulder * 0.72
        ends: list[Joint] = [(x - wide, y + 0.02), (x + wide, y + 0.02)]
        self.brush.line(ends, 0.07, color, Part.SCARF, darker(color))
        tail: list[Joint] = [(x + wide * 0.45, y + 0.03), (x + wide * 0.6, y + 0.15)]
        self.brush.line(tail, 0.055, color, Part.SCARF, darker(color))
