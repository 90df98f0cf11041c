"""Runs that take seconds: small images, few steps of the curves, nothing timed, no report; and the command in here."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import camsbench.__main__
from camsbench.config.compose import compose_config
from camsbench.session import Outcome, execute

SIDE = 96  # pixels: the weights are the real ones, and most of what can be wrong is wrong at any size
QUICK = [
    *(f"protocol.resize={SIDE}", f"protocol.crop={SIDE}", "protocol.insertion.steps=4", "protocol.deletion.steps=4"),
    *("runtime.device=cpu", "runtime.workers=0", "runtime.bare=0", "report.html=false"),
]
FULL = ["protocol.resize=null", "protocol.crop=null"]  # after QUICK: the network's own 224 pixels again
QuickRun = Callable[..., Outcome]  # what the fixture quick_run gives: quick_run(output, *overrides)


def quick_run(output: Path, *overrides: str) -> Outcome:
    """Compose a run with the ``QUICK`` options, of which ``overrides`` may change any, and execute it."""
    return execute(compose_config([*QUICK, f"output='{output}'", *overrides]))


@dataclass(frozen=True)
class Done:
    """What a command left, named as ``subprocess`` names it."""

    returncode: int
    stdout: str
    stderr: str


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Hydra sets up logging, and the command the end of a job: both are given back."""
    root, ending = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        signal.signal(signal.SIGTERM, ending)


def command(*arguments: str, cwd: Path) -> Done:
    """``python -m camsbench ARGUMENTS`` in ``cwd``, without a process of its own: PyTorch takes seconds to import."""
    out, err = io.StringIO(), io.StringIO()
    typed, code = sys.argv, 0
    try:
        sys.argv = [str(Path(camsbench.__main__.__file__)), *arguments]
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _as_it_was():
            camsbench.__main__.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = typed
    return Done(code, out.getvalue(), err.getvalue())
