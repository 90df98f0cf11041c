"""The papers' figures, drawn from real small runs: what stands in them, not how their pixels look."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from quick import FULL, quick_run

from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.paths import CONF
from camsbench.data.loader import Picture
from camsbench.report import figures
from camsbench.report.figures import Gallery
from camsbench.report.figures.curves import Curves
from camsbench.report.figures.gallery import GalleryLine, Panel, figure_of
from camsbench.report.figures.printing import PAGE, print_size
from camsbench.report.figures.strips import Strips, _fold
from camsbench.report.saved_run import SavedRun
from camsbench.store.folder import RunFolder

JEEPS = "data.classes=[129,609]"  # spoonbill, predicted rightly; two jeeps, predicted as beach wagon and convertible
FIGURES = sorted(path.stem for path in (CONF / "experiment").glob("*_figure*.yaml"))


def run(path: Path, *overrides: str) -> Path:
    assert quick_run(path, "metric=[complexity]", *overrides).errors == 0
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same three images explained for the predicted and for the true class."""
    top = tmp_path_factory.mktemp("pair")
    chosen = [JEEPS, *FULL, "method=[gradcam,reciprocam]", "gallery=3"]
    return [run(top / target, f"target={target}", *chosen) for target in ("predicted", "label")]


@pytest.fixture(scope="module")
def runs(pair: list[Path]) -> list[SavedRun]:
    return [SavedRun.load(folder) for folder in pair]


def titles(figure: Figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes]


def pictures(figure: Figure) -> list[str]:
    """What each axis shows: an image, a map over its image, or neither."""
    found = [[image.get_label() for image in axis.get_images()] for axis in figure.axes]
    assert all(len(labels) < 2 for labels in found)
    return [str(labels[0]) if labels else "" for labels in found]


def above(figure: Figure) -> list[str]:
    """The titles of the columns."""
    return [text.get_text() for axis in figure.axes for text in axis.texts if text.get_text() != "no map"]


def test_a_gallery_pairs_the_predicted_with_the_true_class_of_what_is_mistaken(runs: list[SavedRun]) -> None:
    figure = Gallery()(runs)
    lines = [titles(figure)[i : i + 3] for i in range(0, 15, 3)]
    assert [line[0] for line in lines] == ["label: spoonbill", *["label: jeep"] * 4]
    classes = [line[1].rsplit(" ", 2)[0] for line in lines]
    assert classes == ["spoonbill", "beach wagon", "jeep", "convertible", "jeep"]
    for finished, place in zip(runs, (1, 2), strict=True):
        row = finished.good_rows["imagenet_06_609", "bn2", "gradcam"]
        assert lines[place][1].endswith(f" {100 * row['probability']:.2f} %")
    assert pictures(figure) == ["image", "map", "map"] * 5
    assert above(figure) == ["gradcam", "reciprocam"]


def test_a_gallery_shows_the_mistake_that_is_asked_for(runs: list[SavedRun]) -> None:
    def shown(mistakes: dict[int, int]) -> list[str]:
        return [title.rsplit(" ", 2)[0] for title in titles(Gallery(mistakes)(runs))[1::3]]

    assert shown({609: 511}) == ["spoonbill", "convertible", "jeep"]
    assert shown({609: 436}) == ["spoonbill", "beach wagon", "jeep"]
    assert shown({609: 3}) == ["spoonbill", "beach wagon", "jeep"]  # none is mistaken so: the first mistake
    assert shown({129: 144, 609: 609})[0] == "spoonbill"  # none is mistaken at all: the first image


@pytest.mark.slow
def test_two_classes_of_one_image_and_methods_from_several_runs(tmp_path: Path) -> None:
    one = ["data.classes=[541]", "gallery=1"]
    folders = [
        run(tmp_path / "drum", "target=541", "method=gradcam", *one),
        run(tmp_path / "stick", "target=542", "method=gradcam", *one),
        run(tmp_path / "more", "target=542", "method=reciprocam", *one),
    ]
    figure = Gallery()([SavedRun.load(folder) for folder in folders])
    assert [title.rsplit(" ", 2)[0] for title in titles(figure)] == ["label:", "drum", "", "label:", *["drumstick"] * 2]
    assert pictures(figure) == ["image", "map", "", "image", "map", "map"]
    figure = Gallery(beside=True)([SavedRun.load(folder, names={"gradcam": "Grad-CAM"}) for folder in folders])
    assert [title.rsplit(" ", 2)[0] for title in titles(figure)] == ["label:", "drum", "", *["drumstick"] * 2]
    assert pictures(figure) == ["image", "map", "", "map", "map"]
    assert above(figure) == ["Grad-CAM", "reciprocam"] * 2


