"""What the documentation shows is what happens: commands and output of its pages are run here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.post_office import Behaviour, Webhook, certificate, mail_server, webhook_server
from tests.system.lab import LABWRIGHT, environment

pytestmark = pytest.mark.system

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    text = (DOCS / page).read_text()
    return [body for name, body in BLOCK.findall(text) if name == language]


def fits(shown: str, said: str) -> bool:
    """True when what was said is what is shown, where ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in " ".join(shown.split()).split("..."))
    return re.fullmatch(pattern, " ".join(said.split()), re.DOTALL) is not None


def test_your_first_campaign(tmp_path: Path) -> None:
    page = "tutorials/your-first-campaign.md"
    (campaign,) = blocks(page, "yaml")
    (tmp_path / "my-campaign.yaml").write_text(campaign)
    shown = blocks(page, "console")
    assert len(shown) == 6
    for block in shown:
        command, _, output = block.partition("\n")
        words = command.removeprefix("$ ").split()
        assert words[0] == "labwright"
        done = subprocess.run(
            [LABWRIGHT, *words[1:]],
            cwd=tmp_path,
            env=environment(COLUMNS="200"),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert fits(output, done.stdout), f"{command}\nshown:\n{output}\nsaid:\n{done.stdout}"


def test_when_a_reducer_fails(tmp_path: Path) -> None:
    page = "how-to/write-a-plan.md"
    module, *_ = blocks(page, "python")
    (campaign,) = blocks(page, "yaml")
    (tmp_path / "dwell.yaml").write_text(campaign)
    (tmp_path / "mylab").mkdir()
    wrong = module.replace('run["primary"][detector]', 'run["primary"]["bench_dett"]')
    assert wrong != module
    failing, mended = blocks(page, "console")
    for code, shown in ((wrong, failing), (module, mended)):
        (tmp_path / "mylab" / "dwell.py").write_text(code)
        for part in shown.split("$ labwright ")[1:]:
            command, _, output = part.partition("\n")
            done = subprocess.run(
                [LABWRIGHT, *command.split()],
                cwd=tmp_path,
                env=environment(COLUMNS="200", PYTHONPATH=f"{tmp_path}:{os.getcwd()}"),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=90,
                check=False,
            )
            assert done.returncode == (1 if command.startswith("run") else 0), done.stdout
            assert fits(output, done.stdout), f"{command}\nshown:\n{output}\nsaid:\n{done.stdout}"


def test_call_for_help(tmp_path: Path) -> None:
    """The page's own commands, with two local servers in the place of the ones it names."""
    page = "how-to/call-for-help.md"
    keep, *settings = blocks(page, "bash")
    assert len(settings) == 2
    context, trusted = certificate(tmp_path)
    post, hook = Behaviour(login=("labwright", "s3cret"), starttls=context), Webhook()
    with mail_server(post) as mail, webhook_server(hook) as web:
        places = {
            "mail.example.org:587": f"localhost:{mail}",
            "https://hooks.example.org": f"http://localhost:{web}",
            "webhook to hooks.example.org": "webhook to localhost",
        }

        def here(text: str) -> str:
            for there, local in places.items():
                text = text.replace(there, local)
            return text

        more = {"HOME": str(tmp_path), "no_proxy": "localhost", "SSL_CERT_FILE": str(trusted)}
        more["PATH"] = f"{Path(LABWRIGHT).parent}{os.pathsep}{os.environ['PATH']}"
        _bash(keep, tmp_path, more, said_to_it="s3cret\n")
        for block in blocks(page, "console"):
            command, _, output = block.partition("\n")
            script = here("".join(settings)) + command.removeprefix("$ ")
            said = _bash(script, tmp_path, more)
            assert fits(here(output), said), f"{command}\nshown:\n{here(output)}\nsaid:\n{said}"
    kinds = [content["kind"] for _, content in hook.posts]
    assert kinds == ["test", "over"]
    (message,) = blocks(page, "text")
    assert fits(message, hook.posts[1][1]["text"])
    assert len(post.mails) == 2


def test_make_a_twin_from_a_table(tmp_path: Path) -> None:
    page = "how-to/make-a-twin-from-a-table.md"
    (script,) = blocks(page, "python")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    (header,) = blocks(page, "yaml")
    (tmp_path / "fullerenes.yaml").write_text(header)
    *ending, serving = blocks(page, "console")
    more = {"PATH": f"{Path(LABWRIGHT).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in ending:
        command, _, output = block.partition("\n")
        said = _bash(command.removeprefix("$ "), tmp_path, more)
        assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"
    text = (DOCS / page).read_text()
    written = (tmp_path / "lab" / "instrument.yaml").read_text().splitlines()
    assert f"`{written[2]}`" in text
    command, _, output = serving.partition("\n")
    with subprocess.Popen(
        [LABWRIGHT, *command.split()[2:]],
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
    ) as twin:
        assert twin.stdout is not None
        said = ""
        for line in twin.stdout:
            said += line
            if "Ctrl-C ends it" in line:
                break
        twin.terminate()
    assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"


def test_bring_your_own_devices(tmp_path: Path) -> None:
    page = "how-to/bring-your-own-devices.md"
    for block in (*blocks(page, "python"), *blocks(page, "yaml")):
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block)
    (shown,) = blocks(page, "console")
    command, _, output = shown.partition("\n")
    more = {"PATH": f"{Path(LABWRIGHT).parent}{os.pathsep}{os.environ['PATH']}"}
    more["PYTHONPATH"] = f"{tmp_path}:{os.getcwd()}"
    said = _bash(command.removeprefix("$ "), tmp_path, more)
    assert fits(output, said), said
    (told,) = blocks(page, "text")
    for file, right, wrong, line in zip(
        ("profile/startup/10-devices.py", "instrument.yaml"),
        ("SynGauss(", "slit"),
        ("SynGaus(", "slti"),
        told.splitlines(),
        strict=True,
    ):
        text = (tmp_path / file).read_text()
        (tmp_path / file).write_text(text.replace(right, wrong))
        done = subprocess.run(
            [LABWRIGHT, *command.split()[2:]],
            cwd=tmp_path,
            env=environment(**more),
            text=True,
            capture_output=True,
            timeout=90,
            check=False,
        )
        (tmp_path / file).write_text(text)
        assert done.returncode == 2
        assert line.replace("/home/lab", str(tmp_path)) in done.stderr


def test_run_from_your_own_session(tmp_path: Path) -> None:
    """The page's own cells in one process, which then dies."""
    page = "how-to/run-from-your-own-session.md"
    startup, *cells = blocks(page, "python")
    for name, body in zip(
        ("startup.py", "instrument.yaml", "campaign.yaml"),
        (startup, *blocks(page, "yaml")),
        strict=True,
    ):
        assert body.startswith(f"# {name}\n")
        (tmp_path / name).write_text(body)
    dies = "import os, sys\nsys.stdout.flush()\nos.kill(os.getpid(), 9)\n"
    more = {"PATH": f"{Path(LABWRIGHT).parent}{os.pathsep}{os.environ['PATH']}"}
    more["PYTHONPATH"] = f"{tmp_path}:{os.getcwd()}"
    said = subprocess.run(
        [sys.executable, "-c", "\n".join([*cells, dies])],
        cwd=tmp_path,
        env=environment(**more),
        text=True,
        stdout=subprocess.PIPE,
        timeout=90,
        check=False,
    )
    assert said.returncode == -9, said.stdout
    shown = "".join(blocks(page, "text"))
    assert fits(shown, said.stdout), f"shown:\n{shown}\nsaid:\n{said.stdout}"
    (resume,) = blocks(page, "console")
    command, _, output = resume.partition("\n")
    said_last = _bash(command.removeprefix("$ "), tmp_path, more)
    assert fits(output, said_last), f"shown:\n{output}\nsaid:\n{said_last}"


def _bash(script: str, folder: Path, more: dict[str, str], said_to_it: str = "") -> str:
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=environment(COLUMNS="200", **more),
        input=said_to_it,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_verify_a_campaign(tmp_path: Path) -> None:
    """The page's own commands, in their order; the last is about a document that was touched."""
    page = "how-to/verify-a-campaign.md"
    head, touch = blocks(page, "bash")
    (module,) = blocks(page, "python")
    (tmp_path / "mylab.py").write_text(module)
    more = {"PATH": f"{Path(LABWRIGHT).parent}{os.pathsep}{os.environ['PATH']}"}
    more["PYTHONPATH"] = f"{tmp_path}:{os.getcwd()}"
    shown = [
        (part.partition("\n")[0], part.partition("\n")[2])
        for block in blocks(page, "console")
        for part in block.split("$ ")[1:]
    ]
    assert len(shown) == 6
    for command, output in shown[:-1]:
        said = _bash(command, tmp_path, more)
        assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"
    (written_down,) = re.findall("up to the head (.*)", said)  # by the last of them
    assert "verified: bitwise" in _bash(f"HEAD={written_down}\n{head}", tmp_path, more)
    command, output = shown[-1]
    said = _bash(f"{touch}{command} || test $? = 1", tmp_path, more)
    assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ["how-to/rehearse-a-campaign.md", "explanations/challenge.md"])
