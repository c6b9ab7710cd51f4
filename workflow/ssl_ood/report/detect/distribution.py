"""The distribution of scores, calibration images against the folder, as an SVG inside the page."""

from __future__ import annotations

import math
from html import escape

import numpy as np

BINS = 48
WIDTH, HEIGHT = 720, 280
# Room for letters of twice their size, which the style makes of them on a phone.
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 32, 64
GREY, BLUE, RED = "#a3a3a3", "#1d4ed8", "#b91c1c"


def distribution(
    calibration: np.ndarray, scores: np.ndarray, threshold: float, title: str, logarithm: bool
) -> str:
    """Two histograms on one axis, each of shares of its own images, and the threshold.

    logarithm: of scores that are distances, so that a few far images leave room for the others.
    """
    if logarithm:
        floor = max(float(min(calibration.min(), scores.min())), 1e-12)
        calibration, scores = (np.log10(np.maximum(v, floor)) for v in (calibration, scores))
        threshold = float(np.log10(max(threshold, floor)))
    low = float(min(calibration.min(), scores.min(), threshold))
    high = float(max(calibration.max(), scores.max(), threshold))
    high = high if high > low else low + 1.0
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(v, edges)[0] / len(v) for v in (calibration, scores)]
    top = max(float(share.max()) for share in shares)

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - share / top * (HEIGHT - TOP - BOTTOM)

    def outline(share: np.ndarray) -> str:
        points = [f"{x(low):.1f},{y(0):.1f}"]
        for i, value in enumerate(share):
            points += [f"{x(edges[i]):.1f},{y(value):.1f}", f"{x(edges[i + 1]):.1f},{y(value):.1f}"]
        return " ".join([*points, f"{x(high):.1f},{y(0):.1f}"])

    words = (
        f"Distribution of {title}: calibration images in grey, the folder's in blue; right of the "
        "dashed line images are flagged."
    )
    at = x(threshold)
    anchor = "end" if at > WIDTH / 2 else "start"
    beside = at - 6 if anchor == "end" else at + 6
    lines = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1a1a1a">',
        f'<polygon points="{outline(shares[0])}" fill="{GREY}" fill-opacity=".6"/>',
        f'<polygon points="{outline(shares[1])}" fill="{BLUE}" fill-opacity=".12" stroke="{BLUE}" '
        'stroke-width="1.5"/>',
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(0)}" y2="{y(0)}" stroke="#1a1a1a"/>',
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{y(0)}" stroke="{RED}" '
        'stroke-width="2" stroke-dasharray="6 4"/>',
        f'<text x="{beside:.1f}" y="{TOP - 8}" text-anchor="{anchor}" fill="{RED}">threshold'
        "</text>",
    ]
    digits = min(max(0, 1 - math.floor(math.log10((high - low) / 4))), 12)
    for value in np.linspace(low, high, 5):
        text = f"{10**value:.3g}" if logarithm else f"{value:,.{digits}f}"
        end = "start" if value == low else "end" if value == high else "middle"
        lines.append(
            f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 24}" text-anchor="{end}">'
            f"{text.replace('-', '−')}</text>"
        )
    for share in (0.0, top):
        lines.append(
            f'<text x="{LEFT - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    scale = ", logarithmic" if logarithm else ""
    lines.append(
        f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(title)}{scale}</text></svg>"
    )
    return "\n".join(lines)
