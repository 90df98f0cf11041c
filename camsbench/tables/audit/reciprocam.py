"""Checks of ReciproCAM (Byun and Lee 2024), Table 1: ADCC from its parts, and what the text claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from camsbench.tables.audit.finding import HOLDS, IMPOSSIBLE, REMARK, ROUNDING, WRONG, Finding, check, where
from camsbench.tables.published import Keys, PrintedNumber, Published, load

OWN, RIVAL = "ReciproCAM", "ScoreCAM"
RESNETS = ("ResNet-18", "ResNet-50", "ResNet-101")
RESNEXTS = ("ResNeXt-50", "ResNeXt-101")
TABLE1 = "reciprocam_table1"


def findings() -> list[Finding]:
    """All checks of Table 1."""
    table = load(TABLE1)
    return [*_adcc(table), *_gains(table), *_ranks(table), *_shares(table), *_duplicates(table)]


def adcc_bounds(drop: PrintedNumber, coherency: PrintedNumber, complexity: PrintedNumber) -> tuple[float, float, float]:
    """ADCC in percent of printed parts, and its least and most for parts that round to them: it grows with coherency
    and falls with drop and complexity."""

    def harmonic(shift: float) -> float:
        coh = (coherency.value - shift * coherency.half) / 100
        rest = [1 - (cell.value + shift * cell.half) / 100 for cell in (drop, complexity)]
        return 300 / (1 / coh + sum(1 / term for term in rest))

    return harmonic(0), harmonic(1), harmonic(-1)


def _adcc(table: Published) -> list[Finding]:
    made: list[Finding] = []
    off: dict[str, list[float]] = {HOLDS: [], ROUNDING: [], IMPOSSIBLE: []}
    for keys in table.lines:
        drop, coherency, complexity, adcc = (
            _cell(table, keys, name) for name in ("drop", "coherency", "complexity", "adcc")
        )
        value, low, high = adcc_bounds(drop, coherency, complexity)
        said = (
            f"the harmonic mean of Coher {coherency.text}, 100 − Compl {complexity.text} and 100 − Drop {drop.text} "
            f"is {value:.3f} ({low:.3f} to {high:.3f} by rounding); {adcc.text} lies {abs(adcc.value - value):.3f} "
            f"{'below' if adcc.value < value else 'above'}"
        )
        made.append(Finding(TABLE1, where(keys, "ADCC"), adcc.text, said, check(adcc, value, low, high), keys, "adcc"))
        off[made[-1].verdict].append(abs(adcc.value - value))
    own = [finding for finding in made if finding.keys[-1] == OWN and finding.verdict != IMPOSSIBLE]
    said = (
        f"{len(off[HOLDS])} equal to two decimals, {len(off[ROUNDING])} within rounding, {len(off[IMPOSSIBLE])} off by "
        f"{min(off[IMPOSSIBLE]):.3f} to {max(off[IMPOSSIBLE]):.3f}; {len(own)} of the {len(table.backbones)} "
        f"{OWN} lines fit: so ADCC is the harmonic mean of the means, not the mean of the images' ADCC"
    )
    return [Finding(TABLE1, "all lines: ADCC", f"{len(made)} numbers", said, REMARK), *made]


def _gains(table: Published) -> Iterator[Finding]:
    gains = {b: _value(table, b, OWN, "adcc") - _value(table, b, RIVAL, "adcc") for b in table.backbones}
    listed = ", ".join(f"{b} {gain:+.2f}" for b, gain in gains.items())
    own = [gains[b] for b in RESNETS]
    both = [gains[b] for b in (*RESNETS, *RESNEXTS)]
    yield Finding(
        TABLE1,
        "abstract: gains over ScoreCAM in ADCC",
        "1.78 to 3.72 % in the ResNet family",
        f"{listed}: ResNet alone {min(own):.2f} to {max(own):.2f}, with ResNeXt {min(both):.2f} to {max(both):.2f}; "
        "3.72 is neither's end, and these are points, not percent",
        WRONG,
    )
    yield Finding(
        TABLE1,
        "abstract: VGG-16",
        "1.39 % drop",
        f"{_value(table, 'VGG-16', OWN, 'adcc')} − {_value(table, 'VGG-16', RIVAL, 'adcc')} = {gains['VGG-16']:.2f} "
        "points",
        HOLDS if round(gains["VGG-16"], 2) == -1.39 else WRONG,
    )
    second = {b: _ranked(table, b, "adcc")[1] for b in RESNEXTS}
    yield Finding(
        TABLE1,
        "section 4.1: ScoreCAM as the method to beat",
        "gains over ScoreCAM",
        "; ".join(
            f"on {b} the second in ADCC is {m}, {_value(table, b, OWN, 'adcc') - _value(table, b, m, 'adcc'):.2f} "
            f"points behind, not ScoreCAM"
            for b, m in second.items()
        ),
        REMARK,
    )


def _ranks(table: Published) -> Iterator[Finding]:
    best = [b for b in table.backbones if _ranked(table, b, "adcc")[0] == OWN]
    others = [b for b in table.backbones if b != "VGG-16"]
    yield Finding(
        TABLE1,
        "sections 1 and 4.1: first in ADCC on all but VGG-16",
        "state of the art on five networks",
        f"first on {', '.join(best)}",
        HOLDS if best == others else WRONG,
    )
    for claim, column, missed in (
        ("first and second alternate on Ins", "insertion", WRONG),
        ("Del typically similar to Ins", "deletion", REMARK),
    ):
        kept = [b for b in table.backbones if set(_ranked(table, b, column)[:2]) == {OWN, RIVAL}]
        broken = [f"{b}: {' < '.join(reversed(_ranked(table, b, column)))}" for b in table.backbones if b not in kept]
        yield Finding(
            TABLE1,
            f"section 4.1: {claim}",
            "ReciproCAM and ScoreCAM are the first two",
            f"on {len(kept)} of {len(table.backbones)} networks; not on {'; '.join(broken)} (worst to best)",
            HOLDS if not broken else missed,
        )
    for column, claim in (("drop", "ScoreCAM best on five"), ("complexity", "ReciproCAM below ScoreCAM on five")):
        leads = [
            b
            for b in others
            if (
                _ranked(table, b, column)[0] == RIVAL
                if column == "drop"
                else _value(table, b, OWN, column) < _value(table, b, RIVAL, column)
            )
        ]
        yield Finding(
            TABLE1,
            f"section 4.1: {column}",
            claim,
            f"on {', '.join(leads)}",
            HOLDS if leads == others else WRONG,
        )
    ahead = [b for b in table.backbones if _value(table, b, RIVAL, "coherency") > _value(table, b, OWN, "coherency")]
    yield Finding(
        TABLE1,
        "section 4.1: coherency",
        "ScoreCAM generally outperforms",
        f"on {len(ahead)} of {len(table.backbones)} networks; ReciproCAM's place is "
        + ", ".join(f"{_ranked(table, b, 'coherency').index(OWN) + 1} on {b}" for b in table.backbones),
        HOLDS,
    )


def _shares(table: Published) -> Iterator[Finding]:
    worst = max(table.lines, key=lambda k: _cell(table, k, "drop").value + _cell(table, k, "increase").value)
    total = _cell(table, worst, "drop").value + _cell(table, worst, "increase").value
    yield Finding(
        TABLE1,
        "all lines: Drop + Inc",
        "at most 100",
        f"an image that rises drops by nothing, so that Drop ≤ 100 − Inc; the largest sum is {total:.2f} "
        f"({', '.join(worst)})",
        HOLDS if total <= 100 else WRONG,
    )
    yield Finding(
        TABLE1,
        "all lines: Inc",
        "two decimals",
        "of 50,000 images each share is a multiple of 0.002 %, so that every printed value is possible",
        HOLDS,
    )


def _duplicates(table: Published) -> Iterator[Finding]:
    counts = Counter(cell.text for cell in table.cells.values())
    values = [cell.value for cell in table.cells.values()]
    near = sum(1 for a, b in combinations(values, 2) if abs(a - b) < 0.505)
    pairs = sum(count * (count - 1) // 2 for count in counts.values())
    titles = {column.name: column.title for column in table.columns}
    for text in (text for text, count in counts.items() if count > 1):
        places = [(keys, column) for (keys, column), cell in table.cells.items() if cell.text == text]
        same = len({keys for keys, _ in places}) == 1
        note = "twice in one line, which a slip of the pen explains best" if same else "in two lines"
        yield Finding(
            TABLE1,
            " and ".join(where(keys, titles[column]) for keys, column in places),
            text,
            f"the same number {note}; of {len(values)} numbers {near} pairs lie within 0.50, of which chance makes "
            f"about {near / 101:.1f} equal, and {pairs} are",
            REMARK,
        )


def _cell(table: Published, keys: Keys, column: str) -> PrintedNumber:
    return table.cells[keys, column]


def _value(table: Published, backbone: str, method: str, column: str) -> float:
    return _cell(table, (backbone, method), column).value


def _ranked(table: Published, backbone: str, column: str) -> list[str]:
    """The methods on a network, best first."""
    (better,) = (c.better for c in table.columns if c.name == column)
    return sorted(table.methods, key=lambda m: _value(table, backbone, m, column) * (-1 if better == "higher" else 1))