def test_pages_about_trying_campaigns_out(page: str, tmp_path: Path) -> None:
    """The commands of the pages, on two processors; each trial of a model takes about a second."""
    for campaign in blocks(page, "yaml"):
        (tmp_path / "valley.yaml").write_text(campaign)
    for shown in blocks(page, "console"):
        command, _, output = shown.partition("\n")
        done = subprocess.run(
            [LABWRIGHT, *command.removeprefix("$ labwright ").split()],
            cwd=tmp_path,
            env=environment(COLUMNS="200", PYTHONPATH=os.getcwd()),
            text=True,
            capture_output=True,
            timeout=590,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said, output = (text.replace("─", "") for text in (done.stdout, output))
        assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"


def test_a_page_that_shows_something_else_is_noticed() -> None:
    assert fits("trial ... was measured", "trial 2 was measured")
    assert not fits("trial ... was measured", "trial 2 was abandoned")
    assert not fits("", "anything")


def test_links_lead_somewhere() -> None:
    pages = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if "." in target and not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_workflow_calls_what_the_readme_promises() -> None:
    root = DOCS.parent
    ci = (root / ".ci" / "run").read_text()
    workflow = (root / ".github" / "workflows" / "ci.yml").read_text()
    assert ".ci/run" in workflow
    assert re.search(r"make .*\btest\b", ci)
    readme = (root / "README.md").read_text()
    assert "make demo" in readme
    assert len(readme.splitlines()) < 100


def test_repair_a_damaged_ledger(tmp_path: Path) -> None:
    """The page's own lines on a log that is damaged; what was before the damage comes back."""
    page = "how-to/repair-a-damaged-ledger.md"
    keep, copy, put, start, note = blocks(page, "bash")
    (program,) = blocks(page, "python")
    (shown,) = blocks(page, "console")
    more = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    more["LABWRIGHT_DATA_DIR"] = "labwright-data"
    _bash("labwright run soft --trials 3 --id ID", tmp_path, more)
    (log,) = (tmp_path / "labwright-data" / "ledger" / "appendonlydir").glob("*.incr.aof")
    data = log.read_bytes()
    middle = len(data) * 3 // 4
    log.write_bytes(data[:middle] + b"\xff" * 40 + data[middle + 40 :])
    (tmp_path / "look.py").write_text(program)
    _bash(keep + copy, tmp_path, more)
    command, _, output = shown.partition("\n")
    assert fits(output, _bash(command.removeprefix("$ "), tmp_path, more))
    _bash(put, tmp_path, more)
    said = _bash(start, tmp_path, more)
    assert "done: budget of trials spent" in said
    assert "noted in ID" in _bash(note, tmp_path, more)
