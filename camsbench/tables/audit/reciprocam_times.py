"""Checks of ReciproCAM (Byun and Lee 2024), Table 2: FPS and ratios from times, and what the text claims."""

from __future__ import annotations

from collections.abc import Iterator

from camsbench.tables.audit.finding import HOLDS, REMARK, Finding, check, quotient, where
from camsbench.tables.published import Published, load

OWN, RIVAL = "ReciproCAM", "ScoreCAM"
NAME = "reciprocam_table2"


def findings() -> list[Finding]:
    """All checks of Table 2."""
    table = load(NAME)
    return [*_times(table), *_factors(table)]


def _times(table: Published) -> Iterator[Finding]:
    own = table.cells[(OWN,), "time_ms"]
    for keys in table.lines:
        time, fps, factor = table.cells[keys, "time_ms"], table.cells[keys, "fps"], table.cell(keys, "ratio")
        value, low, high = (1000 / (time.value + shift * time.half) for shift in (0, 1, -1))
        said = (
            f"1000/{time.text} = {value:.2f}, {low:.2f} to {high:.2f} by rounding; {fps.text} FPS would be "
            f"{1000 / fps.value:.2f} ms, {1000 / fps.value / own.value:.2f}× {OWN}'s"
        )
        yield Finding(NAME, where(keys, "FPS"), fps.text, said, check(fps, value, low, high), keys, "fps")
        if factor is not None:
            value, low, high = quotient(time, own)
            said = f"{time.text}/{own.text} = {value:.3f}, {low:.3f} to {high:.3f} by rounding"
            verdict = check(factor, value, low, high)
            yield Finding(NAME, where(keys, "Ratio"), f"{factor.text}×", said, verdict, keys, "ratio")


def _factors(table: Published) -> Iterator[Finding]:
    own, grad, plus, smooth, score = (
        table.cells[(name,), "time_ms"] for name in (OWN, "GradCAM", "GradCAM++", "SGradCAM++", RIVAL)
    )
    yield Finding(
        NAME,
        "abstract and section 1: faster than ScoreCAM",
        "148×",
        f"{score.text}/{own.text} = {score.value / own.value:.2f}: on ResNet-50, the one network timed",
        HOLDS,
    )
    value, low, high = quotient(score, grad)
    yield Finding(
        NAME,
        "section 1: ScoreCAM against CAM or GradCAM",
        "127×",
        f"{score.text}/{grad.text} = {value:.2f} ({low:.1f} to {high:.1f} by rounding) for GradCAM; CAM is not timed",
        HOLDS,
    )
    yield Finding(
        NAME,
        "ScoreCAM: passes",
        f"{score.text} ms",
        f"2048 channels: {2048 / score.value * 1000:.0f} passes a second of 8.2 GFLOP, "
        f"{2048 / score.value * 8.2:.1f} TFLOP/s of the RTX 3090's 35.6: credible",
        HOLDS,
    )
    yield Finding(
        NAME,
        "SGradCAM++: samples",
        f"{smooth.text} ms",
        f"{smooth.text}/{plus.text} = {smooth.value / plus.value:.2f} times GradCAM++: about 4 noisy copies and the "
        "base pass, torchcam's default",
        REMARK,
    )
