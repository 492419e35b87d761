"""The explorer: all alphas of a line write at once, in a live notebook.

panel.py is what `ln.explore` returns and talks with view.js, the face in the browser; engine.py computes; turns.py
keeps the kernel free meanwhile; marks.py finds the words that differ; twin.py is the figure for where nobody is there.
"""
