"""Explanation methods, one file each: ``(split, forward) -> raw map``; ``conf/method/*.yaml`` names them.

What several of them share lies in files that begin with an underscore.
"""
