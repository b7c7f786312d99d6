import socket
from importlib.metadata import EntryPoint

import pytest

from simulators import twins
from simulators.loopback import LOOPBACK, PortInUse, free_port
from simulators.serve import main


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    points = [
        EntryPoint("flow-chemistry", "simulators.flow_chemistry", twins.GROUP),
        EntryPoint("soft", "simulators.soft", twins.GROUP),
    ]
    monkeypatch.setattr(twins, "entry_points", lambda group: points)


def test_describe_names_every_pv_with_unit_and_meaning():
    served = twins.describe(twins.twin_module("flow-chemistry"))
    rows = {name: (unit, what) for name, unit, what in served}
    assert rows["FC:TEMP:SP"][0] == "degC"
    assert rows["FC:HPLC:ORTHO"][0] == "mol/L"
    assert {"LABWRIGHT:INSTANCE", "LABWRIGHT:CLAIM", "LABWRIGHT:FAULT"} <= rows.keys()
    assert all(what for _, what in rows.values())


def test_a_name_may_have_either_dash():
    assert twins.twin_module("flow_chemistry") is twins.twin_module("flow-chemistry")


def test_unknown_twin_names_the_near_one(capsys):
    assert main(["flow-chemistri"]) == 2
    assert "flow-chemistry" in capsys.readouterr().err


def test_a_twin_without_pvs_says_so(capsys):
    assert main(["soft"]) == 2
    assert "needs no server" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--time-compression", "0"], ["--time-compression", "nan"], ["--seed", "-1"]]
)
def test_impossible_numbers_are_refused(arguments, capsys):
    assert main(["flow-chemistry", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_refused(kind, capsys):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((LOOPBACK, 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse):
            free_port(port)
        assert main(["flow-chemistry", "--port", str(port)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_free_port_is_free():
    port = free_port()
    assert free_port(port) == port
