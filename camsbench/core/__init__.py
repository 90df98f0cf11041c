"""The nouns (split, forward pass, explainer, metric, saliency rule), and the one loop that scores perturbed copies.

Every method and metric is arithmetic on top of ``scoring``; memory and speed are solved there, once.
"""
