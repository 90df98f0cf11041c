"""Why methods miss evidence that is known: each reason is shown by an experiment in ``tests/test_known_answers.py``."""

from __future__ import annotations

ABSENT = {"lficam": "which explains with a network that must be trained first"}
REASONS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    # methods, the first of which is the example; the task that shows it; why
    (
        (
            *("gradcam", "gradcampp", "smoothgradcampp", "xgradcam", "shapleycam", "finercam", "abscam_init", "abscam"),
            *("groupcam", "ablationcam", "relevancecam"),
        ),
        "cells",
        "one weight a channel: its mean gradient, or what is lost without it. What speaks for the class in one half "
        "of the picture and against it in the other is shown alike. HiResCAM, LayerCAM and element-wise Grad-CAM "
        "weigh each cell.",
    ),
    (
        ("eigencam", "kpcacam", "fem"),
        "distractor",
        "they never ask which class. The component of largest variance, or what is rare in each channel, is the "
        "larger object, used or not.",
    ),
    (
        ("scorecam", "scorecam_gradcam", "scorecam_torchcam", "scorecam_torchcam21", "iscam"),
        "distractor",
        "a channel that no class uses has a weight: under its mask the picture keeps the probability that a blank "
        "one has, here 1/4 (of a thousand classes 1/1000), or, where the mask is wide, as that of a channel of "
        "brightness, most of the evidence's. Without the unused channels the map is right.",
    ),
    (
        ("sscam",),
        "distractor",
        "beside Score-CAM's reason: its noise of σ = 2 on masks in [0,1] leaves little of the mask, so that all "
        "channels weigh nearly the same.",
    ),
    (
        ("reciprocam", "reciprocam_gaussian", "occlusion"),
        "two_objects",
        "it asks for the softmax probability, which another class's evidence lowers below that of nothing: min-max "
        "then makes a grey of all that is not used. With `score=logit` ReciproCAM's map is right.",
    ),
    (
        ("relevancecam", "relevancecam_code"),
        "two_objects",
        "it contrasts the class with the others, whose evidence has negative relevance: min-max makes 0 a grey.",
    ),
    (
        ("deeplift", "lrp"),
        "cells",
        "what speaks against the class is below 0, as it should be: min-max of the signed map makes 0 a grey, which "
        "the mass counts. What is above 0 lies on the evidence alone.",
    ),
    (
        ("integrated_gradients", "fullgrad"),
        "cells",
        "magnitudes: what speaks against the class counts like what speaks for it, 1 against 0.5 in this task, a "
        "third of the map.",
    ),
    (
        ("eigengradcam",),
        "shares",
        "its first component is one channel here: of two pieces of evidence in different channels it shows the "
        "stronger one alone.",
    ),
    (
        ("smoothgrad",),
        "distractor",
        "a gradient does not say how much. The least noise makes a grey pixel a coloured one, whose gradient is as "
        "large as that of the evidence: so it is for any σ from 1e-5 on. Times the input (integrated gradients) it "
        "is right.",
    ),
    (
        ("smoothgradcampp_torchcam", "smoothgradcampp_metrics_evaluator", "smoothgradcampp_vendored"),
        "distractor",
        "they explain the noisy pictures, in whose grey the noise has colours; Omeiza et al.'s own form weighs the "
        "clean activations.",
    ),
    (
        ("deconvolution",),
        "distractor",
        "its backward pass does not heed which units were active: behind a pooled head, and without a max pool, all "
        "pixels have the same value, whatever the picture.",
    ),
    (
        ("rise",),
        "distractor",
        "a pixel's value is the mean probability over the masks that keep it, which is high everywhere where "
        "evidence is kept half of the time; min-max starts from the least of that noise.",
    ),
    (
        ("generative_perturbation",),
        "distractor",
        "inpainting beside the evidence spreads its colour and raises the probability: below 0, which min-max makes "
        "the black that all unused pixels are above.",
    ),
    (
        ("meaningful_perturbation",),
        "patch",
        "its mask is smooth and its area cheap: the total variation and λ of the paper let it spread around evidence"
        " of one cell. Without the one, or with ten times the other, twice as much of it lies there.",
    ),
    (
        ("extremal_perturbation",),
        "patch",
        "it keeps a given area, by default a tenth of the picture, of which the evidence is a fiftieth here; and "
        "where the evidence is larger (`distractor`), a blurred picture still has it all, so that nothing need be "
        "kept.",
    ),
    (
        ("groupcam_v0",),
        "background",
        "its percentile and its blur: of an even colour the blurred picture is the same, and no group is better.",
    ),
    (
        ("gradcam_metrics_evaluator", "gradcampp_metrics_evaluator", "groupcam_v0"),
        "two_objects",
        "only the rank correlation is lower: their raw maps are interpolated to the picture's size, so that cells "
        "around the evidence rank above others.",
    ),
    (
        ("groupcam",),
        "vgg16 distractor",
        "it counts how much better a group is than the blurred picture. A blur spreads the evidence's colour over "
        "more cells, and VGG's max pool asks only what is most in each: the blurred picture has the larger logit, "
        "and no group is better.",
    ),
    (
        ("hirescam", "layercam", "gradcam_elementwise", "eigengradcam", "guided_backprop", "deeplift", "lrp"),
        "vgg16 distractor",
        "only the rank correlation is lower: the gradient of a max pool reaches one of each four cells (or pixels), "
        "the one that it took.",
    ),
    (
        ("attention_rollout",),
        "vit_tiny distractor",
        "where attention is uniform, as in these transformers, what it multiplies is the same for all tokens: it "
        "says where tokens are read, not what is read of them.",
    ),
)
