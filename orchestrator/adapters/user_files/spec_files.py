"""Finds and reads campaign and instrument files; every mistake in one is told with its line."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from orchestrator.adapters.lab_code.plan_catalog import unknown_plan
from orchestrator.adapters.user_files.plain_words import finding_of, is_consequence
from orchestrator.adapters.user_files.plain_yaml import Document, Lines, Unreadable, dotted, parsed
from orchestrator.adapters.user_files.sample_file import BadSamples, read_samples
from orchestrator.domain.campaign_consistency import campaign_findings
from orchestrator.domain.errors import Problem, SpecError, Unusable, near
from orchestrator.domain.findings import Place
from orchestrator.domain.instrument_consistency import instrument_findings
from orchestrator.domain.spec import (
    INCONSISTENT,
    CampaignSpec,
    InstrumentSpec,
    SourceSpec,
    TableTwinSpec,
)

MOST_BYTES = 256 * 1024

FOR_PRACTICE = frozenset({"soft"})
"""Names of what is installed among the twins and is no instrument: a test function."""

Model = TypeVar("Model", CampaignSpec, InstrumentSpec)

_FINDINGS = {CampaignSpec: campaign_findings, InstrumentSpec: instrument_findings}


def read_campaign(file: Path) -> tuple[CampaignSpec, Lines]:
    """The campaign file as a model, and the line of each of its keys.

    The list of samples is in the model, and stands for ``choices: samples``.

    Raises:
        SpecError: with every problem found in the file.
    """
    return _read(file, CampaignSpec)


def _fill_in_samples(file: Path, document: Document) -> None:
    """Put the list of samples in the place of the file's name and of ``choices: samples``."""
    given, parameters = document.data.get("samples"), document.data.get("parameters")
    bound = [
        name
        for name, one in (parameters.items() if isinstance(parameters, dict) else ())
        if isinstance(one, dict) and one.get("choices") == "samples"
    ]
    if not isinstance(given, dict) or not isinstance(given.get("file"), str):
        for name in bound:
            message = "needs a list of samples: write samples: {file: samples.csv}"
            _refuse(document, ("parameters", name, "choices"), message)
        return
    if len(bound) != 1:
        document.unread.update(("parameters", name, "choices") for name in bound)
        message = f"must be the choices of one parameter (choices: samples), not of {len(bound)}"
        _refuse(document, ("samples",), message)
        return
    try:
        samples = read_samples(file.parent / given["file"])
    except BadSamples as error:
        _refuse(document, ("samples", "file"), str(error))
        document.unread.add(("parameters", bound[0], "choices"))  # it is not known which there are
        return
    given.update(parameter=bound[0], list=samples)
    document.data["parameters"][bound[0]]["choices"] = [one["position"] for one in samples]


def unknown_names(file: Path) -> Iterator[Problem]:
    """The instrument and the plan of a campaign file when there are none; nothing is imported.

    They are looked for whatever else is wrong with the file.
    """
    try:
        document = parsed(_content(file))
    except Unreadable:
        return
    instrument, plan = document.data.get("instrument"), document.data.get("plan")
    name = plan.get("name") if isinstance(plan, dict) else None
    try:
        if isinstance(instrument, str):
            find_instrument(instrument, file)
    except Unusable as error:
        yield Problem("instrument", str(error), document.lines.get(("instrument",)))
    if isinstance(name, str) and (unknown := unknown_plan(name)) is not None:
        line = line_of(document.lines, "plan.name")
        yield Problem("plan.name", unknown, line)


def _refuse(document: Document, place: Place, message: str) -> None:
    lines = document.lines
    above = [place[:length] for length in range(len(place), -1, -1)]
    document.refuse(place, next(lines[one] for one in above if one in lines), message, unread=True)


def read_instrument(file: Path) -> tuple[InstrumentSpec, Lines]:
    """The instrument file as a model, and the line of each of its keys.

    Paths in it are absolute in the model: of a twin's table and its header, of startup scripts.

    Raises:
        SpecError: with every problem found in the file.
    """
    instrument, lines = _read(file, InstrumentSpec)
    if isinstance(instrument.twin, TableTwinSpec):
        paths = {name: (file.parent / path).resolve() for name, path in instrument.twin}
        problems = [
            Problem(
                f"twin.{name}", f"there is no file {str(path)!r}", line_of(lines, f"twin.{name}")
            )
            for name, path in paths.items()
            if not path.is_file()
        ]
        if problems:
            raise SpecError(str(file), problems)
        found = {name: str(path) for name, path in paths.items()}
        instrument = instrument.model_copy(update={"twin": TableTwinSpec.from_data(found)})
    return _with_sources(instrument, file, lines), lines


