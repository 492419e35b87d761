"""The explorer: all alphas of a line write at once, in a live notebook.

panel.py is what `ln.explore` returns; it talks with view.js, the face in the browser, which face.py puts there.
engine.py computes; others.py fixes the other lines of a product; turns.py keeps the kernel free meanwhile; marks.py
finds the words that differ; twin.py draws the figure for where nobody is at the kernel.
"""
