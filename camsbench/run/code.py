"""The code behind a run's methods, metrics and images: a row is made by it as much as by the configuration."""

from __future__ import annotations

import ast
import hashlib
import tokenize
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from pkgutil import resolve_name as find_object
from typing import Any

from camsbench.config.trust import targets, within
from camsbench.errors import CamsbenchError

OWN = ("camsbench.methods", "camsbench.metrics", "camsbench.core")


def plugin_code(cfg: Mapping[str, Any]) -> dict[str, str]:
    """For each choice that calls a plug-in the hash of its source: ``{"method.mine": "9f86d081884c7d65"}``.

    Source is the module that is named, that which holds what it names, and all that these import from their own package
    or from beside it, to any depth; of an installed package its version and the module. Files that a plug-in opens are
    not looked at.

    Raises:
        CamsbenchError: the source of one cannot be found.
    """
    chosen = {group: cfg.get(group) or {} for group in ("method", "metric")}
    build = (cfg.get("model") or {}).get("build")
    network = {"model.build": {"_target_": str(build).replace(":", ".")}} if build else {}
    options = {**_options(chosen), "data": cfg.get("data") or {}, **network}
    return _hashes(options, lambda target: not within(target, ("camsbench",)), _Sources().of_plugin)


def own_code(cfg: Mapping[str, Any]) -> dict[str, str]:
    """The same of camsbench's own methods and metrics; comments and docstrings do not count."""
    chosen = {group: cfg[group] for group in ("method", "metric")}
    return _hashes(_options(chosen), lambda target: within(target, OWN), _Sources().of_own)


def _options(chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{group}.{name}": one for group, node in chosen.items() for name, one in node.items()}


def _hashes(
    options: Mapping[str, Any], wanted: Callable[[str], bool], source_of: Callable[[str], str]
) -> dict[str, str]:
    found = {}
    for option, node in options.items():
        parts = [source_of(target) for target in sorted(set(targets(node))) if wanted(target)]
        if parts:
            found[option] = _digest("\n".join(parts).encode())
    return found


class _Sources:
    """Source files as they are now, each read once."""

    def __init__(self) -> None:
        self._file = cache(_file)
        self._imports = cache(_imports)
        self._without_words = cache(_without_words)

    def of_plugin(self, target: str) -> str:
        named = self._module_of(target)
        modules = {named, getattr(find_object(target), "__module__", None) or named}
        return "\n".join(self._of_module(module) for module in sorted(modules) if not within(module, ("camsbench",)))

    def of_own(self, target: str) -> str:
        files = self._reach(self._module_of(target), lambda name: within(name, OWN))
        return "\n".join(f"{name} {self._without_words(path)}" for name, path in sorted(files.items()))

    def _of_module(self, module: str) -> str:
        file = self._file(module)
        if file is None:
            raise CamsbenchError(
                f"the source of the plug-in {module} cannot be found: give it as a file that Python imports"
            )
        if _installed(file):
            return f"{module} {_version(module)} {_digest(file.read_bytes())}"
        home = file.parents[module.count(".") + (file.name == "__init__.py")]  # where Python found the package
        files = self._reach(module, lambda name: not within(name, ("camsbench",)) and _lies_in(name, home))
        return "\n".join(f"{name} {_digest(path.read_bytes())}" for name, path in sorted(files.items()))

    def _reach(self, module: str, wanted: Callable[[str], bool]) -> dict[str, Path]:
        """The files of a module and of those that it imports, to any depth, whose names are ``wanted``."""
        found: dict[str, Path] = {}
        left = [module]
        while left:
            name = left.pop()
            path = self._file(name) if name not in found and wanted(name) else None
            if path is not None:
                found[name] = path
                left += [*_parents(name), *self._imports(name, path)]
        return found

    def _module_of(self, target: str) -> str:
        """The module in which a dotted name lies."""
        names = [target, *reversed(_parents(target))]
        return next((name for name in names if self._file(name) is not None), target)


def _imports(module: str, path: Path) -> tuple[str, ...]:
    """What a module's source imports, wherever in it: modules, and names in them that may be modules."""
    if path.suffix != ".py":
        return ()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[str] = []
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # a module that is only tried
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name for alias in node.names for name in (alias.name, *_parents(alias.name))]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            found += [base, *_parents(base), *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(found)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _lies_in(name: str, home: Path) -> bool:
    """Whether a module's top package lies in the folder ``home`` and was not installed; nothing is imported for it."""
    try:
        spec = find_spec(name.partition(".")[0])
    except Exception:  # a finder of somebody else's
        return False
    places = [spec.origin, *(spec.submodule_search_locations or [])] if spec is not None else []
    return any(Path(each).is_relative_to(home) and not _installed(Path(each)) for each in places if each)


def _file(module: str) -> Path | None:
    """The file of a module; None where there is no such module, or none with a file."""
    try:
        spec = find_spec(module)
    except Exception:  # it imports the packages above, which may do anything
        return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.is_file() else None


def _installed(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _without_words(path: Path) -> str:
    """The hash of a source without comments, docstrings and empty lines: the same under every version of Python."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    with tokenize.open(path) as file:
        comments = [t.start for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.COMMENT]
    for row, column in comments:
        lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            words = node.body[0]
            lines[words.lineno - 1 : words.end_lineno] = [""] * ((words.end_lineno or words.lineno) - words.lineno + 1)
    return _digest("\n".join(line.rstrip() for line in lines if line.strip()).encode())


def _version(module: str) -> str:
    top = module.partition(".")[0]
    try:
        return " ".join(sorted({version(name) for name in packages_distributions().get(top, [])}))
    except PackageNotFoundError:
        return "of no known version"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
