# SPDX-License-Identifier: GPL-3.0-or-later
"""What a synthetic person looks like, and how it is drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pack import AssetPack

__all__ = ["Appearance", "Cloth", "Cut", "Outfit", "random_appearance"]

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Cut:
    """Which part of the body a painted garment covers, in rest-pose coordinates.

    arm: up to here along the arm (0 shoulder, 1 elbow, 2 wrist, 3 beyond the hand; below 0 towards the spine).
    bottom, top: from here to here along the height (0 ankle, 1 knee, 2 hip, 3 waist, 4 neck, 5 top of the head).
    neck: depth of the neckline in metres; neck_width: half its width at the top, metres.
    tilt: levels by which `bottom` and `top` rise per metre towards the front.
    """

    arm: float
    bottom: float
    top: float
    neck: float = 0.0
    neck_width: float = 0.08
    tilt: float = 0.0


@dataclass(frozen=True)
class Cloth:
    """Colour of a surface: linear RGB, with an optional pattern in a second and third colour.

    pattern: 0 plain, 1 stripes around, 2 stripes along, 3 checks, 4 blotches, 5 halves, 6 dots.
    period: metres; logo: size in metres of a print on chest and back (0: none); folds: strength of the folds;
    weave: strength of fine noise; shine: strength of highlights.
    """

    color: Color
    second: Color = (0.5, 0.5, 0.5)
    third: Color = (0.5, 0.5, 0.5)
    pattern: int = 0
    period: float = 0.05
    logo: float = 0.0
    folds: float = 0.3
    weave: float = 0.05
    shine: float = 0.0


@dataclass(frozen=True)
class Outfit:
    """A painted garment: where, what of, how far from the skin (metres) and how much wider at its ends."""

    cut: Cut
    cloth: Cloth
    thickness: float
    flare: float = 0.0


@dataclass(frozen=True)
class Appearance:
    """One person's looks.

    skin: image key; tone: linear RGB that the skin's mean takes; scalp: colour of the painted hair cap or None;
    scalp_line: where its border runs (0 receding .. 1 low); beard: strength 0..1; garments: from the skin outwards;
    attachments: (index into the pack, cloth, keep): keep 1 shows its own texture, 0 its brightness in `cloth`'s
    colour; seed: places folds and patterns.
    """

    skin: str
    tone: Color
    scalp: Color | None
    scalp_line: float
    beard: float
    garments: tuple[Outfit, ...]
    attachments: tuple[tuple[int, Cloth, float], ...]
    seed: float


# Mean linear skin colours from light to dark, between which tones are drawn evenly.
SKIN_TONES = np.array(
    [
        [0.72, 0.47, 0.36],
        [0.60, 0.36, 0.25],
        [0.46, 0.26, 0.165],
        [0.31, 0.165, 0.10],
        [0.18, 0.092, 0.055],
        [0.085, 0.045, 0.030],
    ]
)
HAIR_COLORS = np.array(
    [
        [0.012, 0.010, 0.009],
        [0.025, 0.017, 0.012],
        [0.06, 0.035, 0.02],
        [0.12, 0.065, 0.03],
        [0.35, 0.22, 0.10],
        [0.20, 0.06, 0.02],
        [0.35, 0.34, 0.33],
    ]
)
HAIR_SHARE = np.array([0.3, 0.22, 0.17, 0.11, 0.09, 0.03, 0.08])
# Neutral and common garment colours, linear.
NEUTRALS = np.array(
    [
        [0.010, 0.010, 0.012],
        [0.03, 0.03, 0.035],
        [0.10, 0.10, 0.11],
        [0.30, 0.30, 0.30],
        [0.75, 0.75, 0.74],
        [0.85, 0.85, 0.86],
        [0.012, 0.018, 0.05],
        [0.03, 0.06, 0.14],
        [0.08, 0.14, 0.26],
        [0.40, 0.31, 0.20],
        [0.09, 0.055, 0.035],
        [0.10, 0.11, 0.06],
    ]
)


def _as_color(values: np.ndarray) -> Color:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _color(rng: np.random.Generator, neutral: float = 0.5) -> Color:
    """A garment colour: neutral with the given probability, else any hue, saturated or muted."""
    if rng.random() < neutral:
        rgb = NEUTRALS[rng.integers(len(NEUTRALS))] * rng.uniform(0.7, 1.25)
    else:
        hue = rng.random() * 6
        wheel = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        saturation, value = rng.beta(2.5, 1.2), rng.uniform(0.15, 1.0)
        rgb = (value * (1 - saturation * (1 - wheel))) ** 2.2
    rgb = np.clip(rgb * rng.uniform(0.93, 1.07, 3), 0.006, 0.9)
    return (float(rgb[0]), float(rgb[1]), float(rgb[2]))


def random_cloth(rng: np.random.Generator, neutral: float = 0.5, patterned: float = 0.35) -> Cloth:
    """A material; most are plain."""
    pattern = int(rng.choice([1, 1, 2, 3, 3, 4, 5, 6])) if rng.random() < patterned else 0
    return Cloth(
        color=_color(rng, neutral),
        second=_color(rng, 0.5),
        third=_color(rng, 0.4),
        pattern=pattern,
        period=float(np.exp(rng.uniform(np.log(0.02), np.log(0.16)))),
        logo=float(rng.uniform(0.06, 0.2)) if rng.random() < 0.25 else 0.0,
        folds=float(rng.uniform(0.15, 0.9)),
        weave=float(rng.uniform(0.0, 0.25)),
        shine=float(rng.uniform(0, 0.35)) if rng.random() < 0.2 else 0.0,
    )


def _upper(rng: np.random.Generator) -> Outfit:
    arm = float(
        rng.choice(
            [rng.uniform(-0.25, 0.0), rng.uniform(0.3, 0.9), rng.uniform(1.0, 1.7), rng.uniform(1.85, 2.05)],
            p=[0.15, 0.45, 0.07, 0.33],
        )
    )
    bottom = float(
        rng.choice([rng.uniform(2.05, 2.6), rng.uniform(1.7, 2.1), rng.uniform(2.8, 3.2)], p=[0.7, 0.2, 0.1])
    )
    collar = float(rng.choice([rng.uniform(0.0, 0.06), rng.uniform(0.06, 0.16)], p=[0.75, 0.25]))
    loose = rng.random() < 0.5
    return Outfit(
        Cut(arm, bottom, float(rng.uniform(3.98, 4.2)), collar, float(rng.uniform(0.05, 0.11))),
        random_cloth(rng, 0.5, 0.4),
        thickness=float(rng.uniform(0.012, 0.03) if loose else rng.uniform(0.004, 0.012)),
        flare=float(rng.uniform(0.005, 0.03) if loose else rng.uniform(0, 0.006)),
    )


def _lower(rng: np.random.Generator) -> Outfit:
    kind = rng.choice(["long", "short", "capri", "brief"], p=[0.55, 0.32, 0.07, 0.06])
    bottom = {
        "long": rng.uniform(-0.02, 0.15),
        "short": rng.uniform(1.0, 1.65),
        "capri": rng.uniform(0.3, 0.8),
        "brief": rng.uniform(1.8, 1.95),
    }[kind]
    loose = rng.random() < 0.45
    cloth = random_cloth(rng, 0.75, 0.12)
    return Outfit(
        Cut(0.3, float(bottom), float(rng.uniform(2.45, 3.0))),
        cloth,
        thickness=float(rng.uniform(0.01, 0.025) if loose else rng.uniform(0.003, 0.01)),
        flare=float(rng.uniform(0.005, 0.03) if loose else rng.uniform(0, 0.008)),
    )


def _painted_garments(rng: np.random.Generator) -> list[Outfit]:
    style = rng.random()
    garments = []
    if style < 0.06:  # swimwear, bare chest
        garments.append(_lower(rng))
    elif style < 0.12:  # one piece: overall, wetsuit, leotard
        upper, lower = _upper(rng), _lower(rng)
        cut = Cut(upper.cut.arm, lower.cut.bottom, 4.05, upper.cut.neck, upper.cut.neck_width)
        garments.append(Outfit(cut, upper.cloth, lower.thickness, lower.flare))
    else:
        lower, upper = _lower(rng), _upper(rng)
        # A shirt is worn over the trousers or tucked in.
        garments += [lower, upper] if rng.random() < 0.7 else [upper, lower]
        if rng.random() < 0.2:
            coat = _upper(rng)
            cut = Cut(2.0, float(rng.uniform(1.5, 2.3)), 4.1, float(rng.uniform(0.1, 0.3)), 0.09)
            garments.append(Outfit(cut, coat.cloth, garments[-1].thickness + 0.012, 0.01))
    return garments


def _footwear(rng: np.random.Generator) -> list[Outfit]:
    layers = []
    if rng.random() < 0.55:
        top = float(rng.choice([rng.uniform(0.08, 0.25), rng.uniform(0.3, 0.75)], p=[0.7, 0.3]))
        layers.append(Outfit(Cut(-0.5, -2, top), random_cloth(rng, 0.8, 0.15), 0.003))
    if rng.random() < 0.75:
        boots = rng.random() < 0.15
        top = float(rng.uniform(0.2, 0.7) if boots else rng.uniform(-0.12, 0.08))
        layers.append(Outfit(Cut(-0.5, -2, top, tilt=-0.6), random_cloth(rng, 0.65, 0.3), 0.010, 0.0))
    return layers


def _tone(rng: np.random.Generator, position: float) -> Color:
    """A skin's colour between two of SKIN_TONES."""
    low = int(position)
    tone = SKIN_TONES[low] + (position - low) * (SKIN_TONES[low + 1] - SKIN_TONES[low])
    return _as_color(tone * rng.uniform(0.9, 1.1) * rng.uniform(0.96, 1.04, 3))


