"""Build the report's chart library, Apache ECharts with what the report draws, from its pinned npm package.

python scripts/vendor_charts.py          # writes camsbench/report/page/assets/vendor
python scripts/vendor_charts.py --check  # says whether the files there are those that would be written

Needs npm. The same versions give the same bytes. For a new version: change VERSIONS, run, and put the sum that is then
said into SHA256.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "camsbench/report/page/assets/vendor"
LIBRARY = "echarts.min.js"
# zrender and tslib are what ECharts itself pins; esbuild makes one file of what is used.
VERSIONS = {"echarts": "6.1.0", "zrender": "6.1.0", "tslib": "2.3.0", "esbuild": "0.28.2"}
SHA256 = "f0460db50f1951548ee97de37a1b983377f54a16ad7d4651b907dd441123caee"

# The whole of ECharts is twice as large: a report carries it, so it gets what its charts use.
ENTRY = """
import { use } from "echarts/core";
import { CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { DataZoomInsideComponent, GridComponent, LegendPlainComponent, TitleComponent, TooltipComponent }
  from "echarts/components";
import { LabelLayout } from "echarts/features";
import { SVGRenderer } from "echarts/renderers";
use([CustomChart, LineChart, ScatterChart, DataZoomInsideComponent, GridComponent, LegendPlainComponent,
  TitleComponent, TooltipComponent, LabelLayout, SVGRenderer]);
export { init } from "echarts/core";
"""
BUNDLE = [
    *("--bundle", "--minify", "--format=iife", "--global-name=echarts", "--target=es2020", "--charset=ascii"),
    *("--legal-comments=none", '--define:process.env.NODE_ENV="production"', "--log-level=warning"),
]
# Where the packages keep their licences, and where they lie here.
LICENCES = {
    "LICENSE": "echarts/LICENSE",
    "NOTICE": "echarts/NOTICE",
    "licenses/LICENSE-d3": "echarts/licenses/LICENSE-d3",
    "licenses/LICENSE-zrender": "zrender/LICENSE",
    "licenses/LICENSE-tslib": "tslib/LICENSE.txt",
}
HEADER = """/*!
Apache ECharts {echarts} (Apache-2.0, http://www.apache.org/licenses/LICENSE-2.0), with zrender {zrender} (BSD-3-Clause)
and tslib {tslib} (0BSD): a selection, bundled and minified by scripts/vendor_charts.py of camsbench.

{notice}

zrender:
{zrender_licence}

d3, of which a part is in ECharts:
{d3_licence}
*/
"""


def main(given: list[str] | None = None) -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that are there, write nothing")
    args = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        files = built(Path(folder))
    found = hashlib.sha256(files[LIBRARY]).hexdigest()
    if args.check:
        other = [name for name, content in files.items() if _there(VENDOR / name) != content]
        print("\n".join(f"{name} differs" for name in other) or f"{len(files)} files are as built")
        return int(bool(other) or found != SHA256)
    for name, content in files.items():
        (VENDOR / name).parent.mkdir(parents=True, exist_ok=True)
        (VENDOR / name).write_bytes(content)
    print(f"{VENDOR / LIBRARY}: {len(files[LIBRARY]):,} bytes, sha256 {found}")
    if found != SHA256:
        print(f"SHA256 of this script is {SHA256}: is the change meant?", file=sys.stderr)
    return int(found != SHA256)


def built(folder: Path) -> dict[str, bytes]:
    """The library and its licences, by name; the packages are installed into ``folder``."""
    wanted = [f"{name}@{version}" for name, version in VERSIONS.items()]
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    (folder / "package.json").write_text("{}")
    subprocess.run(["npm", "install", *quiet, *wanted], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (folder / "entry.js").write_text(ENTRY)
    subprocess.run(["node_modules/.bin/esbuild", "entry.js", *BUNDLE, "--outfile=made.js"], cwd=folder, check=True)
    packages = folder / "node_modules"
    files = {name: (packages / path).read_bytes() for name, path in LICENCES.items()}
    header = HEADER.format(
        **VERSIONS,
        notice=files["NOTICE"].decode().strip(),
        zrender_licence=files["licenses/LICENSE-zrender"].decode().strip(),
        d3_licence=files["licenses/LICENSE-d3"].decode().strip(),
    )
    library = header.encode() + (folder / "made.js").read_bytes()
    if b"</script" in library.lower() or header.count("*/") != 1:
        raise SystemExit("the library would end its script element, or its header")
    return files | {LIBRARY: library}


def _there(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
