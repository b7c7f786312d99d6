"""Verbs for a lab that stays up: its worker, its twins, its notices, the state of the machine."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.common import Common, app, ledger_of
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
    from orchestrator import campaign_files
    from orchestrator.by_hand import serve_worker

    common = common or Common()
    spec = campaign_files.read_instrument_file(instrument, on_twin=twin)
    campaign_files.check_mode(spec, hardware=hardware)
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
    from orchestrator.campaign_files import read_files
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
def fault(
    kind: str,
    pv: str = "",
    /,
    *,
    for_s: float | None = None,
    by: float | None = None,
    to: float | None = None,
    limits: tuple[float, float] | None = None,
    instrument: str | None = None,
    common: Common | None = None,
) -> int:
    """Let something go wrong with a running twin, to see what a campaign does about it.

    Args:
        kind: hang, slow, refuse, limit, nan, stuck, drift, spike, invalid, trip or lost; 'clear'
            ends all.
        pv: Process variable that it befalls; 'lost' takes none, as it is the whole server.
        for_s: Lab seconds that it lasts.
        by: Seconds more for 'slow', units per second for 'drift', units for 'spike'.
        to: Value meanwhile, for 'trip'.
        limits: Least and greatest value that is accepted, for 'limit'.
        instrument: Which twin, when several run.
        common: Options of every verb.
    """
    from orchestrator.by_hand import cause_fault

    common = common or Common()
    given = {"pv": pv or None, "for_s": for_s, "by": by, "to": to, "limits": limits}
    told = {key: value for key, value in given.items() if value is not None}
    wanted = {} if kind == "clear" else {"fault": kind, **told}
    if kind == "clear" and told:
        raise Unusable(f"clear ends all faults and takes no {min(told)}")
    with ledger_of(common) as (settings, ledger):
        name = cause_fault(settings, ledger, instrument, wanted)
    words = f"{kind} {pv}".rstrip() + (f" for {for_s:g} lab seconds" if wanted else "")
    common.say({"instrument": name, **wanted}, f"{name}: {words}")
    return ExitCode.DONE


@app.command
def twins(*, pictures: Path | None = None, common: Common | None = None) -> int:
    """List the twins that are installed, and below them what is there for practice.

    Args:
        pictures: Folder into which a picture of each one's response is drawn.
        common: Options of every verb.
    """
    from orchestrator.adapters.user_files.spec_files import FOR_PRACTICE, twin_folders

    common = common or Common()
    folders = twin_folders()
    listed, practice = sorted(folders.keys() - FOR_PRACTICE), sorted(folders.keys() & FOR_PRACTICE)
    lines = [f"{name:20} {folders[name]}" for name in listed]
    if practice:
        lines += ["", "for practice:", *(f"{name:20} {folders[name]}" for name in practice)]
    if pictures is not None:
        from simulators.response import draw_all

        pictures.mkdir(parents=True, exist_ok=True)
        draw_all(pictures)
    common.say({"twins": listed, "for_practice": practice}, "\n".join(lines))
    return ExitCode.DONE


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
    return ExitCode.DONE if sound else ExitCode.FAILED