def _hair_color(rng: np.random.Generator, position: float) -> Color:
    """Fair hair is rare where the skin's tone, its position among SKIN_TONES, is dark."""
    share = HAIR_SHARE.copy()
    if position > 2:
        share[3:6] *= 0.15
    return _as_color(HAIR_COLORS[rng.choice(len(HAIR_COLORS), p=share / share.sum())] * rng.uniform(0.7, 1.4))


def _on_the_head(
    rng: np.random.Generator, pack: AssetPack, hair: Color
) -> tuple[list[tuple[int, Cloth, float]], list[Outfit]]:
    """Hair or a hat, as an attachment, or a painted cap, as a garment."""
    headwear = rng.random()
    if headwear > 0.12:
        styles = pack.of_kind("hair")
        if styles and rng.random() < 0.75:
            return [(int(rng.choice(styles)), Cloth(hair, folds=0.0, weave=0.5, shine=0.25), 0.0)], []
        return [], []
    if headwear < 0.03 and pack.of_kind("hat"):
        return [(int(rng.choice(pack.of_kind("hat"))), random_cloth(rng, 0.6, 0.0), 0.0)], []
    cap = Cut(9.0, float(rng.uniform(4.6, 4.75)), 9.0, tilt=float(rng.uniform(0.0, 1.2)))
    return [], [Outfit(cap, random_cloth(rng, 0.4, 0.3), float(rng.uniform(0.008, 0.02)))]


