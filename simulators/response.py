"""A picture of how a twin responds: its objective along each parameter, through the optimum."""

import math
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from simulators.twins import GROUP

POINTS = 201
"""Of each curve."""

COLUMNS = 3
"""Panels side by side."""


def draw_all(folder: Path) -> None:
    """Draw every installed twin into `NAME.png`."""
    for point in entry_points(group=GROUP):
        draw(import_module(f"{point.value}.model"), point.name, folder / f"{point.name}.png")


def draw(model: Any, title: str, file: Path) -> None:
    """Draw one panel for each parameter, where the others stay at the optimum.

    Args:
        model: the `model` module of a twin.
        title: above the panels.
        file: PNG, SVG or PDF, by its ending.
    """
    from matplotlib.figure import Figure

    best = model.OPTIMUM["parameters"]
    rows = math.ceil(len(best) / COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.5 * rows + 0.4), layout="constrained")
    panels = np.ravel(figure.subplots(rows, COLUMNS, sharey=True, squeeze=False))
    for panel, name in zip(panels, best, strict=False):
        low, high = model.BOUNDS[name]
        line = np.linspace(low, high, POINTS)
        fixed = {other: np.full(POINTS, value) for other, value in best.items()}
        found = model.evaluate(**{**fixed, name: line})["objective"]
        panel.plot(line, found, color="tab:blue", linewidth=1.5)
        panel.axvline(best[name], color="0.6", linewidth=0.8, linestyle="--")
        panel.plot(
            [best[name]], [model.OPTIMUM["objective"]], "o", color="tab:orange", markersize=5
        )
        panel.set_xlabel(name)
    for panel in panels[len(best) :]:
        panel.remove()
    for panel in panels[: len(best) : COLUMNS]:
        panel.set_ylabel("objective")
    goal = model.OPTIMUM["goal"]
    figure.suptitle(f"{title}: {goal}; the others stay at the optimum", fontsize=10)
    figure.savefig(file, dpi=110)
