"""A worked example outside ImageNet: pictures whose evidence has a known place, and small networks trained on them."""
