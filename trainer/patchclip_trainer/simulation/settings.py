"""Every number that simulated findings are drawn by, with its unit and where it comes from.

Source: where nothing else is said, a value was **chosen by eye**: findings were drawn onto normal frontal radiographs
of the RSNA and ChestX-Det collections, as in the picture of docs/simulation.md, and looked at. Which and how many
images were looked at for a value was not written down; 72 normal ones were at hand. No value was measured on a data
set.

Units: names end in what a number is a share of. `_of_side`: the image's height, which is its width. `_of_lung`: the
height or width of the lung's box. `_of_chest`: the width of both lungs. `_grey`: the way from black (0) to white (1).
`_small_px`: pixels of the copy, `Outline.small_px` wide, in which lungs are looked for. All else is a ratio or an
exponent.

A changed value draws other images for the same seed: raise `draw.VERSION` with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Span:
    """Values between two ends, each as likely as the other."""

    low: float
    high: float

    def draw(self, chance: np.random.Generator) -> float:
        """Return one of the values."""
        return float(chance.uniform(self.low, self.high))

    def draw_log(self, chance: np.random.Generator) -> float:
        """Return one of the values, whose logarithms are as likely as each other: of sizes, as many small as large."""
        return float(np.exp(chance.uniform(np.log(self.low), np.log(self.high))))


@dataclass(frozen=True, slots=True)
class Levelling:
    """How grey values are brought to one scale before lungs are looked for."""

    border_parts: int = 8
    """The outermost 1 / `border_parts` of each side is left out of the percentiles: collimation, letters, air."""
    low_percentile: float = 3.0
    high_percentile: float = 97.0
    least_contrast_grey: float = 1e-3
    """Guards the division for an image without any contrast."""
    air_blur_small_px: float = 1.0
    air_grey: float = 0.12
    """On the levelled scale: what is darker and touches the frame is air beside the body."""
    tissue_grey: float = 0.75
    """On the levelled scale: what such air is replaced by."""


@dataclass(frozen=True, slots=True)
class ChestPattern:
    """Two dark ellipses in a brighter surround, which are laid over the image."""

    coarse_px: int = 28
    """Side of the copy in which every place and size is tried."""
    widths_of_side: tuple[float, float, int] = (0.54, 0.96, 7)
    """Width of the chest: from, to, how many."""
    half_heights_of_side: tuple[float, float, int] = (0.20, 0.42, 7)
    """Half the height of the lungs: from, to, how many."""
    least_aspect: float = 0.55
    greatest_aspect: float = 1.2
    """Height of the lungs by width of the chest; other pairs of sizes are not tried."""
    apart_of_chest: float = 0.266
    """From the middle of the chest to that of a lung."""
    half_width_of_chest: float = 0.234
    """Half of a lung's width. With `apart_of_chest` the lungs reach from wall to wall: their sum is one half."""
    weight_at_middle: float = 1.5
    """Weight of a place in a lung falls from here by 1 to the ellipse, and is at most 1."""
    surround: float = 1.4
    """How far the brighter surround reaches, in radii of the ellipse."""
    place_weight: float = 0.25
    """What it costs to lie one standard deviation (the two below) off the expected place."""
    place_deviation_x_of_side: float = 0.04
    place_deviation_y_of_side: float = 0.06
    place_above_of_side: float = 0.04
    """Lungs are expected this far above the image's middle."""


@dataclass(frozen=True, slots=True)
class Outline:
    """How the outline of a lung is traced along rays from the middle of its ellipse."""

    small_px: int = 112
    """Side of the copy in which it is traced."""
    blur_small_px: float = 1.2
    """The step from lung to chest wall is wanted, not ribs and vessels."""
    rays: int = 48
    radii: tuple[float, float, int] = (0.45, 1.6, 41)
    """Tried along a ray, in units of the ellipse's own radius there: from, to, how many."""
    squareness: float = 2.6
    """Exponent of the superellipse that is traced from (2 is an ellipse): a lung is squarer."""
    inside_radius: float = 0.8
    """Within, all is taken for lung; its median is the lung's grey."""
    outside_radius: float = 1.15
    """Beyond, the surround is looked at, ray by ray: shoulders are darker than what lies below the diaphragm."""
    outside_quantile: float = 0.6
    outside_blur_rays: float = 5.0
    least_contrast_grey: float = 0.1
    bright_from: float = 0.45
    """Part of the way from the lung's grey to the surround's at which a place is as bright as dark."""
    bright_steepness: float = 2.0
    dark_weight: float = 2.0
    """Weight of the darkness that an outline encloses along a ray."""
    step_weight: float = 0.4
    """Weight of the step from dark to bright at the outline."""
    shape_weight: float = 1.5
    """What a radius costs that is not the ellipse's, by the square of the difference."""
    shape_weight_upwards: float = 2.0
    """How much more it costs straight up, where the neck leads away."""
    steepest_radii: int = 2
    """How many radii the outline may move from a ray to the next."""
    bend_weight: float = 0.03
    """What such a move costs, by its square."""
    radius_blur_rays: float = 0.8
    tissue_from: float = 0.55
    """Part of the way from the lung's grey to the surround's from which on a place inside is heart or diaphragm."""
    tissue_blur_small_px: float = 1.6
    opening_small_px: int = 3
    """Bridges thinner than twice this are cut."""
    narrowing_of_lung: float = 0.5
    """The part of the height, from the top, in which a lung narrows upwards."""
    apex_of_median: float = 0.5
    """Width of the apex, by the median width: what is narrower above is neck."""
    round_small_px: float = 3.0
    """Blur that rounds the outline."""
    depth_blur_small_px: float = 1.6
    """Blur of the distances to the outline."""


