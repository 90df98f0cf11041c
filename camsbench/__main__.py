"""``python -m camsbench``: the Hydra entry, nothing else."""

from __future__ import annotations

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from camsbench import experiment, session
from camsbench.commandline import quoted
from camsbench.config import CONF
from camsbench.errors import CamsbenchError

codes: list[int] = []  # one a job of a sweep


@hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
def _job(cfg: DictConfig) -> None:
    try:
        if cfg.cells is None:
            outcome = session.execute(cfg)
        else:
            outcome = experiment.execute(cfg, list(HydraConfig.get().overrides.task))
    except CamsbenchError as error:
        sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        where = f" (job {HydraConfig.get().job.override_dirname})" if sweep else ""
        print(f"camsbench: {error}{where}", file=sys.stderr)
        codes.append(1)
    except KeyboardInterrupt:
        print("camsbench: stopped; what is finished is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    else:
        print(outcome.report)
        for name in ("summary.md", "table.md", "gallery.png", "figure.png"):
            if (outcome.path / name).is_file():
                print(f"{name}: {outcome.path / name}")
        codes.append(1 if outcome.failed else 2 if outcome.errors and cfg.strict else 0)


def main() -> None:
    """Run the command line and leave with its exit code."""
    codes.clear()
    sys.argv[1:] = quoted(sys.argv[1:])
    _job()
    sys.exit(1 if 1 in codes else max(codes, default=0))


if __name__ == "__main__":
    main()
