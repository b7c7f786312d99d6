"""The EPICS server of the twins: `python -m simulators.serve NAME`.

A twin made from a table has `--table FILE --header FILE` in the place of its name. It prints one
line of JSON when clients can connect, and ends quietly on SIGTERM and SIGINT.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulators.faults import Fault, read_faults
from simulators.fence import Fence
from simulators.loopback import PortInUse, confine_epics, free_port
from simulators.twins import TwinModule, UnknownTwin, identity, own_pvs, twin_module


def serve(
    module: TwinModule,
    *,
    name: str,
    seed: int = 0,
    time_compression: float | None = None,
    port: int | None = None,
    fence: Fence | None = None,
    faults: Path | None = None,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Serve a twin on the loopback interface until SIGTERM or SIGINT.

    Belongs in the main thread of a process of its own: it sets EPICS variables of the environment
    and takes over the two signals.

    Args:
        module: the twin's `instrument` module, or what stands in its place.
        name: of the twin, for `on_ready`.
        seed: of the measurement noise, not negative.
        time_compression: lab seconds per wall second; None takes the twin's own.
        port: of TCP and UDP; None takes a free one.
        fence: who may drive; None lets everybody.
        faults: file of what is to go wrong; None for nothing.
        on_ready: called once with `ready, twin, port, instance, pid, time_compression, seed`.

    Raises:
        PortInUse: the port is not free.
        ValueError: a seed, time compression or fault that cannot be.
    """
    compression = module.TIME_COMPRESSION if time_compression is None else time_compression
    if not (math.isfinite(compression) and compression > 0):
        raise ValueError(f"time compression must be positive, not {compression}")
    if not 0 <= seed < 2**31:  # what an EPICS integer holds
        raise ValueError(f"seed must be from 0 to 2147483647, not {seed}")
    planned = read_faults(faults, own_pvs(module)) if faults else []
    chosen = free_port(port)
    confine_epics(chosen)
    about: dict[str, Any] = {
        "ready": True,
        "twin": name,
        "port": chosen,
        "instance": uuid.uuid4().hex,
        "pid": os.getpid(),
        "time_compression": compression,
        "seed": seed,
    }
    asyncio.run(_run(module, about, fence or Fence(), planned, on_ready or (lambda _: None)))


async def _run(
    module: TwinModule,
    about: dict[str, Any],
    fence: Fence,
    planned: Sequence[Fault],
    on_ready: Callable[[dict[str, Any]], None],
) -> None:
    from simulators.ioc import Ioc  # imports caproto, which must see the confined environment

    logging.getLogger("caproto").setLevel(logging.CRITICAL)  # a refused put is no server error
    seed, compression = about["seed"], about["time_compression"]
    ioc = Ioc(
        lambda sleep: module.create(seed, sleep),
        identity(about["instance"], compression, seed),
        compression,
        fence,
        planned,
    )
    serving = asyncio.create_task(ioc.serve(about["port"], lambda: on_ready(about)))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return
    except ExceptionGroup as group:  # of the tasks in it one failed, the others were cancelled
        raise group.exceptions[0] from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 2 for wrong input or a port in use."""
    parser = argparse.ArgumentParser(prog="python -m simulators.serve", description=__doc__)
    parser.add_argument("name", nargs="?", help="the twin, for example flow-chemistry")
    parser.add_argument("--table", type=Path, help="table of measured data, in place of a name")
    parser.add_argument("--header", type=Path, help="what its columns are")
    parser.add_argument("--seed", type=int, default=0, help="of the measurement noise")
    parser.add_argument("--time-compression", type=float, help="lab seconds per wall second")
    parser.add_argument("--port", type=int, help="TCP and UDP port; any free one if not given")
    parser.add_argument(
        "--fence-file", type=Path, help="refuse all but the newest claim; its fence is kept here"
    )
    parser.add_argument("--faults", type=Path, help="file of what is to go wrong")
    parser.add_argument("--witness", type=Path, help="file that gets a line for each put")
    options = parser.parse_args(arguments)
    if (options.name is None) == (options.table is None) or bool(options.table) != bool(
        options.header
    ):
        parser.error("give the name of a twin, or both --table and --header")
    try:
        fence = Fence(
            enforce=options.fence_file is not None, file=options.fence_file, witness=options.witness
        )
        module, name = _module(options)
        serve(
            module,
            name=name,
            seed=options.seed,
            time_compression=options.time_compression,
            port=options.port,
            fence=fence,
            faults=options.faults,
            on_ready=_print_line,
        )
    except (OSError, PortInUse, UnknownTwin, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _module(options: argparse.Namespace) -> tuple[TwinModule, str]:
    """The twin that is asked for, and its name; what a table is worth goes to standard error."""
    if options.table is None:
        return twin_module(options.name), options.name
    from simulators.table.instrument import TableTwin
    from simulators.table.report import lines, report

    twin = TableTwin(options.table, options.header)
    sys.stderr.write("".join(f"{line}\n" for line in lines(report(twin))))
    return twin, twin.header.name


def _print_line(about: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