@dataclass(frozen=True, slots=True)
class Plausible:
    """What two outlines must be to be lungs. Tried on 72 normal images: 60 pass, and follow the rib cage by eye."""

    least_area: float = 0.04
    greatest_area: float = 0.2
    """Of the image's area, each lung."""
    least_likeness: float = 0.5
    """Area of the smaller lung by that of the larger one."""
    least_fullness: float = 0.5
    """Part of its box that a lung fills."""
    greatest_width_of_side: float = 0.36
    greatest_overlap_of_side: float = 0.01
    """How far the boxes may overlap across the middle."""
    least_margin_of_side: float = 0.01
    """Between the apex and the upper edge of the image."""
    greatest_tilt_of_side: float = 0.07
    """By which one apex may be higher."""


@dataclass(frozen=True, slots=True)
class Surround:
    """What any lesion asks of the image around."""

    coarse_blur_of_side: float = 0.025
    """Blur of the coarse grey values: what a few centimetres around a pixel look like."""
    least_change_grey: float = 0.006
    """A smaller change is none: one and a half of 255 grey values."""
    gap_px: int = 2
    """Parts of a lesion that lie this near to each other, twice, are one."""
    tissue_from_of_lung: float = 0.5
    """Tissue without air is sampled around the lung from here down,"""
    tissue_below_of_side: float = 0.05
    """to this far below it,"""
    tissue_near_of_side: float = 0.025
    tissue_far_of_side: float = 0.09
    """and between these distances from the outline."""
    tissue_quantile: float = 0.6
    fallback_quantile: float = 0.75
    """Of the whole image, where there is no such place."""


@dataclass(frozen=True, slots=True)
class Effusion:
    """Fluid at the base."""

    height_of_lung: Span = Span(0.14, 0.55)
    """At mid width."""
    moderate_from_of_lung: float = 0.25
    large_from_of_lung: float = 0.42
    """Heights from which the sentence says moderate and large."""
    margin_of_side: float = 0.07
    """Around the lung, for what lies below the diaphragm's outline."""
    grey_quantile: float = 0.8
    """Fluid is as bright as this part of the tissue around."""
    level: float = 0.5
    """Of the surface's height: what it has everywhere,"""
    inner_rise: float = 0.12
    inner_steepness: int = 4
    """what it gains towards the heart,"""
    outer_rise: float = 0.5
    outer_steepness: Span = Span(2.5, 5)
    """and along the wall: the meniscus."""
    fade_of_lung: Span = Span(0.07, 0.13)
    """Height over which the surface fades in."""
    fade_exponent: float = 1.3
    edge_of_side: float = 0.025
    edge_reach: float = 2.0
    """The fluid fades out over an edge this wide, beginning `edge_reach` edges outside of the outline."""
    density: Span = Span(0.88, 0.98)
    fine_blur_of_side: float = 0.006
    """Blur of the image that the fluid is laid over; what it takes away is grain and vessels."""
    bones: float = 0.25
    """Part of the contrast of ribs that stays: attenuations add up."""
    grain_lost: float = 0.5
    """Part of grain and vessels that goes."""


@dataclass(frozen=True, slots=True)
class Opacity:
    """A patchy consolidation. Lengths of the clouds are in units of the lesion's half width and half height."""

    depth_of_side: float = 0.03
    """The middle lies at least this deep in the lung."""
    half_width_of_lung: Span = Span(0.14, 0.34)
    half_height_of_lung: Span = Span(0.07, 0.2)
    reach: float = 2.4
    """Beyond `reach` half widths and heights nothing is drawn."""
    clouds: tuple[int, int] = (4, 9)
    """How many: from, and below."""
    cloud_deviation: float = 0.55
    cloud_size: Span = Span(0.35, 0.8)
    cloud_weight: Span = Span(0.4, 1)
    coarse_grain: float = 0.4
    coarse_grain_of_side: float = 0.018
    fine_grain: float = 0.25
    fine_grain_of_side: float = 0.006
    """Two textures: how strong, and how large."""
    cut: float = 0.12
    """Density below which there is none."""
    edge_of_side: float = 0.035
    """The lesion fades in from the lung's outline over this depth."""
    density: Span = Span(0.4, 0.8)
    filling: float = 0.85
    """Part of the way to the grey of tissue, at density 1."""
    grain_lost: float = 0.35
    """Part of vessels and ribs that goes, at density 1."""
    consolidation_from: float = 0.55
    """Highest density from which the sentence says consolidation, not hazy opacity."""


