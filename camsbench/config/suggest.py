"""Misspelt choices and options of a command line, answered with the nearest that there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from camsbench.config.catalogue import GROUPS
from camsbench.config.compose import compose_config
from camsbench.config.paths import CONF
from camsbench.errors import CamsbenchError

LISTED = {folder: name for name, folder in GROUPS.items()}  # what python -m camsbench.ls calls a group
NAMES = (*GROUPS.values(), "runtime")  # of groups
FREE = "limits"  # begins empty, and takes any method's name
LISTS = ("method", "metric")  # groups of which a run may have several
FEW = 12  # choices that a sentence can list


def compose_or_suggest(overrides: Sequence[str]) -> DictConfig:
    """The configuration of some overrides.

    Raises:
        CamsbenchError: they do not compose; the sentence names what is nearest, or else it is Hydra's own.
    """
    try:
        return compose_config(overrides)
    except Exception as error:
        said = "; ".join(suggest_nearest(overrides)) or " ".join(str(error).split())
        raise CamsbenchError(said) from error


def suggest_nearest(arguments: Sequence[str]) -> list[str]:
    """A sentence for each choice or option among the arguments that there is not."""
    try:
        given = OverridesParser.create().parse_overrides([one for one in arguments if not one.startswith("-")])
    except HydraException:  # Hydra's own sentence says where
        return []
    sentences = [sentence for override in given for sentence in _choices(override)]
    return sentences or list(_options(given))


def _choices(override: Override) -> Iterator[str]:
    group = override.key_or_group.partition("@")[0]
    if not (CONF / group).is_dir():
        return
    known = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    for choice in _names(override.value()):
        if choice not in known:
            more = f"; python -m camsbench.ls {LISTED[group]} lists all" if group in LISTED else ""
            near = _near(choice, known) or (f"; choose {', '.join(known)}" if len(known) <= FEW else "")
            yield f"{group}={choice}: there is no such choice{near}{more}"


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Sweep):
        value = getattr(value, "list", [])
    if isinstance(value, list):
        for each in value:
            yield from _names(each)
    elif value is not None:
        yield str(value)


def _options(given: Sequence[Override]) -> Iterator[str]:
    groups = [one for one in given if (CONF / one.key_or_group.partition("@")[0]).is_dir()]
    try:
        cfg = compose_config([str(one.input_line) for one in groups if not isinstance(one.value(), Sweep)])
    except HydraException:
        return
    known = sorted({*_keys(cfg), *NAMES})
    for one in given:
        key = one.key_or_group
        if one in groups or one.is_add() or one.is_force_add() or key in known:
            continue
        group, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        if group == FREE:
            yield f"{key}: it is to be added: ++{one.input_line}"
        elif group in LISTS and (CONF / group / f"{name}.yaml").is_file() and name not in cfg[group]:
            yield f"{key}: this run has no {group}={name}; its {group} is {', '.join(cfg[group])}"
        else:
            yield f"{key}: there is no such option{_near(key, known)}; python -m camsbench --cfg job prints all"


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        name = f"{prefix}{key}"
        yield name
        if not OmegaConf.is_missing(node, key) and isinstance(inner := node._get_node(key), DictConfig):
            yield from _keys(inner, f"{name}.")


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"; near are {', '.join(near)}" if near else ""
