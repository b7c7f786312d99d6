"""Verbs for a lab that stays up: its worker, its twins, its notices, the state of the machine."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.common import Common, app
from orchestrator.domain.errors import ExitCode, SpecError, Unusable

if TYPE_CHECKING:
    from simulators.table.instrument import TableTwin


@app.command
def worker(
    instrument: str,
    /,
    *,
    hardware: bool = False,
    twin: bool = False,
    standby: bool = False,
    common: Common | None = None,
) -> int:
    """Own an instrument and run its trials: a process by itself, for a lab that stays up.

    Args:
        instrument: Instrument file, or the name of a shipped twin.
        hardware: Allow a real instrument to move.
        twin: Run a real instrument's file on its twin.
        standby: Keep a second worker ready, which takes over when the first has died.
        common: Options of every verb.
    """
    from orchestrator import launcher
    from orchestrator.by_hand import serve_worker

    common = common or Common()
    spec = launcher.read_instrument_file(instrument, on_twin=twin)
    launcher.check_mode(spec, hardware=hardware)
    return serve_worker(common.settings(), spec, standby=standby)


@app.command
def twin(
    name: str | None = None,
    /,
    *,
    table: Path | None = None,
    header: Path | None = None,
    write: Path | None = None,
    seed: int = 0,
    time_compression: float | None = None,
    port: int | None = None,
    common: Common | None = None,
) -> int:
    """Serve a twin over Channel Access until Ctrl-C, and print how to reach it.

    Args:
        name: Name of the twin; 'labwright twins' lists them.
        table: Table of measured data (CSV or Parquet) to make a twin of, in place of a name.
        header: What its columns are; the table's own name with '.yaml' when left out.
        write: Serve nothing: write the table twin's instrument file, and a campaign file to start
            from, into this folder.
        seed: Seed of its noise.
        time_compression: Lab seconds that pass in one second.
        port: Port to serve on; a free one when left out.
        common: Options of every verb.
    """
    from orchestrator.by_hand import serve_twin, table_twin

    common = common or Common()
    if (name is None) == (table is None):
        raise Unusable("give either the name of a twin or --table FILE")
    if table is None:
        if header is not None or write is not None:
            raise Unusable("--header and --write go with --table FILE")
        return serve_twin(common.settings(), str(name), seed, time_compression, port, _say(common))
    header = header or table.with_suffix(".yaml")
    made = table_twin(table, header)
    if write is not None:
        return _write_table_twin(common, made, header, write)
    say = _say(common, made)
    return serve_twin(common.settings(), made, seed, time_compression, port, say)


def _say(common: Common, made: "TableTwin | None" = None) -> Callable[[dict[str, Any]], None]:
    """What tells how to reach a twin, and of a table twin what it is worth."""

    def say(about: dict[str, Any]) -> None:
        text = "\n".join(_twin_lines(about))
        if made is not None:
            from simulators.table.report import lines, report

            about = {**about, "table": report(made)}
            text = "\n".join([*lines(about["table"]), text])
        print(json.dumps(about) if common.json else text, flush=True)

    return say


def _write_table_twin(common: Common, made: "TableTwin", header: Path, folder: Path) -> int:
    from orchestrator.launcher import read_files
    from simulators.table.report import lines, report
    from simulators.table.write import write_files

    try:
        files = write_files(made, folder, header)
    except OSError as error:
        raise Unusable(str(error)) from error
    try:
        read_files(str(folder / "campaign.yaml"))
    except SpecError:  # the header has names that a campaign cannot have
        for file in files:
            file.unlink()
        raise
    about, written = report(made), [str(file) for file in files]
    said = [*lines(about), f"written: {', '.join(written)}"]
    said.append(f"run it with: labwright run {folder / 'campaign.yaml'}")
    common.say({"written": written, "table": about}, "\n".join(said))
    return ExitCode.DONE


def _twin_lines(about: Mapping[str, Any]) -> Iterator[str]:
    yield f"twin {about['twin']} on 127.0.0.1, port {about['port']}"
    yield f"one second is {about['time_compression']:g} seconds in the lab"
    width = max(len(pv["pv"]) for pv in about["pvs"])
    for pv in about["pvs"]:
        yield f"  {pv['pv']:{width}}  {pv['unit']:8}  {pv['what']}"
    yield "reach it with EPICS_CA_ADDR_LIST=127.0.0.1 EPICS_CA_AUTO_ADDR_LIST=NO"
    yield f"  EPICS_CA_SERVER_PORT={about['port']}; Ctrl-C ends it"


@app.command
def twins(*, common: Common | None = None) -> int:
    """List the twins that are installed.

    Args:
        common: Options of every verb.
    """
    from orchestrator.adapters.spec_files import twin_folders

    common = common or Common()
    folders = twin_folders()
    text = "\n".join(f"{name:20} {folder}" for name, folder in sorted(folders.items()))
    common.say({"twins": sorted(folders)}, text)
    return 0


@app.command
def notify(*, test: bool = False, common: Common | None = None) -> int:
    """Send a test to everybody whom a campaign would call for help, and say what happened.

    Args:
        test: Do send it; there is nothing else to send by hand.
        common: Options of every verb.
    """
    from orchestrator.by_hand import send_test_notice

    common = common or Common()
    if not test:
        raise Unusable("say 'labwright notify --test' to send a test to everybody concerned")
    sent = send_test_notice(common.settings())
    ok = all(one["error"] is None for one in sent)
    text = "\n".join(
        f"FAIL  {one['error']}" if one["error"] else f"ok    {one['channel']} to {one['to']}"
        for one in sent
    )
    common.say({"ok": ok, "channels": sent}, text)
    return ExitCode.DONE if ok else ExitCode.WRONG


@app.command
def doctor(*, common: Common | None = None) -> int:
    """Look at this machine and say what would keep a campaign from running.

    Args:
        common: Options of every verb.
    """
    from orchestrator.doctor import examine

    common = common or Common()
    findings = examine(common.settings())
    sound = all(finding["ok"] for finding in findings)
    text = "\n".join(
        f"{'ok  ' if one['ok'] else 'FAIL'}  {one['what']}: {one['found']}" for one in findings
    )
    common.say({"ok": sound, "findings": findings}, text)
    return 0 if sound else 1