def test_a_gallery_of_two_networks_names_them(tmp_path: Path) -> None:
    one = ["data.limit=1", "method=gradcam", "gallery=1"]
    folders = [
        run(tmp_path / "a", *one),
        run(tmp_path / "b", "model=resnet18", "model.weights=random", "target=243", *one),
    ]
    figure = Gallery()([SavedRun.load(folder) for folder in folders])
    assert [t.split("\n")[1] for t in titles(figure)[::2]] == ["tf_efficientnet_lite0", "resnet18"]


def test_strips_print_the_correlation_that_the_run_measured(tmp_path: Path) -> None:
    layers = [f"metric.sanity_{order}.layers=[blocks.6,conv_head]" for order in ("cascading", "independent")]
    folder = run(tmp_path / "run", "metric=[sanity]", "method=reciprocam", "data.limit=2", *layers)
    figure = Strips()([SavedRun.load(folder)])
    curves = RunFolder(folder).curves().set_index(["curve", "image_id"])["y"]
    first = RunFolder(folder).rows()["image_id"][0]
    assert titles(figure) == ["trained", "conv_head", "blocks.6"] * 2
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == ["reciprocam\ncascading", "reciprocam\nindependent"]
    for start, order in ((0, "cascading"), (3, "independent")):
        below = [axis.get_xlabel() for axis in figure.axes[start + 1 : start + 3]]
        said = [math.nan if text == "not defined" else float(text) for text in below]
        measured = list(curves[f"sanity_{order}_spearman_curve", first])
        assert said == pytest.approx(measured, abs=0.0051, nan_ok=True)
    assert pictures(figure) == ["map"] * 6


def test_curves_stand_beside_their_map(tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run", "metric=[deletion,insertion]", "method=[gradcam,reciprocam]", "data.limit=1", "gallery=1",
        "target=label", "metric.deletion.steps=8", "metric.insertion.steps=8",
    )  # fmt: skip
    figure = Curves()([SavedRun.load(folder)])
    areas = RunFolder(folder).rows().set_index("method")[["deletion", "insertion"]].stack()
    assert pictures(figure) == ["map", "", ""] * 2
    for i, method in enumerate(("gradcam", "reciprocam")):
        image, deletion, insertion = figure.axes[3 * i : 3 * i + 3]
        assert image.get_title().startswith("bull mastiff ")
        assert image.get_ylabel() == f"{method}\nbull mastiff"
        for axis, name in ((deletion, "deletion"), (insertion, "insertion")):
            assert axis.get_title() == f"{name}, area {areas[method, name]:.4f}"
            y = np.asarray(axis.get_lines()[0].get_ydata(), dtype=float)
            assert len(y) == 9
            assert y.sum() / 8 - (y[0] + y[-1]) / 16 == pytest.approx(areas[method, name], abs=1e-6)


def test_curves_that_a_run_did_not_measure_are_refused(runs: list[SavedRun]) -> None:
    with pytest.raises(CamsbenchError, match=r"no deletion_curve of image imagenet_14_129 .* metric=\[deletion"):
        Curves()(runs)


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        ({"kind": "pie"}, r"figure\.kind=pie: choose gallery, curves, strips"),
        ({}, r"figure\.kind=None: choose"),
        ({"kind": "gallery", "colour": 1}, r"figure \(gallery\): .*colour"),
        ({"kind": "curves", "images": 0}, r"figure \(curves\): images is 0"),
        ({"kind": "strips", "similarity": "cosine"}, r"figure \(strips\): similarity is 'cosine'"),
    ],
)
def test_refusals(figure: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match=sentence):
        figures.draw(figure, tmp_path / "figure.png", [])


