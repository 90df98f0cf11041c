"""What a network expects of a picture, put together: its weights' own, the configuration's, the protocol's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from camsbench.core.preprocess import Preprocess
from camsbench.errors import CamsbenchError

FIELDS = tuple(field.name for field in fields(Preprocess))
ALL_FIELDS = "model.transform's " + ", ".join(FIELDS[:-1]) + f" and {FIELDS[-1]}"


def settles(transform: Mapping[str, Any] | None) -> bool:
    """Whether these fields say all that ``Preprocess`` needs."""
    return set(transform or {}) >= set(FIELDS)


def given_fields(transform: object) -> dict[str, Any] | None:
    """The fields of ``model.transform`` that are not null; None where there is none.

    Raises:
        CamsbenchError: it has a field that there is not.
    """
    if transform is None:
        return None
    if not isinstance(transform, Mapping):
        raise CamsbenchError(f"model.transform={transform}: give its fields, such as model.transform.crop=224")
    unknown = sorted(map(str, set(transform) - set(FIELDS)))
    if unknown:
        raise CamsbenchError(f"model.transform.{unknown[0]}: there is no such field, only {', '.join(FIELDS)}")
    return {key: value for key, value in transform.items() if value is not None} or None


def preprocess_of(what: str, *layers: Mapping[str, Any] | None) -> Preprocess:
    """The fields of several mappings, a later one before an earlier one.

    Args:
        what: the option and network that the sentences name.

    Raises:
        CamsbenchError: nobody gives one of the fields, or one has no such value.
    """
    merged = {key: value for layer in layers for key, value in (layer or {}).items()}
    lacking = [field for field in FIELDS if field not in merged]
    if lacking:
        wanted = ", ".join(f"model.transform.{field}=" for field in lacking)
        raise CamsbenchError(f"{what}: nothing says how it expects its pictures: give {wanted}")
    try:
        return Preprocess(**merged)
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"model: {error}") from error
