"""Measures of an explanation, one file each: explained image -> columns of its row; ``conf/metric/*.yaml`` names them.

None averages. What several of them share lies in files that begin with an underscore.
"""
