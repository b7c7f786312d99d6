"""Writes the instrument file of a table twin, and a campaign file to start from."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from simulators.table.instrument import RESOLUTION, TableTwin

TRIALS_PER_PARAMETER = 10
"""Budget of the written campaign."""
USUAL_TIMEOUT_S = 60.0
"""Of a device without one. What takes longer to settle gets time enough without compression."""


def write_files(twin: TableTwin, folder: Path, header_file: Path) -> list[Path]:
    """Write `instrument.yaml` and `campaign.yaml`; paths in them are relative to the folder.

    Of a table that is used in part, a file in the folder `sample` holds the rows that are used, and
    is what the instrument file names, so that each start of the twin is quick. It is called as the
    instrument is, whose name a header may take from its table.

    Returns:
        The files that were written.

    Raises:
        FileExistsError: a file is there already; nothing is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ["instrument.yaml", "campaign.yaml"]
    if len(twin.table.x) < twin.table.rows:
        names.append(f"sample/{twin.header.name}.parquet")
    instrument, campaign, *sample = written = [folder / name for name in names]
    for file in written:
        if file.exists():
            raise FileExistsError(f"{file} is there already; name another folder, or move it away")
    for file in sample:
        file.parent.mkdir(exist_ok=True)
        columns = [*twin.table.x.T, *twin.table.y.T]
        rows = pd.DataFrame(dict(zip(twin.header.columns, columns, strict=True)))
        for name, choices in twin.header.choices.items():
            rows[name] = [choices[int(number)] for number in rows[name]]
        rows.rename(columns=twin.header.columns).to_parquet(file, index=False)
    table = _relative(sample[0] if sample else twin.file, folder)
    lines = _instrument(twin, table, _relative(header_file, folder))
    instrument.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    campaign.write_text("".join(f"{line}\n" for line in _campaign(twin)), encoding="utf-8")
    return written


def _relative(file: Path, folder: Path) -> str:
    """The path of a file as text in quotes, as a file in the folder names it."""
    return json.dumps(os.path.relpath(file.resolve(), folder.resolve()), ensure_ascii=False)


def _instrument(twin: TableTwin, table: str, header_file: str) -> Iterator[str]:
    header = twin.header
    yield f"name: {header.name}"
    yield "mode: twin"
    yield f"twin: {{table: {table}, header: {header_file}}}"
    yield "devices:"
    for name, (low, high) in twin.limits.items():
        parameter = header.parameters[name]
        timeout_s = max(USUAL_TIMEOUT_S, 2 * parameter.settle_s)
        more = f", timeout_s: {timeout_s!r}" if timeout_s > USUAL_TIMEOUT_S else ""
        if name in header.choices:
            yield (
                f'  {name}: {{class: devices.Selector, prefix: "{header.prefix}:{name.upper()}", '
                f"limits: [{low:.0f}, {high:.0f}], tolerance: 0{more}}}  # {_named(twin, name)}"
            )
            continue
        yield (
            f"  {name}: {{class: devices.SetpointReadback, prefix: "
            f'"{header.prefix}:{name.upper()}", unit: {json.dumps(parameter.unit)}, '
            f"limits: [{low!r}, {high!r}], tolerance: {(high - low) / RESOLUTION!r}{more}}}"
        )
    yield (
        f'  detector: {{class: devices.TriggeredDetector, prefix: "{header.prefix}:DETECTOR", '
        f"timeout_s: {10 * header.run_time_s!r}, kwargs: {{message: MESSAGE}}}}"
    )
    yield f"quiet: [{{stop: [{', '.join(header.parameters)}]}}]"
    yield "gate: flock"


def _named(twin: TableTwin, name: str) -> str:
    """The positions of a choice with their names."""
    return ", ".join(f"{at} {one}" for at, one in enumerate(twin.header.choices[name]))


def _campaign(twin: TableTwin) -> Iterator[str]:
    header = twin.header
    first, *others = header.outcomes
    outcome = header.outcomes[first]
    yield f"name: {header.name}"
    yield "instrument: instrument.yaml"
    yield "plan: {name: steady_state_sample, args: {detector: detector, readings: 1}}"
    yield "reduce: {call: plans.channel_means.reduce_channel_means}"
    yield "parameters:"
    for name, (low, high) in twin.limits.items():
        if name in header.choices:
            numbers = list(range(len(header.choices[name])))
            yield f"  {name}: {{device: {name}, choices: {numbers}}}  # {_named(twin, name)}"
            continue
        unit = json.dumps(header.parameters[name].unit)
        yield f"  {name}: {{device: {name}, range: [{low!r}, {high!r}], unit: {unit}}}"
    unit = json.dumps(outcome.unit)
    yield f"objectives: {{{first}: {{goal: {outcome.goal}, unit: {unit}}}}}"
    if others:
        yield f"# also measured, for objectives or constraints: {', '.join(others)}"
    yield f"budget: {{trials: {TRIALS_PER_PARAMETER * len(header.parameters)}}}"
    yield "optimizer: {method: auto, seed: 0}"
    yield "# a point that is too far from the data stays so: a second attempt is of no use"
    yield "policy: {attempts: 1, stop_after: {failed_in_a_row: 10}}"
