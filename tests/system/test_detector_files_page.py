"""What the page about detector files shows is run as it stands there."""

import json
import os
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from orchestrator.adapters.execution.file_folders import folder_of
from orchestrator.domain.spec import FilesSpec
from orchestrator.ports import PlanRequest
from simulators.kb_mirrors.image import DARK
from tests.system.lab import answer, results, write

pytestmark = pytest.mark.system

PAGE = (Path(__file__).parents[2] / "docs/how-to/detector-files.md").read_text()

CAMPAIGN = """
name: peak
instrument: instrument.yaml
plan: {name: mylab.peak, args: {detector: detector}}
parameters:
  pitch_v:  {device: pitch_v, range: [-5, 5], unit: urad}
  exposure: {arg: exposure, range: [0.05, 0.1]}
objectives: {peak: {goal: maximize}}
budget: {trials: 2}
optimizer: {method: sobol, seed: 1}
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_plan_and_its_reducer(tmp_path: Path) -> None:
    (instrument,) = blocks("yaml")
    write(tmp_path, "instrument.yaml", instrument)
    write(tmp_path, "mylab.py", blocks("python")[1])
    campaign = write(tmp_path, "campaign.yaml", CAMPAIGN)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    data = tmp_path / "data"
    outcome = answer("run", campaign, "--id", "p-1", "--data-dir", str(data), PYTHONPATH=path)
    assert outcome["trials"]["measured"] == 2
    for row in results(data, "p-1"):
        assert float(row["peak"]) > 2 * DARK
    assert len(list((data / "runs" / "p-1").glob("*/*.h5"))) == 2


@pytest.fixture
def service() -> Iterator[str]:
    """A numbering service."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"directory": f"/dls/{asked['instrument']}", "number": 42}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/scan"
        server.shutdown()


def test_the_function_that_asks_for_a_folder(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = ModuleType("mylab_paths")
    exec(blocks("python")[0], module.__dict__)
    monkeypatch.setattr(module, "SERVICE", service, raising=False)
    monkeypatch.setitem(sys.modules, "mylab_paths", module)
    request = PlanRequest(None, {}, {}, {"instrument": "i22"}, "runs/c/1.jsonl", 20)  # type: ignore[arg-type]
    folder = folder_of(FilesSpec(call="mylab_paths.folder"), tmp_path, request)
    assert folder.read == Path("/dls/i22/i22-42")
