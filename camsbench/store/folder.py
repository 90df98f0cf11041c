"""The run folder: atomic parquet parts, who made them, and what is done already."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from camsbench.data.record import LABEL, Record
from camsbench.errors import CamsbenchError
from camsbench.files import write_text
from camsbench.store import manifest
from camsbench.store.curves import with_curves
from camsbench.store.environment import Environment
from camsbench.store.parts import Parts
from camsbench.store.schema import CURVE, KEY, schema
from camsbench.store.shares import Shard, hold, mutex

log = logging.getLogger(__name__)


class RunFolder:
    """A run on disk. Every file is written under a temporary name and renamed: a crash leaves none half done.

    Several sessions may work in it, each on another share of the run (see ``camsbench.store.shares``). What they all
    write is written in a ``moment`` alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = Parts(path / "rows")
        self._curves = Parts(path / "curves")
        self._environment = Environment(path / "environment.json")
        self._alone = True

    @contextmanager
    def locked(self, shard: Shard | None = None, plan: str = "") -> Iterator[None]:
        """Hold the folder, or a share of the run in it, for one process.

        Raises:
            CamsbenchError: another process has it, or the folder cannot be made.
        """
        try:
            self._rows.folder.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").touch()
        except OSError as error:
            raise CamsbenchError(
                f"output={self.path}: cannot write there ({error.strerror}); choose another"
            ) from error
        with hold(self.path, shard or Shard(), plan) as self._alone:
            yield

    def moment(self) -> AbstractContextManager[None]:
        """A moment alone among the sessions of the folder."""
        return mutex(self.path)

    def open(
        self,
        identity: Mapping[str, Any],
        session: Mapping[str, Any],
        config: str,
        source: Sequence[Record] = (),
        images: Mapping[str, str] | None = None,
    ) -> None:
        """Begin or go on with a run, in a locked folder.

        Args:
            identity: what makes it this run.
            session: who works on it now.
            config: ``config.yaml``.
            source: all images of the data.
            images: the hashes of some of them (``camsbench.data.fingerprint``).

        Raises:
            CamsbenchError: the folder holds another run.
        """
        self._environment.refuse_mixing(identity)
        if self.parts() and not self._environment.exists:
            raise CamsbenchError(f"{self.path} has rows but no environment.json: choose another folder with output=")
        self._set_aside_broken()
        self._refuse_other_images(source, images or {})
        if self._alone:
            names = {path.name for path in self.parts()}
            for parts in (self._rows, self._curves):
                parts.clean(names)
        self._environment.begin(identity, session, images or {})
        self.write_text("config.yaml", config)

    def code_changes(self) -> list[str]:
        """What is to be said of rows that camsbench's own code made before it changed."""
        return self._environment.code_changes()

    def refuse_others(self, identity: Mapping[str, Any], source: Sequence[Record]) -> None:
        """Refuse what is not this run: other settings, network or code, or other images of the same names.

        Raises:
            CamsbenchError: it is another.
        """
        self._environment.refuse_mixing(identity)
        self._refuse_other_images(source, {})

    def account(self, cost: Mapping[str, Any]) -> None:
        """Add to this session what it cost."""
        self._environment.account(cost)

    def write_manifest(self, records: Sequence[Record], boxes: bool = False) -> None:
        """Add a run's images to ``manifest.csv``; of their ``boxes`` where the run looks at them.

        Raises:
            CamsbenchError: an image had another label, length or other boxes before.
        """
        new = manifest.of_records(records, boxes)
        path = self.path / manifest.NAME
        if path.is_file():
            new = manifest.added(manifest.read(path), new, path, self._measured)
        self.write_text(manifest.NAME, new.to_csv(index=False))

    def parts(self) -> list[Path]:
        """The parts that hold rows."""
        return self._rows.paths()

    def done(self, good: bool = False) -> set[tuple[str, str, str]]:
        """(image_id, method, layer) of every row on disk, or of those without an error."""
        seen: set[tuple[str, str, str]] = set()
        for table in self._rows.read([*KEY, "error"]):
            columns = (table.filter(pc.is_null(table["error"])) if good else table).to_pydict()
            seen.update(zip(*(columns[key] for key in KEY), strict=True))
        return seen

    def counts(self) -> dict[str, tuple[int, int]]:
        """For each method its rows on disk, and how many of them failed."""
        found: dict[str, tuple[int, int]] = {}
        for table in self._rows.read(["method", "error"]):
            for method, error in zip(*table.to_pydict().values(), strict=True):
                rows, failed = found.get(method, (0, 0))
                found[method] = rows + 1, failed + (error is not None)
        return found

    def write_part(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[str],
        curves: Sequence[Mapping[str, Any]] = (),
        block: int = 0,
        cells: Mapping[str, pa.DataType] | None = None,
    ) -> None:
        """Write the rows of a block, and their curves, as its next part; they are all on disk, or none is.

        The curves go first: those of a part whose rows never came are removed when the run goes on.

        Raises:
            CamsbenchError: the disk is full, or gone.
        """
        name = self._rows.free(block)
        if curves:
            self._curves.write(pa.Table.from_pylist([dict(curve) for curve in curves], schema=pa.schema(CURVE)), name)
        self._rows.write(pa.Table.from_pylist([dict(row) for row in rows], schema=schema(columns, cells)), name)

    def forget_errors(self, images: Collection[str] | None = None) -> None:
        """Take the rows of failed images, or of those among ``images``, off the disk: they are pending again."""
        for part in self.parts():
            table = pq.read_table(part)
            forgotten = pc.is_valid(table["error"])
            if images is not None:
                forgotten = pc.and_(
                    forgotten, pc.is_in(table["image_id"], value_set=pa.array(list(images), pa.string()))
                )
            kept = table.filter(pc.invert(forgotten))
            if len(kept) == len(table):
                continue
            if len(kept):
                self._rows.write(kept, part.name)
            else:
                part.unlink()

    def rows(self, curves: Collection[str] = ()) -> pd.DataFrame:
        """All rows, in the order of the manifest and of the methods' first appearance; of doubles the last.

        Doubles come where somebody copied the parts of several folders into one. Each of the ``curves`` that are named
        is a column (``camsbench.store.curves``).
        """
        tables = list(self._rows.read())
        if not tables:
            raise CamsbenchError(f"{self.path} holds no rows yet: run python -m camsbench output={self.path} first")
        rows = pa.concat_tables(tables, promote_options="permissive").to_pandas().drop_duplicates([*KEY], keep="last")
        place = manifest.read(self.path / manifest.NAME).reset_index().set_index("image_id")
        order = {method: i for i, method in enumerate(rows["method"].unique())}
        keys = pd.DataFrame({"m": rows["method"].map(order), "i": rows["image_id"].map(place["index"])})
        rows = rows.loc[keys.sort_values(["m", "i"], kind="stable").index].reset_index(drop=True)
        return with_curves(rows, self.curve_parts(), curves) if curves else rows

    def curves(self) -> pd.DataFrame:
        """All curves, one a line: what identifies their row, the curve's name, and its values ``y``."""
        return pa.concat_tables([pa.schema(CURVE).empty_table(), *self.curve_parts()]).to_pandas()

    def curve_parts(self) -> Iterator[pa.Table]:
        """The curves, a part at a time."""
        return self._curves.read()

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file of the run, atomically."""
        return write_text(self.path / name, text)

    def _refuse_other_images(self, source: Sequence[Record], known: Mapping[str, str]) -> None:
        """Refuse other images of the same names; one without a row that is no error may have been mended."""
        if self._environment.shares_no_image(source):
            raise CamsbenchError(
                f"{self.path} holds a run of other images: none of those that it looked at is among the "
                f"{len(source):,} of these data: choose another folder with output="
            )
        others = self._environment.changed_images(source, known)
        others = sorted(set(others) & self._measured()) if others else []
        if others:
            raise CamsbenchError(
                f"{self.path} holds a run of other images of the same names: {len(others)} of those that it looked at "
                f"changed, the first is {others[0]}: choose another folder with output="
            )

    def _measured(self) -> set[str]:
        """The ids of images that have a row without an error."""
        good = (table.filter(pc.is_null(table["error"])) for table in self._rows.read(["image_id", "error"]))
        found = {one for table in good for one in table["image_id"].to_pylist()}
        return found | {one.rpartition(LABEL)[0] for one in found if LABEL in one}  # an image once a label

    def _set_aside_broken(self) -> None:
        for name in {*self._rows.broken(), *self._curves.broken()}:
            log.warning("%s was cut short: set aside as %s.broken, its images are done again", name, name)
            self._rows.set_aside(name)
            self._curves.set_aside(name)
