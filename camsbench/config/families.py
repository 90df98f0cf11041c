"""Families of networks that work on tokens or channels last: where each is cut without ``model.layer``, and why."""

from __future__ import annotations

CLASS_TOKEN = "class token: the norm of the last block, behind which patches reach it by attention alone"
CLASS_ATTENTION = "class token: the last grid before attention that asks for it alone"
POOLED = "pooled: the last grid, behind the final norm"
POOLED_THEN_NORM = "pooled, then normed: the output of the last block"

FAMILIES: tuple[tuple[str, str, str, str], ...] = (
    # family, its smallest network (timm's name, or torchvision's with its source), layer, why
    ("ViT", "vit_tiny_patch16_224", "blocks.11.norm1", CLASS_TOKEN),
    ("ViT of torchvision", "torchvision/vit_b_16", "encoder.layers.encoder_layer_11.ln_1", CLASS_TOKEN),
    ("DeiT, distilled", "deit_tiny_distilled_patch16_224", "blocks.11.norm1", CLASS_TOKEN),
    ("DeiT III", "deit3_small_patch16_224", "blocks.11.norm1", CLASS_TOKEN),
    ("DINOv2", "vit_small_patch14_dinov2", "blocks.11.norm1", CLASS_TOKEN),
    ("DINOv3", "vit_small_patch16_dinov3", "norm", POOLED),
    ("CLIP tower", "vit_base_patch32_clip_224", "blocks.11.norm1", CLASS_TOKEN),
    (
        "SigLIP tower",
        "vit_base_patch16_siglip_224",
        "norm",
        "pooled by attention: the last grid, behind the final norm",
    ),
    ("ViT, registers", "vit_wee_patch16_reg1_gap_256", "blocks.13", POOLED_THEN_NORM),
    ("ViT, hybrid", "vit_tiny_r_s16_p8_224", "blocks.11.norm1", CLASS_TOKEN),
    ("ViT, relative positions", "vit_relpos_small_patch16_224", "blocks.11", POOLED_THEN_NORM),
    ("BEiT", "beit_base_patch16_224", "blocks.11", POOLED_THEN_NORM),
    ("EVA-02", "eva02_tiny_patch14_224", "blocks.11", POOLED_THEN_NORM),
    ("CaiT", "cait_xxs24_224", "blocks.23", CLASS_ATTENTION),
    ("XCiT", "xcit_nano_12_p16_224", "cls_attn_blocks.1.norm1", CLASS_TOKEN),
    ("VOLO", "volo_d1_224", "post_network.0", CLASS_ATTENTION),
    ("ConViT", "convit_tiny", "blocks.11.norm1", CLASS_TOKEN),
    ("TNT", "tnt_s_patch16_224", "blocks.11.norm_out", CLASS_TOKEN),
    ("PiT", "pit_ti_224", "transformers.2.blocks.3.norm1", CLASS_TOKEN),
    ("CoaT-Lite", "coat_lite_tiny", "serial_blocks4.1.norm1", CLASS_TOKEN),
    ("CoaT", "coat_tiny", "serial_blocks2.1", "parallel branches: the last grid before they part"),
    ("LeViT", "levit_128s", "stages.2", "pooled: the output of the last block"),
    ("Swin", "swin_tiny_patch4_window7_224", "norm", POOLED),
    ("Swin of torchvision", "torchvision/swin_t", "permute_1", POOLED),
    ("Swin V2", "swinv2_tiny_window8_256", "norm", POOLED),
    ("Twins", "twins_svt_small", "norm", POOLED),
    ("MViTv2", "mvitv2_tiny", "norm", POOLED),
    ("Hiera", "hiera_tiny_224", "blocks.11", POOLED_THEN_NORM),
    ("MaxViT", "maxvit_tiny_tf_224", "norm", POOLED),
    ("CoAtNet", "coatnet_pico_rw_224", "permute_36", POOLED),
    ("PVT v2", "pvt_v2_b0", "contiguous_3", POOLED),
    ("NesT", "nest_tiny", "permute_35", POOLED),
    ("EfficientFormer", "efficientformer_l1", "norm", POOLED),
    ("MobileViT", "mobilevit_xxs", "final_conv.bn", "pooled: the last convolution"),
    ("ConvNeXt", "convnext_atto", "norm_pre", POOLED_THEN_NORM),
    ("MLP-Mixer", "mixer_s32_224", "norm", POOLED),
    ("ResMLP", "resmlp_12_224", "norm", POOLED),
    ("gMLP", "gmlp_ti16_224", "norm", POOLED),
    ("Sequencer", "sequencer2d_s", "norm", POOLED),
    ("MambaOut", "mambaout_femto", "stages.3", POOLED_THEN_NORM),
)
NONE = (("CrossViT", "crossvit_9_240", "two branches of patches to the end: no one grid holds all of the image"),)