def random_appearance(rng: np.random.Generator, pack: AssetPack) -> Appearance:
    """Draw a person's looks: skin tones evenly, clothes mostly plain, hair for nearly everybody."""
    position = rng.uniform(0, len(SKIN_TONES) - 1.001)
    tone = _tone(rng, position)
    skins = [key for key in pack.keys("skin/") if "suit" not in key]
    suited_skins = [key for key in pack.keys("skin/") if "suit" in key]
    skin = skins[rng.integers(len(skins))]
    wearer = "female" if "female" in skin else "male"

    hair = _hair_color(rng, position)
    attachments, garments = _on_the_head(rng, pack, hair)
    suits = pack.of_kind("suit", wearer)
    if suits and rng.random() < 0.3:
        keep = 1.0 if rng.random() < 0.4 else 0.0
        attachments.append((int(rng.choice(suits)), random_cloth(rng, 0.4, 0.0), keep))
    elif suited_skins and rng.random() < 0.02:
        skin = suited_skins[rng.integers(len(suited_skins))]
    else:
        garments += _painted_garments(rng)
    shoes = pack.of_kind("shoes")
    if shoes and rng.random() < 0.5:
        keep = 1.0 if rng.random() < 0.6 else 0.0
        attachments.append((int(rng.choice(shoes)), random_cloth(rng, 0.6, 0.0), keep))
    else:
        garments = _footwear(rng) + garments
    return Appearance(
        skin=skin,
        tone=tone,
        scalp=hair if rng.random() < 0.93 else None,
        scalp_line=float(rng.beta(2, 1.5)),
        beard=float(rng.uniform(0.3, 0.9)) if wearer == "male" and rng.random() < 0.35 else 0.0,
        garments=tuple(garments),
        attachments=tuple(attachments),
        seed=float(rng.random()),
    )
