"""Scripts that rebuild the shipped model: labelled audio, labels, training, export.

Run them as modules from the repository's root, for example ``python -m recipes.render_midi``.
"""
