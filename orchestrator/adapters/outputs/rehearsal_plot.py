"""A picture of a rehearsal: what to expect of the best after each trial, and of the target."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import Unusable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, OWN, CHANCE = "#22303c", "#c2571a", "#5b8db8"


def refuse_unwritable(path: Path) -> None:
    """Pass when a picture may be written there, before anything is computed for it.

    Raises:
        Unusable: no such folder, or the name's ending is of no known format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    known = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in known:
        raise Unusable(f"--plot {path}: its name ends in none of {', '.join(sorted(known))}")
    if not path.parent.is_dir():
        raise Unusable(f"--plot {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise Unusable(f"--plot {path}: is a folder")


def write_rehearsal_plot(path: Path, found: Mapping[str, Any]) -> None:
    """Draw what ``rehearsal.rehearse`` gave; the name's ending says in which format.

    Raises:
        Unusable: the file cannot be written, or is of no known format.
    """
    # The object interface draws without pyplot's global state and without a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    has_target = found["reached"] is not None
    figure = Figure(figsize=(8, 6 if has_target else 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(1 + has_target, 1, sharex=True, squeeze=False)[:, 0]
    for one, colour in ((found["chance"], CHANCE), (found, OWN)):
        _draw_best(rows[0], one["best"], colour, one["optimizer"])
        if has_target:
            _draw_reached(rows[1], one["reached"], colour)
        if found["optimizer"] == found["chance"]["optimizer"]:
            break
    objective = found["objective"]
    name, unit = objective["name"], objective["unit"]
    rows[0].set_ylabel(f"best {name} ({unit})" if unit else f"best {name}")
    label = "approximate " if found["approximate"] else ""
    title = f"{found['campaign']}: {found['rehearsals']} {label}rehearsals on twin {found['twin']}"
    rows[0].set_title(title, loc="left", color=INK)
    rows[0].legend(frameon=False, loc="best")
    if has_target:
        rows[1].set_ylabel("target reached (%)")
        rows[1].set_ylim(-2, 102)
    rows[-1].set_xlabel("trial")
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in rows:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, alpha=0.25)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise Unusable(f"--plot {path}: {error}") from error


def _draw_best(
    axes: "Axes", best: Sequence[Mapping[str, Any]], colour: str, optimizer: str
) -> None:
    known = [one for one in best if one["mean"] is not None]
    trials = [one["trial"] for one in known]
    label = f"{optimizer}: mean, and where nine in ten lie"
    axes.plot(trials, [one["mean"] for one in known], color=colour, linewidth=2, label=label)
    low, high = [one["low"] for one in known], [one["high"] for one in known]
    axes.fill_between(trials, low, high, color=colour, alpha=0.2, linewidth=0)


def _draw_reached(axes: "Axes", reached: Mapping[str, Any], colour: str) -> None:
    shares = [100 * count / max(reached["of"], 1) for count in reached["by_trial"]]
    axes.step(range(1, len(shares) + 1), shares, where="post", color=colour, linewidth=2)
