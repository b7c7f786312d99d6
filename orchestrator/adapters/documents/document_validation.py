"""The schemas of Bluesky's documents, compiled: each document is checked as before, only faster.

Interpreting the schemas takes longer than the rest of a short run.
"""

from collections import OrderedDict, defaultdict
from itertools import chain
from typing import Any

import event_model
import jsonschema_rs
import numpy as np

_MAPPINGS = frozenset({dict, OrderedDict, defaultdict})
_SEQUENCES = frozenset({list, tuple})
_SCALARS = frozenset({str, int, float, bool, type(None)})


class CompiledValidator:
    """Accepts at once what the compiled schema accepts; the original decides about all else.

    Args:
        original: the interpreting validator of a schema.
    """

    def __init__(self, original: Any) -> None:
        self._original = original
        self._compiled = jsonschema_rs.validator_for(original.schema)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the original can do."""
        return getattr(self._original, name)

    def validate(self, document: Any) -> None:
        """Return when the document keeps the schema.

        Raises:
            ValidationError: it does not (the one of ``jsonschema``).
        """
        if not self.accepts_at_once(document):
            self._original.validate(document)

    def accepts_at_once(self, document: Any) -> bool:
        """True when the compiled schema can tell that the document is right."""
        try:
            if not _is_familiar([document]):
                return False
            try:
                return self._compiled.is_valid(document)
            except ValueError:  # a numpy value
                return self._compiled.is_valid(_with_floats(document))
        except (ValueError, RecursionError):
            return False


def compile_validators() -> None:
    """Check all documents of this process with compiled schemas from now on."""
    validators: dict[Any, Any] = event_model.schema_validators
    for name, original in validators.items():
        if not isinstance(original, CompiledValidator):
            validators[name] = CompiledValidator(original)


def _is_familiar(values: list[Any]) -> bool:
    """True when all in these values is of types that both kinds of validator take for the same.

    A member of an enumeration, for one, is text to the compiled schema only.
    """
    kinds = set(map(type, values)) - _SCALARS
    if not all(
        kind in _MAPPINGS or kind in _SEQUENCES or issubclass(kind, (np.generic, np.ndarray))
        for kind in kinds
    ):
        return False
    inner = [value.values() for value in values if type(value) in _MAPPINGS]
    inner += [value for value in values if type(value) in _SEQUENCES]
    return not inner or _is_familiar(list(chain.from_iterable(inner)))


def _with_floats(value: Any) -> Any:
    """The same with floats in place of numpy's, which are floats to the original, too."""
    if isinstance(value, np.float64):
        return float(value)
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_floats(item) for item in value]
    return value
