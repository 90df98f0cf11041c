"""Explanation methods, one file each; ``conf/method/*.yaml`` names them."""
