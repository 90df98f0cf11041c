"""ReciproCAM by openvino-xai, in the environment that it needs (OpenVINO 2024.4), at another process's command.

python ovx_worker.py MODEL.onnx IMAGES.npy CLASSES.json MAPS.npy [NODE]

Answers each line ``bare N`` or ``explain N`` (the number of images) or the same with `` fp32`` on standard input with
a line of seconds; ``explain`` leaves its maps [N,h,w] of CLASSES in MAPS.npy. It explains one image a call: the
branch that it adds to the network is of batch 1.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import openvino as ov
from openvino_xai.methods.white_box.recipro_cam import ReciproCAM


def main() -> None:
    """Serve until standard input ends."""
    source, images, classes, target, *node = sys.argv[1:]
    x = np.load(images)
    wanted = json.loads(classes)
    methods: dict[str, Any] = {}
    bare: dict[str, Any] = {}
    core = ov.Core()
    for name, options in (("", {}), ("fp32", {"INFERENCE_PRECISION_HINT": "f32"})):
        model = core.read_model(source)
        model.reshape([1, *x.shape[1:]])
        bare[name] = core.compile_model(model, "CPU", options)
        method = ReciproCAM(model.clone(), target_layer=node[0] if node else None, prepare_model=False)
        method._model_compiled = core.compile_model(method.prepare_model(load_model=False), "CPU", options)
        methods[name] = method
    precision = bare[""].get_property("INFERENCE_PRECISION_HINT")
    print(
        f"ready {ov.__version__.split('-')[0]} {getattr(precision, 'get_type_name', lambda: precision)()}", flush=True
    )
    for line in sys.stdin:
        kind, n, *how = line.split()
        chosen = how[0] if how else ""
        start = time.perf_counter()
        if kind == "bare":
            for i in range(int(n)):
                bare[chosen](x[i : i + 1])
            seconds = time.perf_counter() - start
        else:
            maps = [methods[chosen].generate_saliency_map(x[i : i + 1]) for i in range(int(n))]
            seconds = time.perf_counter() - start
            np.save(target, np.stack([np.asarray(m).reshape(-1, *m.shape[-2:])[wanted[i]] for i, m in enumerate(maps)]))
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
