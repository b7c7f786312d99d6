"""YAML as data and nothing else: no aliases, no tags, capped depth, and the line of every key."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from orchestrator.domain.errors import Problem
from orchestrator.domain.findings import Place

MOST_DEPTH = 20
MOST_DIGITS = 300

Lines = Mapping[Place, int]
"""Line of each place in a file, from 1."""


class Unreadable(Exception):
    """Text that cannot be read to its end, and why."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.problem = Problem("", message, line)


@dataclass
class Document:
    """What a file says, and what is wrong with the way in which it says it."""

    data: dict[str, Any] = field(default_factory=dict[str, Any])
    lines: dict[Place, int] = field(default_factory=lambda: {(): 1})
    problems: list[Problem] = field(default_factory=list[Problem])
    unread: set[Place] = field(default_factory=set[Place])
    """Places with a problem for which ``data`` holds no true value."""

    def refuse(self, place: Place, line: int, message: str, *, unread: bool = False) -> None:
        """Note a problem."""
        self.problems.append(Problem(dotted(place), message, line))
        if unread:
            self.unread.add(place)


def parsed(content: bytes) -> Document:
    """What a file holds.

    Raises:
        Unreadable: it is no YAML mapping in UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte 0x{content[error.start]:02X}); save it as UTF-8"
        raise Unreadable(message, line) from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        message = f"has the control character 0x{error.character:02X}; remove it"
        raise Unreadable(message, text.count("\n", 0, error.position) + 1) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error) from error
    if not isinstance(node, yaml.MappingNode):
        found = "is empty" if node is None else "is not a mapping"
        raise Unreadable(f"{found}; it must hold keys and values, such as 'name: my-first'", 1)
    document = Document()
    document.data = _plain(node, (), document, loader.notes)
    return document


class _Loader(yaml.SafeLoader):
    """Composes YAML, and notes on the way what would make a file more than data."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.notes: dict[int, str] = {}
        """By identity of the node: why it is refused."""
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node; aliases are not followed, and the depth is limited."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self.get_event()
            start, end = cast(Any, event.start_mark), cast(Any, event.end_mark)
            node = yaml.ScalarNode("alias", "", start, end)
            self.notes[id(node)] = f"uses the alias *{event.anchor}; write the value out"
            return node
        if self._depth == MOST_DEPTH:
            message = f"is nested deeper than {MOST_DEPTH} levels"
            raise Unreadable(message, event.start_mark.line + 1)
        anchor, event.anchor = event.anchor, None
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor:
            self.notes[id(node)] = f"has the anchor &{anchor}; remove it"
        if event.tag:
            self.notes[id(node)] = f"has the tag {event.tag}; remove it"
        return node


# Of plain words YAML 1.2 reads only these as something else than text: no 'on', no dates, no 1:30.
_TEXT = "tag:yaml.org,2002:str"
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|"
        r"\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first
    )

_HINTS = {
    "cannot start any token": "put text that begins with a special character in quotes",
    "mapping values are not allowed": "put text that has a colon and a space in quotes",
}


def _syntax_error(error: yaml.MarkedYAMLError) -> Unreadable:
    mark, began = error.problem_mark or error.context_mark, error.context_mark
    line = mark.line + 1 if mark else 1
    what = error.problem or str(error)
    if "'\\t'" in what:
        return Unreadable("has a tab; indent with spaces", line)
    if "another document" in what:
        return Unreadable("has a second document; remove the line '---'", line)
    if began is not None and line != began.line + 1:
        what += f", {error.context} that begins in line {began.line + 1}"
    hints = [hint for part, hint in _HINTS.items() if part in what]
    return Unreadable("; ".join([f"is no valid YAML: {what}", *hints]), line)


def _plain(node: yaml.Node, path: Place, document: Document, notes: Mapping[int, str]) -> Any:
    """Plain data from a node; lines and problems go into the document."""
    line = node.start_mark.line + 1
    if note := notes.get(id(node)):
        document.refuse(path, line, note, unread="anchor" not in note)
    if isinstance(node, yaml.MappingNode):
        data: dict[str, Any] = {}
        for key, value in node.value:
            name, line = _name(key, path, document), key.start_mark.line + 1
            if name is None:
                continue
            inner = (*path, name)
            if inner in document.lines:
                message = f"is given twice, first in line {document.lines[inner]}"
                document.refuse(inner, line, message)
            document.lines.setdefault(inner, line)
            data[name] = _plain(value, inner, document, notes)
        return data
    if isinstance(node, yaml.SequenceNode):
        items: list[Any] = []
        for index, value in enumerate(node.value):
            document.lines[(*path, index)] = value.start_mark.line + 1
            items.append(_plain(value, (*path, index), document, notes))
        return items
    value = _scalar(node)
    if isinstance(value, float) and not math.isfinite(value):
        message = f"found {node.value[:40]}; must be a finite number"
        document.refuse(path, line, message, unread=True)
        return None
    return value


def _name(key: yaml.Node, path: Place, document: Document) -> str | None:
    """The name that a key is; None, and a problem, for numbers, true, lists and the like."""
    if isinstance(key, yaml.ScalarNode) and key.tag == _TEXT:
        return key.value
    is_scalar = isinstance(key, yaml.ScalarNode)
    found = (key.value[:40] or "nothing") if is_scalar else "a list or mapping"
    message = f"has {found} as a key; a key must be a name, in quotes if it looks like a number"
    document.refuse(path, key.start_mark.line + 1, message)
    return None


def _scalar(node: yaml.Node) -> Any:
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return node.value.lower() == "true"
        case "int":
            return int(node.value) if len(node.value) <= MOST_DIGITS else math.inf
        case "float":
            return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return node.value


def dotted(path: Place) -> str:
    """A place as people write it, such as ``parameters.x.range.0``."""
    return ".".join(map(str, path))
