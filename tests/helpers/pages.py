"""What tests of the report page share: facts of a run, cells and outputs made by hand, and hostile text."""

import nbformat
from nbformat.v4 import new_code_cell, new_output

PLOTLY = "application/vnd.plotly.v1+json"
FACTS = {
    "name": "demo",
    "status": "done",
    "notebook": {"name": "02_interpolate.ipynb", "sha256": "ab" * 32},
    "parameters": {"minus": "data/adapters/negative", "alphas": [0.0, 1.0], "base": None},
    "started": "2026-11-22T21:00:00+00:00",
    "finished": "2026-11-22T21:08:12+00:00",
    "seconds": 492.0,
    "peak_memory_bytes": 2 * 2**30,
    "platform": "Linux x86_64, 2 cores",
    "device": "cpu",
    "seeds": {"sampling": 7},
    "hashes": {"minus": "cd" * 32},
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
}
HOSTILE = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 2</script>",
    "<img src=x onerror='window.hacked = 3'>",
    "<img src='https://example.com/pixel.png'>",
    "<a href='javascript:window.hacked = 4'>press</a>",
    "<a href=' java\nscript:window.hacked = 4'>press</a>",
    "<iframe srcdoc='<script>parent.hacked = 5</script>'></iframe>",
    "<svg onload='window.hacked = 6'><script>window.hacked = 7</script></svg>",
    "<form action='https://example.com'><button formaction='javascript:alert(1)'>x</button></form>",
    "<meta http-equiv='refresh' content='0; url=https://example.com'>",
    "<base href='https://example.com'><link rel='stylesheet' href='https://example.com/x.css'>",
    "<noscript><p title=\"</noscript><img src=x onerror='window.hacked = 8'>\"></noscript>",
    "<div style='background: url(https://example.com/pixel.png)'>styled</div>",
    "<META HTTP-EQUIV=refresh CONTENT='0;url=data:text/html,<script>top.hacked=9</script>'>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=hacked=10&gt;'></math>",
    "<svg></p><style><a id='</style><img src=1 onerror=window.hacked=11>'></svg>",
    "<scr<script>ipt>window.hacked = 12</scr</script>ipt>",
    "<style>body{background:u\\72l(https://example.com/pixel.png)}</style>",
    "$\\alpha$ costs $5 and %{x} \u202e right to left",
    "w" * 10_000,
]


def cell(*outputs: dict, source: str = "x") -> nbformat.NotebookNode:
    return new_code_cell(source, outputs=[nbformat.from_dict(output) for output in outputs], execution_count=1)


def shown(**data: str) -> dict:
    """An output of display_data: html=..., plain=..., figure=..."""
    kinds = {"html": "text/html", "plain": "text/plain", "markdown": "text/markdown", "figure": PLOTLY}
    kinds |= {"png": "image/png", "svg": "image/svg+xml", "widget": "application/vnd.jupyter.widget-view+json"}
    kinds |= {"javascript": "application/javascript"}
    return new_output("display_data", {kinds[name]: value for name, value in data.items()})
