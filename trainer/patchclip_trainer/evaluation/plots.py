"""Plots as SVG: no plotting library, legible in light and in dark, sharp at any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_WIDTH, _HEIGHT = 460, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 34, 46
_LEGEND_LINE = 16
_SERIES = (
    "#0d8a97",
    "#e69f00",
    "#cc5a9e",
    "#4f7fd1",
    "#5a9e3d",
    "#d55e00",
    "#8b72be",
    "#7d8a8c",
    "#a3392f",
    "#2f7354",
    "#a58a00",
    "#4a3fa0",
)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line of a plot.

    dashed: for what others are compared with. points: to mark each value. group: curves of one group share a colour;
    empty: its own colour.
    """

    name: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    dashed: bool = False
    points: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """A labelled axis: its range, the ticks on it, and whether it is logarithmic."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return where values lie between the ends: 0 to 1, those outside moved to the nearer end."""
        known = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        if self.logarithmic:
            return np.asarray(np.log(known / self.low) / np.log(self.high / self.low))
        return np.asarray((known - self.low) / (self.high - self.low))


SHARE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def plot(title: str, x: Axis, y: Axis, curves: Sequence[Curve], *, diagonal: bool = False) -> str:
    """Return an SVG element: a frame with a grid, the curves, and their names below."""
    height = _HEIGHT + _LEGEND_LINE * len(curves)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="system-ui, Liberation Sans, sans-serif" font-size="12" fill="currentColor">',
        f"<title>{escape(title)}</title>",
        f'<text x="{_LEFT}" y="18" font-weight="600" font-size="14">{escape(title)}</text>',
    ]
    for tick, place in zip(x.ticks, _across(x, np.array(x.ticks)), strict=True):
        parts.append(_line(place, _TOP, place, bottom))
        parts.append(f'<text x="{place:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for tick, place in zip(y.ticks, _down(y, np.array(y.ticks)), strict=True):
        parts.append(_line(_LEFT, place, right, place))
        parts.append(f'<text x="{_LEFT - 7}" y="{place + 4:.1f}" text-anchor="end">{tick:g}</text>')
    if diagonal:
        parts.append(_line(_LEFT, bottom, right, _TOP, dashed=True))
    middle_x, middle_y = (_LEFT + right) / 2, (_TOP + bottom) / 2
    parts.append(f'<text x="{middle_x}" y="{bottom + 36}" text-anchor="middle">{escape(x.label)}</text>')
    turned = f'transform="rotate(-90 14 {middle_y})"'
    parts.append(f'<text x="14" y="{middle_y}" text-anchor="middle" {turned}>{escape(y.label)}</text>')
    groups = list(dict.fromkeys(curve.group or curve.name for curve in curves))
    for index, curve in enumerate(curves):
        colour = _SERIES[groups.index(curve.group or curve.name) % len(_SERIES)]
        parts += _drawn(curve, x, y, colour)
        parts += _named(curve, colour, _HEIGHT + _LEGEND_LINE * index)
    return "\n".join([*parts, "</svg>"])


def _drawn(curve: Curve, x: Axis, y: Axis, colour: str) -> list[str]:
    across, down = _across(x, curve.x), _down(y, curve.y)
    places = list(zip(across, down, strict=True))
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dash = ' stroke-dasharray="6 4"' if curve.dashed else ""
    drawn = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'] * any(
        pairwise(places)
    )
    if curve.points:
        drawn += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
    return drawn


def _named(curve: Curve, colour: str, top: float) -> list[str]:
    dash = ' stroke-dasharray="6 4"' if curve.dashed else ""
    end = _LEFT + 24
    return [
        f'<line x1="{_LEFT}" y1="{top + 4}" x2="{end}" y2="{top + 4}" stroke="{colour}" stroke-width="2"{dash}/>',
        f'<text x="{_LEFT + 32}" y="{top + 8}">{escape(curve.name)}</text>',
    ]


def _line(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 4" stroke-opacity="0.5"' if dashed else ' stroke-opacity="0.15"'
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor"{dash}/>'


def _across(axis: Axis, values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(_LEFT + axis.place(values) * (_WIDTH - _RIGHT - _LEFT))


def _down(axis: Axis, values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(_HEIGHT - _BOTTOM - axis.place(values) * (_HEIGHT - _BOTTOM - _TOP))
