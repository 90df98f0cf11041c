"""Work in a process of its own, which works when it is told to and reads its own clock."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent.parent


class Elsewhere:
    """A process that says ``ready`` when it has made everything, then a line of seconds for each order."""

    def __init__(self, command: list[Any], what: str) -> None:
        self.what = what
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        word, *self.about = self._answer().split() or [""]
        if word != "ready":
            raise RuntimeError(f"{what} did not start: {self._last_words()}")

    def __call__(self, order: str) -> float:
        """Seconds of an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.what} ended: {self._last_words()}")
        return line

    def _last_words(self) -> str:
        said = self.process.communicate()[1].strip().splitlines()
        return said[-1] if said else "it said nothing"


@contextmanager
def as_it_comes(function: str, *given: Any) -> Iterator[Callable[[], float]]:
    """Seconds of the work that ``MODULE.FUNCTION`` of ``benching`` makes of ``given``, as its users have it.

    In a process where the allocator returns freed memory, as it does unless somebody tells it not to (camsbench's
    command line does; see ``camsbench.core.process``).
    """
    start = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); from benching.elsewhere import serve; serve()"
    command = [sys.executable, "-c", start, function, json.dumps(given)]
    worker = Elsewhere(command, function)
    try:
        yield lambda: worker("go")
    finally:
        worker.close()


def serve() -> None:
    """Make the work that the command line names, and do it once a line of standard input."""
    module, _, function = sys.argv[1].rpartition(".")
    work = getattr(importlib.import_module(f"benching.{module}"), function)(*json.loads(sys.argv[2]))
    answers, sys.stdout = sys.stdout, sys.stderr  # peers print
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, file=answers, flush=True)
