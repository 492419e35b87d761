"""The explorer: a widget that shows side by side what the model writes at every alpha.

`explorer.py` holds what `ln.explore` returns, and `messages.py` what it exchanges with the widget (`widget.py`, and
`static/widget.js` in the browser). `engine.py` computes; `axes.py` holds the further lines of a `MultiLine` fixed;
`background.py` runs jobs beside the kernel; `diff.py` finds the words that differ; `kept.py` records what is kept;
`static_figure.py` draws the figure for non-interactive runs.
"""
