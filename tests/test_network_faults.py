"""Networks and weights that would give a number, and a wrong one: the command refuses each in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from quick import QUICK, command
from torchvision.models import get_model

pytestmark = pytest.mark.faults

TIMM, TORCHVISION = ["model=timm", "model.weights=random"], ["model=torchvision", "model.weights=random"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of one's own: ``NAME.pth``, and with averaged ones beside them."""
    folder = tmp_path_factory.mktemp("files")
    networks: dict[str, dict[str, Any]] = {
        "resnet50": {},
        "googlenet": {"init_weights": False},
        "inception_v3": {"init_weights": False},
        "squeezenet1_1": {"num_classes": 10},
    }
    for name, options in networks.items():
        torch.save(get_model(name, weights=None, **options).state_dict(), folder / f"{name}.pth")
    state = get_model("resnet18", weights=None).state_dict()
    torch.save({"state_dict": state, "state_dict_ema": state}, folder / "averaged.pth")
    return folder


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["model=torchvision", "model.name=resnet50", "model.weights=FILES/resnet50.pth"], "say with model.published="),
        (["model=torchvision", "model.name=googlenet", "model.weights=FILES/googlenet.pth"], "transform_input=True"),
        (
            ["model=torchvision", "model.name=inception_v3", "model.weights=FILES/inception_v3.pth"],
            "transform_input=True",
        ),
        (["model=timm", "model.name=resnet50", "model.weights=FILES/resnet50.pth"], "say with model.published="),
        (["model=timm", "model.name=fbnetc_100", "model.weights=FILES/resnet50.pth"], "++model.options.bn_eps="),
        (["model=resnet50", "model.weights=IMAGENET1K_V2"], "use model=torchvision model.name=resnet50"),
        (["model=resnet50", "model.published=V9"], "model.published=V9: resnet50 has IMAGENET1K_V1"),
        (["model=efficientnet_lite0", "model.weights=pretrained"], "use model=timm model.name=tf_efficientnet_lite0"),
        (["model=resnet18", "model.weights=FILES/averaged.pth"], "model.ema=true or model.ema=false"),
        (["model=resnet18", "model.weights=FILES/averaged.pth", "model.ema=maybe"], "give true, false, or null"),
        (
            [
                *("model=torchvision", "model.name=squeezenet1_1", "model.weights=FILES/squeezenet1_1.pth"),
                "++model.options.num_classes=10",
            ],
            "has 10 outputs, and the images' labels are ImageNet-1k's 1,000 classes",
        ),
        ([*TIMM, "model.name=mobilenetv3_large_100.miil_in21k"], "ImageNet-1k's 1,000 classes"),
        ([*TIMM, "model.name=resnet18", "++model.options.num_classes=1"], "whose softmax is 1"),
        ([*TIMM, "model.name=resnet18", "++model.options.num_classes=0"], "has no classifier"),
        (["model=timm", "model.name=convnext_tiny.dinov3_lvd1689m"], "has no classifier"),  # without a download
        ([*TIMM, "model.name=resnet18", "++model.options.in_chans=1"], "takes images of 1 channel"),
        ([*TIMM, "model.name=resnet18", "++model.options.colour=red"], "cannot be built with"),
        (["model=torchvision", "model.name=vgg16", "model.weights=IMAGENET1K_FEATURES"], "without a classifier"),
        ([*TIMM, "model.name=deepseek_vit_412m.deepseek_v4_1_flash"], "crop_mode=border"),
        ([*TIMM, "model.name=vit_base_patch16_sapiens2.fb"], "only square colour images"),
        ([*TORCHVISION, "model.name=fcn_resnet50"], "one of torchvision's segmentation networks"),
        ([*TORCHVISION, "model.name=r3d_18"], "one of torchvision's video networks"),
        ([*TORCHVISION, "model.name=ssdlite320_mobilenet_v3_large"], "one of torchvision's detection networks"),
        ([*TORCHVISION, "model.name=raft_small"], "one of torchvision's optical-flow networks"),
        ([*TORCHVISION, "model.name=quantized_resnet18"], "one of torchvision's quantized networks"),
        ([*TIMM, "model.name=crossvit_9_240", *("protocol.resize=null", "protocol.crop=null")], "no grid of tokens"),
        ([*TIMM, "model.name=resmlp_12_224"], "cannot pass images [2, 3, 96, 96]"),
        ([*TIMM, "model.name=4"], "timm has no such network"),
        (["model=resnet18", "model.weights=random", "model.layer=4"], "has no layer '4'"),
        (["model=resnet18", "model.weights=random", "model.layer=[4,layer4]"], "has no layer '4'"),
    ],
)
def test_what_would_be_measured_wrongly_is_refused(
    options: list[str], sentence: str, files: Path, tmp_path: Path
) -> None:
    given = [option.replace("FILES", str(files)) for option in options]
    done = command(*QUICK, "data=samples", "output=run", *given, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.startswith("camsbench: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "rows").exists()


def test_a_file_of_one_s_own_runs_once_it_says_what_it_follows(files: Path, tmp_path: Path) -> None:
    done = command(
        *QUICK,
        *(
            "data.limit=1",
            "method=[gradcam]",
            "metric=[drop]",
            "output=run",
            "model=torchvision",
            "model.name=resnet50",
        ),
        *(f"model.weights={files / 'resnet50.pth'}", "model.published=IMAGENET1K_V2"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
