"""A campaign's report: a convergence plot and one HTML page that needs no network."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.domain.ranking import is_feasible
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState
from orchestrator.domain.stopping import best_so_far, best_trials
from orchestrator.domain.suspect_data import suspect_data
from orchestrator.domain.time_words import time_lines
from orchestrator.domain.trial import TrialState

INK, MEASURED, OUTSIDE, BEST = "#22303c", "#5b8db8", "#c9ced3", "#c2571a"


def write_plot(path: Path, state: CampaignState, spec: CampaignSpec) -> None:
    """Draw the first objective over trials, and the best so far, as a PNG of 1200 x 675."""
    # The object interface draws without pyplot's global state and without a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    name, objective = next(iter(spec.objectives.items()))
    measured = state.in_state(TrialState.MEASURED)
    for feasible, colour, label in (
        (True, MEASURED, "measured"),
        (False, OUTSIDE, "measured, outside a constraint"),
    ):
        chosen = [trial for trial in measured if is_feasible(trial, spec) is feasible]
        if chosen:
            outcomes = [trial.outcomes[name] for trial in chosen]
            axes.errorbar(
                [trial.trial_id for trial in chosen],
                [outcome.mean for outcome in outcomes],
                yerr=[outcome.sem or 0.0 for outcome in outcomes],
                fmt="o",
                color=colour,
                label=label,
                markersize=5,
            )
    known = suspect_data(state, spec)
    if suspect := [trial for trial in measured if trial.trial_id in known]:
        axes.plot(
            [trial.trial_id for trial in suspect],
            [trial.outcomes[name].mean for trial in suspect],
            "o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor=BEST,
            label="suspect data",
        )
    if trace := best_so_far(state, spec):
        end = max(state.trials)
        ids, values = [*(one[0] for one in trace), end], [*(one[1] for one in trace), trace[-1][1]]
        axes.step(ids, values, where="post", color=BEST, label="best so far", linewidth=2)
    else:
        reason = "no trial keeps every constraint" if measured else "nothing measured"
        axes.set_title(reason, loc="right", color=BEST, fontsize="medium")
    unit = next((t.outcomes[name].unit for t in measured if name in t.outcomes), objective.unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{name} ({unit})" if unit else name)
    axes.set_title(f"{spec.name}: {objective.goal} {name}", loc="left", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, alpha=0.25)
    if measured:
        axes.legend(frameon=False, loc="best")
    figure.savefig(path)


def write_page(
    path: Path,
    plot: Path,
    state: CampaignState,
    spec: CampaignSpec,
    summary: Mapping[str, Any],
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Write the report as one HTML file, the plot inside it."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("orchestrator.adapters.outputs", "templates"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    best = best_trials(state, spec)
    page = environment.get_template("report.html").render(
        spec=spec,
        summary=summary,
        best=best,
        best_ids={trial.trial_id for trial in best},
        units={name: one.unit for t in state.trials.values() for name, one in t.outcomes.items()},
        columns=[name for name in columns if name not in ("run_uid", "proposed_at", "started_at")],
        rows=rows,
        plot=base64.b64encode(plot.read_bytes()).decode(),
        shown=_shown,
        account=time_lines(summary),
    )
    path.write_text(page)


def _shown(value: Any) -> str:
    """A value as a table shows it; the CSV has every digit."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