def test_a_folder_without_a_run_or_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match="holds no run"):
        figures.draw({"kind": "gallery"}, tmp_path / "figure.png", [tmp_path])
    folder = run(tmp_path / "run", "data.limit=1")
    with pytest.raises(CamsbenchError, match="kept a map; run them with gallery=N"):
        figures.draw({"kind": "gallery"}, tmp_path / "figure.png", [folder])
    with pytest.raises(CamsbenchError, match=r"no sanity check; run them with metric=\[sanity\]"):
        figures.draw({"kind": "strips"}, tmp_path / "figure.png", [folder])


def test_a_figure_is_a_file(pair: list[Path], tmp_path: Path) -> None:
    path = figures.draw({"kind": "gallery", "mistakes": {609: 436}}, tmp_path / "new" / "figure.png", pair)
    with Image.open(path) as image:
        width, height = image.size
    assert 900 < width < 1000  # three columns of 1.6 inches at 200 dots an inch
    assert 1000 < height < 1300  # three lines


def test_a_figure_is_a_document_whose_text_is_text(pair: list[Path], tmp_path: Path) -> None:
    made = [
        figures.draw({"kind": "gallery", "names": {"gradcam": "Grad-CAM"}}, tmp_path / f"{i}.png", pair) for i in "ab"
    ]
    one, two = (path.with_suffix(".pdf").read_bytes() for path in made)
    assert one.startswith(b"%PDF-")
    assert one == two
    assert made[0].read_bytes() == made[1].read_bytes()
    assert b"/CreationDate" not in one
    assert b"/FontFile2" in one  # TrueType, embedded
    assert b"/Type3" not in one
    assert one.count(b"/Subtype /Image") == 15  # five lines of an image and two maps, each one opaque picture
    assert b"/SMask" not in one
    assert len(one) < 15 * 120_000  # 224x224 pixels each: not blown up


def test_a_page_s_figure_is_no_wider_than_a_page() -> None:
    for titles_ in (2, 6, 12):
        lines = [
            GalleryLine(Picture(torch.zeros(3, 8, 8, dtype=torch.uint8), []), "x", [Panel(np.zeros((8, 8)))] * titles_)
        ]
        figure = figure_of(["m"] * titles_, lines, print_size(titles_ + 1))
        assert figure.get_size_inches()[0] <= PAGE + 1e-9


def test_a_caption_is_broken_where_it_does_not_fit_and_a_number_keeps_its_sign() -> None:
    size = print_size(7)
    assert size.wrapped("zebra 3.10 %", size.caption) == "zebra 3.10 %"
    assert size.wrapped("bull mastiff 69.44 %", size.caption) == "bull mastiff\n69.44 %"
    assert size.wrapped("label: jeep\nresnet18", size.caption) == "label: jeep\nresnet18"
    said = size.wrapped("American Staffordshire terrier 100.00 %", size.caption).split("\n")
    assert said == ["American", "Staffordshire", "terrier 100.00 %"]


def test_a_long_strip_is_folded() -> None:
    picture = Picture(None, [])
    lines = _fold(picture, "a", [(str(i), Panel(None)) for i in range(17)])
    assert [(name, len(panels)) for _, name, panels in lines] == [("a", 9), ("", 8)]


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_of_the_papers_has_cells_and_a_kind(name: str) -> None:
    cfg = compose_config([f"experiment={name}"])
    figures.kind_of(cfg.figure)
    for kind in ("full", "smoke"):
        assert len(cfg.cells[kind]) == (
            2 if name in {"abscam_figure4", "reciprocam_figure1", "reciprocam_figure5"} else 1
        ) + (name == "abscam_figure3" and kind == "full")  # two networks
    shown = [one for cell in cfg.cells.full for one in cell if one.startswith("method=")]
    methods = {name for one in shown for name in one.removeprefix("method=").strip("[]").split(",")}
    assert methods <= set(cfg.figure.names), "a column without the paper's name"


def test_all_figures_are_there() -> None:
    assert [*(f"abscam_figure{i}" for i in range(2, 8)), *(f"reciprocam_figure{i}" for i in (1, 3, 4, 5))] == FIGURES
