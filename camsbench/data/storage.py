"""Files where they lie: on this machine, on a server, or as a stretch of an archive. Nothing is unpacked."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Literal

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from camsbench.errors import CamsbenchError

FILES = (".tar", ".tgz", ".gz", ".zip", ".parquet", ".csv", ".txt")


@dataclass(frozen=True)
class Stored:
    """A file, or its bytes ``start`` to ``stop``, which hold the archive's ``member``."""

    fs: AbstractFileSystem
    path: str
    start: int | None = None
    stop: int | None = None
    member: str = ""
    size: int | None = field(default=None, compare=False)  # of the whole file, where its folder said so

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else self.path

    @property
    def name(self) -> str:
        return posixpath.basename(self.member or self.path)

    @property
    def length(self) -> int | None:
        """Bytes, where they are known without reading."""
        return self.size if self.start is None or self.stop is None else self.stop - self.start

    def read(self) -> bytes:
        found: bytes = self.fs.cat_file(self.path, self.start, self.stop)
        if self.start is not None and self.stop is not None and len(found) != self.stop - self.start:
            raise OSError(f"{self}: {len(found)} bytes came in place of {self.stop - self.start}")  # no ranges, or cut
        return found

    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]:
        return io.BytesIO(self.read())

    def text(self) -> str:
        return self.read().decode("utf-8-sig")

    @property
    def folder(self) -> Folder:
        """Where it lies."""
        return Folder(self.fs, _above(self.path))

    def stream(self) -> IO[Any]:
        """The whole file, for reading here and there."""
        opened: IO[Any] = self.fs.open(self.path, "rb")
        return opened


class Folder:
    """A folder of a file system: what is in it, asked for once."""

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self.fs = fs
        self.path = path.rstrip("/") or "/"

    def __str__(self) -> str:
        return self.path

    @cached_property
    def entries(self) -> dict[str, bool]:
        """Whether each entry is a folder, or a link to one; nothing where there is no such folder."""
        return {name: self._is_folder(one) for name, one in self._listed.items()}

    @property
    def folders(self) -> list[str]:
        return [name for name, is_folder in self.entries.items() if is_folder]

    @property
    def files(self) -> list[str]:
        return [name for name, is_folder in self.entries.items() if not is_folder]

    @cached_property
    def _listed(self) -> dict[str, dict[str, Any]]:
        try:
            listed = self.fs.ls(self.path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise CamsbenchError(_unlisted(self.path, error)) from error
        found = {posixpath.basename(one["name"].rstrip("/")): one for one in listed}
        return {name: found[name] for name in sorted(found) if name}

    def _is_folder(self, one: dict[str, Any]) -> bool:
        return one["type"] == "directory" or (bool(one.get("islink")) and self.fs.isdir(one["name"]))

    def child(self, path: str) -> Folder:
        return self if path in ("", ".") else Folder(self.fs, f"{self.path}/{path}")

    def file(self, name: str) -> Stored:
        return Stored(self.fs, f"{self.path}/{name}", size=self._listed.get(name, {}).get("size"))

    @property
    def above(self) -> Folder:
        """The folder that this one lies in; the outermost lies in itself."""
        return Folder(self.fs, _above(self.path))

    def below(self) -> list[tuple[str, Stored]]:
        """The files in its folders, however deep, sorted, each with its path from here: one listing for all of them.

        Links to folders are followed, but for those that lead back to where they lie; hidden folders are left out.

        Raises:
            CamsbenchError: a folder cannot be listed, or a link leads nowhere.
        """
        found = [(path, file) for path, file in self._tree() if "/" in path]
        return sorted(found, key=lambda each: each[0])

    def _tree(self, links: tuple[Path, ...] = ()) -> Iterator[tuple[str, Stored]]:
        for path, one in self._all():
            inside = posixpath.relpath(path, self.path)
            if any(part.startswith(".") for part in inside.split("/")):
                continue
            if not one.get("islink"):
                yield inside, Stored(self.fs, path, size=one.get("size"))
                continue
            target = Path(path).resolve()
            if not target.exists():
                raise CamsbenchError(f"data.root: the link {path} leads nowhere: mend it, or remove it")
            if target.is_file():
                yield inside, Stored(self.fs, path, size=one.get("size"))
            elif target not in links and not _leads_back(target, Path(path)):
                linked = Folder(self.fs, path)
                yield from ((f"{inside}/{rest}", file) for rest, file in linked._tree((*links, target)))

    def _all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All below that is no folder, by its whole path; ``find`` would pass over folders that cannot be listed."""
        if not isinstance(self.fs, LocalFileSystem):
            yield from self.fs.find(self.path, detail=True).items()
            return
        for one in self._listed.values():
            if one["type"] == "directory":
                yield from Folder(self.fs, one["name"])._all()
            else:
                yield one["name"], one


def _leads_back(target: Path, link: Path) -> bool:
    """Whether a link leads to a folder that it lies in: its files are listed already."""
    here = link.parent.resolve()
    return target == here or target in here.parents


def _unlisted(path: str, error: OSError) -> str:
    return f"data.root: the folder {path} cannot be listed ({error.strerror or error}): its images would be lost"


def _above(path: str) -> str:
    host, _, inside = path.rpartition("://")  # nothing is above a server
    return posixpath.dirname(path) if not host or "/" in inside else path


def locate(option: str, root: str) -> Folder | Stored:
    """What ``root`` names: a folder or a file, here (``~`` is the home folder) or behind a URL.

    Raises:
        CamsbenchError: there is nothing, or what its protocol needs is not installed; ``option`` is named.
    """
    try:
        fs, path = url_to_fs(root if "://" in root else str(Path(root).expanduser().absolute()))
        info = fs.info(path)
    except (ImportError, ValueError) as error:
        raise CamsbenchError(f"{option}={root}: {error}; pip install 'camsbench[remote]', or give a folder") from error
    except FileNotFoundError as error:
        raise CamsbenchError(
            f"{option}={root}: there is no such folder or file; give the folder of the validation images"
        ) from error
    except Exception as error:  # each protocol has errors of its own
        raise CamsbenchError(f"{option}={root}: cannot be read ({type(error).__name__}: {error})") from error
    folder = info["type"] == "directory"
    if path.startswith("http"):  # a web server has pages in place of folders
        folder = not path.endswith(FILES)
    return Folder(fs, path) if folder else Stored(fs, path)