def _with_sources(instrument: InstrumentSpec, file: Path, lines: Lines) -> InstrumentSpec:
    """The instrument with sources that can be found from any folder.

    Raises:
        SpecError: one is not there.
    """
    problems: list[Problem] = []
    sources: list[SourceSpec] = []
    for index, source in enumerate(instrument.sources):
        changed = {"file": str(file.resolve())}
        written = source.happi or source.startup
        if written is not None:
            path = (file.parent / Path(written).expanduser()).resolve()
            changed[source.kind] = str(path)
            is_there = path.exists() if source.startup else path.is_file()
            if not is_there:
                place = f"from.{index}.{source.kind}"
                message = f"there is nothing at {str(path)!r}"
                problems.append(Problem(place, message, line_of(lines, place)))
        sources.append(source.model_copy(update=changed))
    if problems:
        raise SpecError(str(file), problems)
    return instrument.model_copy(update={"sources": tuple(sources)}) if sources else instrument


def line_of(lines: Lines, place: str) -> int | None:
    """Line of a dotted place, or of the nearest key above it; None when there is none."""
    known = {dotted(path): line for path, line in lines.items()}
    while place and place not in known:
        place = place.rpartition(".")[0]
    return known.get(place)


def twin_folders() -> dict[str, Path]:
    """Folder of each installed twin, by name, with those ``FOR_PRACTICE``."""
    found: dict[str, Path] = {}
    for point in entry_points(group="labwright.twins"):
        package, _, name = point.value.rpartition(".")
        found[point.name] = Path(str(files(package))) / name if package else Path(str(files(name)))
    return found


def find_campaign(name: str) -> Path:
    """The campaign file that a person means: a path, or the name of a shipped twin.

    Raises:
        Unusable: neither a file nor a twin.
    """
    return _find(name, "campaign.yaml", Path())


def find_instrument(name: str, campaign_file: Path) -> Path:
    """The instrument file that a campaign means; paths are relative to the campaign file.

    Raises:
        Unusable: neither a file nor a twin.
    """
    return _find(name, "instrument.yaml", campaign_file.parent)


def _find(name: str, file: str, base: Path) -> Path:
    path = base / name
    if path.is_file():
        return path
    twins = twin_folders()
    if name in twins:
        return twins[name] / file
    raise Unusable(f"there is neither a file {str(path)!r} nor a twin {name!r}{near(name, twins)}")


def _read(file: Path, model: type[Model]) -> tuple[Model, Lines]:
    try:
        document = parsed(_content(file))
    except Unreadable as error:
        raise SpecError(str(file), [error.problem]) from error
    if model is CampaignSpec:
        _fill_in_samples(file, document)
    problems = document.problems
    try:
        spec = model.from_data(document.data)
    except ValidationError as error:
        problems += _problems(error, model, document)
    else:
        if not problems:
            return spec, document.lines
    raise SpecError(str(file), sorted(problems, key=lambda problem: problem.line or 0))


def _problems(error: ValidationError, model: type[Model], document: Document) -> Iterator[Problem]:
    """What the model refuses; where keys contradict each other is told even if others are wrong."""
    refused = [
        one for one in error.errors() if one["type"] != INCONSISTENT and not is_consequence(one)
    ]
    said = [finding_of(one, model, document.data) for one in refused]
    # Where one of several forms is meant, what is wrong inside it is enough.
    said = [one for one in said if not any(one[0] == at[: len(one[0])] != at for at, _ in said)]
    found = [*said, *_FINDINGS[model](document.data)]
    for place, message in dict.fromkeys(found):
        above = [place[:length] for length in range(len(place) + 1)]
        if document.unread.isdisjoint(above):
            line = next(document.lines[one] for one in reversed(above) if one in document.lines)
            yield Problem(dotted(place), message, line)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unusable(f"cannot read {file}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        size = f"is larger than {MOST_BYTES // 1024} kB, which no file of this kind needs to be"
        raise SpecError(str(file), [Problem("", size)])
    return content
