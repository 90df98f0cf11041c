"""``python -m camsbench``: the Hydra entry, nothing else."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from camsbench.config import help
from camsbench.config.compose import quote_paths
from camsbench.config.paths import CONF
from camsbench.config.trust import check_config_folders
from camsbench.errors import CamsbenchError

codes: list[int] = []  # one a job of a sweep
home = os.getpid()  # a launcher may run jobs in other processes, or on other machines


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _job(cfg: DictConfig) -> None:
    try:
        from camsbench import experiment, session  # with PyTorch, which takes seconds

        if cfg.cells is None:
            outcome = session.execute(cfg)
        else:
            outcome = experiment.execute(cfg, list(HydraConfig.get().overrides.task))
    except CamsbenchError as error:
        if os.getpid() != home:
            raise  # the launcher tells the command that waits for it
        sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        where = f" (job {HydraConfig.get().job.override_dirname})" if sweep else ""
        print(f"camsbench: {error}{where}", file=sys.stderr)
        codes.append(1)
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        print(
            f"camsbench: stopped ({signal.Signals(number).name}); the blocks that are finished are kept, and the same "
            "command goes on from there",
            file=sys.stderr,
        )
        sys.exit(128 + number)
    else:
        print(outcome.report)
        for name in ("summary.md", "table.md", "gallery.png", "figure.png", "figure.pdf", "report.html"):
            if (outcome.path / name).is_file():
                print(f"{name}: {outcome.path / name}")
        codes.append(1 if outcome.failed else 2 if outcome.errors and cfg.strict else 0)


def _stopped(number: int, frame: FrameType | None) -> None:
    """A scheduler takes the machine away: end as with Ctrl-C."""
    raise KeyboardInterrupt(number)


def main() -> None:
    """Run the command line and leave with its exit code."""
    if help.FLAGS & set(sys.argv[1:]):
        print(help.text())
        return
    codes.clear()
    signal.signal(signal.SIGTERM, _stopped)
    sys.argv[1:] = quote_paths(sys.argv[1:])
    try:
        check_config_folders(sys.argv[1:])
    except CamsbenchError as error:
        print(f"camsbench: {error}", file=sys.stderr)
        sys.exit(1)
    try:
        _job()
    except SystemExit as end:
        if end.code == 1 and not codes:  # Hydra could not compose it
            from camsbench.config.suggest import suggest_nearest

            for sentence in suggest_nearest(sys.argv[1:]):
                print(f"camsbench: {sentence}", file=sys.stderr)
        raise
    sys.exit(1 if 1 in codes else max(codes, default=0))


if __name__ == "__main__":
    main()
