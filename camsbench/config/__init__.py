"""From what was typed to a run: composed, misspellings answered, trusted or refused, options checked, objects built.

Nothing is imported here: ``--help`` must not wait for PyTorch.
"""
