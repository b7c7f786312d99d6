"""The loopback interface: a port of its own, and an EPICS environment that leads nowhere else."""

import os
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


class PortInUse(Exception):
    """Another process holds the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} on {LOOPBACK} is in use; choose another --port, or none")


def free_port(port: int | None = None) -> int:
    """A port whose TCP and UDP side are both free, found by binding both exclusively.

    Several EPICS servers can share a UDP port without an error, and all of them answer; so a
    plain start of the server would not notice the other one.

    Args:
        port: the one wanted; None for any.

    Raises:
        PortInUse: the one wanted is not free.
    """
    while True:
        with ExitStack() as stack:
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            # Without this a port is refused for a minute after its last server has ended; on
            # Linux a port that is listened on is refused all the same.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tcp.bind((LOOPBACK, port or 0))
                tcp.listen()
                chosen: int = tcp.getsockname()[1]
                udp.bind((LOOPBACK, chosen))
            except OSError:
                if port is None:
                    continue
                raise PortInUse(port) from None
            return chosen


def confine_epics(port: int) -> None:
    """Set this process's environment so that an EPICS server speaks on loopback alone.

    To be called before caproto is imported: it reads some of this at import.
    """
    os.environ |= {
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": LOOPBACK,
        "EPICS_CAS_BEACON_ADDR_LIST": LOOPBACK,
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_IGNORE_ADDR_LIST": "",
        # Monitors would be batched for up to a second while something moves.
        "CAPROTO_SERVER_MAX_LATENCY_SEC": "0.02",
    }