@dataclass(frozen=True, slots=True)
class Nodule:
    """A solid round lesion."""

    radius_of_side: Span = Span(0.011, 0.042)
    """Small ones as often as large ones, by their logarithm."""
    mass_from_of_side: float = 0.06
    """Diameter from which the sentence says mass: 2.1 to 2.6 cm on a film of 35 to 43 cm. The Fleischner Society's
    glossary (Bankier et al., Radiology 310(2), e232558, 2024) says 3 cm; the image's scale is not known here."""
    depth_of_side: float = 0.01
    """Between the lesion and the lung's outline, at least."""
    reach: float = 1.8
    """Beyond `reach` radii nothing is drawn."""
    waves: tuple[int, ...] = (2, 3, 4, 5)
    waviness: float = 0.11
    """Deviation of the edge from a circle: of a wave, this by how many times it goes around."""
    blur_of_side: float = 0.0022
    """As the detector blurs."""
    density: Span = Span(0.28, 0.5)
    density_of_small: float = 0.75
    density_by_radius: float = 12.0
    greatest_density: float = 1.3
    """A larger sphere is denser: what the density is multiplied by at radius 0, its rise by radius (of the side), its
    end."""
    least_contrast_grey: float = 0.12


@dataclass(frozen=True, slots=True)
class Pneumothorax:
    """Air between wall and lung."""

    margin_of_side: float = 0.02
    reach_of_lung: Span = Span(0.3, 0.8)
    """How far down from the apex the air goes."""
    collapse: Span = Span(0.08, 0.3)
    """Part of its size that the lung loses at the apex."""
    moderate_from: float = 0.16
    """Collapse from which the sentence says moderate."""
    apical_below: float = 0.08
    """Collapse times reach below which it says apical."""
    hilum_outwards_of_lung: float = 0.1
    hilum_down_of_lung: float = 0.62
    """Where the lung shrinks to: from its inner edge, and from its top."""
    steepness: float = 1.2
    """Of the shrinking, from the air's lower end upwards."""
    line_of_side: float = 0.0024
    least_line_px: float = 0.8
    """Half the width of the visceral pleura's line."""
    edge_of_side: float = 0.012
    edge_reach: float = 1.2
    """The air fades out over an edge this wide, beginning `edge_reach` edges outside of the outline."""
    inner_of_lung: float = 0.05
    inner_fade_of_lung: float = 0.3
    """Towards the heart there is no air; from here on it fades in, over this width."""
    air_below: float = 0.995
    line_below: float = 0.985
    """Where the lung has shrunk to less than this there is air, and a line."""
    grain_blur_of_side: float = 0.0022
    grain_grey: float = 0.015
    """Grain of the detector, which stays: what is finer than the blur, up to this much."""
    vessel_of_side: float = 0.017
    least_vessel_px: int = 3
    """Vessels are bright and narrower than this, ribs are wider."""
    bare_blur_of_side: float = 0.0035
    least_contrast_grey: float = 0.1
    darker: Span = Span(0.12, 0.28)
    """Than the lung without its vessels, in units of the contrast between tissue and lung."""
    line_contrast: Span = Span(0.18, 0.32)
    """In the same units."""


@dataclass(frozen=True, slots=True)
class EnlargedHeart:
    """A wider heart."""

    top_of_lung: float = 0.38
    """From the apex of the lungs down to the great vessels, where it begins."""
    least_height_of_side: float = 0.1
    middle_of_side: float = 0.015
    """The spine lies this far to the right of the middle between the lungs."""
    left_of_chest: Span = Span(0.06, 0.12)
    """How much further out the left border lies."""
    moderate_from_of_chest: float = 0.08
    """Growth from which the sentence says moderately."""
    right_of_left: Span = Span(0.05, 0.4)
    """How much the right border moves, by how much the left one does."""
    rounded: float = 0.45
    """The lower part of the height, in which the heart rounds off on the diaphragm; above, its border bulges."""
    greatest_of_lung: float = 0.7
    """Part of the lung beside it that the heart covers at most."""
    margin_of_side: float = 0.03
    border_blur_of_side: float = 0.02
    """Smooths the lungs' inner edges from row to row."""
    edge_of_side: float = 0.02
    edge_reach: float = 1.25
    """The old border's own fall-off is taken along, over an edge this wide, ending `edge_reach` edges outside."""
    darkest_change_grey: float = 0.02
    """Nothing becomes darker than it was by more than this."""


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """All of them."""

    levelling: Levelling = field(default_factory=Levelling)
    pattern: ChestPattern = field(default_factory=ChestPattern)
    outline: Outline = field(default_factory=Outline)
    plausible: Plausible = field(default_factory=Plausible)
    surround: Surround = field(default_factory=Surround)
    effusion: Effusion = field(default_factory=Effusion)
    opacity: Opacity = field(default_factory=Opacity)
    nodule: Nodule = field(default_factory=Nodule)
    pneumothorax: Pneumothorax = field(default_factory=Pneumothorax)
    enlarged_heart: EnlargedHeart = field(default_factory=EnlargedHeart)


SETTINGS = SimulationSettings()
