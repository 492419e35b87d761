"""deltas.py: norms and cosines in closed form, names of many architectures, and the maps."""

import numpy as np
import pandas as pd
import pytest

from lerpnb.plots.deltas import plot_deltas
from lerpnb.results.deltas import WeightDeltas


@pytest.fixture(scope="module")
def frame(tiny):
    """A Llama whose q of layer 1 moved by +0.3 and -0.3 of itself, whose MLP of layer 0 moved one way in both."""
    import torch

    from lerpnb.paths.deltas import weight_deltas
    from lerpnb.paths.line import Line

    base = tiny.llama()
    ends = [tiny.moved(base, 0, 0.0) for _ in range(2)]
    with torch.no_grad():
        for end, by in zip(ends, (0.3, -0.3), strict=True):
            end.model.layers[1].self_attn.q_proj.weight.mul_(1 + by)
        for end, by in zip(ends, (0.1, 0.2), strict=True):
            for part in ("gate_proj", "up_proj", "down_proj"):
                getattr(end.model.layers[0].mlp, part).weight.mul_(1 + by)
    return weight_deltas(Line(*ends, base, device="cpu")).frame.set_index(["layer", "kind"])


def test_norms_and_cosines_in_closed_form(frame):
    q, mlp = frame.loc[("1", "attention q")], frame.loc[("0", "MLP")]
    assert (q["minus"], q["plus"], q["cosine"]) == pytest.approx((0.3, 0.3, -1), abs=1e-6)
    assert (mlp["minus"], mlp["plus"], mlp["cosine"]) == pytest.approx((0.1, 0.2, 1), abs=1e-5)
    assert (q["relative"], mlp["relative"]) == pytest.approx((0.6 / 1.3, 0.1 / 1.1), abs=1e-5)
    still = frame.drop([("1", "attention q"), ("0", "MLP")])
    assert (still[["distance", "relative", "minus", "plus"]] == 0).all(axis=None) and still["cosine"].isna().all()


def test_every_parameter_is_counted_once(frame, tiny):
    assert frame["parameters"].sum() == sum(p.numel() for p in tiny.llama().parameters())
    assert frame.index.get_level_values("layer").unique().tolist() == ["in", "0", "1", "out"]
    kinds = ["attention q", "attention k", "attention v", "attention out", "MLP", "norms"]
    assert frame.loc["0"].index.tolist() == kinds and frame.loc["0", "tensors"].tolist() == [1, 1, 1, 1, 3, 2]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.11.self_attn.k_proj.bias", ("11", "attention k")),
        ("model.layers.0.self_attn.q_norm.weight", ("0", "norms")),
        ("model.layers.0.post_attention_layernorm.weight", ("0", "norms")),
        ("model.layers.0.self_attn.qkv_proj.weight", ("0", "attention qkv")),
        ("transformer.h.3.attn.c_attn.weight", ("3", "attention qkv")),
        ("transformer.h.3.mlp.c_proj.weight", ("3", "MLP")),
        ("transformer.h.3.ln_1.bias", ("3", "norms")),
        ("transformer.wpe.weight", ("in", "embeddings")),
        ("transformer.ln_f.weight", ("out", "norms")),
        ("gpt_neox.layers.2.attention.query_key_value.weight", ("2", "attention qkv")),
        ("gpt_neox.layers.2.attention.dense.weight", ("2", "attention out")),
        ("model.decoder.layers.1.fc1.weight", ("1", "MLP")),
        ("model.layers.4.block_sparse_moe.experts.1.w1.weight", ("4", "MLP")),
        ("something.odd", ("out", "other")),
    ],
)
def test_names_of_many_architectures_find_their_place(name, place):
    from lerpnb.utils.tensor_names import place_of

    assert place_of(name) == place


def made(**columns: list[float]) -> WeightDeltas:
    rows = pd.DataFrame(
        {"layer": ["in", "0", "1"], "kind": ["embeddings", "MLP", "MLP"], "tensors": 1, "parameters": 9}
    )
    return WeightDeltas(rows.assign(**columns))


def test_the_maps_show_each_place_and_blank_where_there_is_none():
    fig = plot_deltas(made(minus=[0, 0.01, 0.02], plus=[0, 0.03, 0.04], cosine=[np.nan, 0.5, -0.5]))
    minus, plus, cosine = fig.data
    assert minus.y == ("MLP", "embeddings") and [list(row) for row in minus.z] == [[None, 0.01, 0.02], [0, None, None]]
    assert [list(row) for row in cosine.z] == [[None, 0.5, -0.5], [None] * 3]
    assert (minus.coloraxis, plus.coloraxis, cosine.coloraxis) == ("coloraxis", "coloraxis", "coloraxis2")
    assert (fig.layout.coloraxis.cmin, fig.layout.coloraxis.cmax) == (0, 0.04)
    assert (fig.layout.coloraxis2.cmin, fig.layout.coloraxis2.cmax) == (-1, 1)
    assert minus.hovertext[0][2] == "MLP, layer 1:<br>minus moved by 2.000% of the weights' norm"
    assert cosine.hovertext[0][2] == "MLP, layer 1:<br>cosine −0.5"
    assert cosine.hovertext[1][0] == "embeddings, before the first layer:<br>unchanged"
    assert fig.layout.xaxis.ticktext == ("in", "0", "1")
    assert fig.layout.meta["alt"] == (
        "Deltas over 3 layers and 2 kinds of tensor: minus is largest, 0.02, in MLP of layer 1; plus is largest, 0.04, "
        "in MLP of layer 1; cosine is largest, 0.5, in MLP of layer 0."
    )


def test_without_a_base_there_is_one_map():
    shown = made(relative=[0, 0.1, 0.2])
    fig = plot_deltas(shown)
    assert (
        len(fig.data) == 1 and fig.layout.annotations[0].text == "how far apart the ends are: |plus − minus| / |minus|"
    )
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json", "text/plain"} and "embeddings" in bundle["text/plain"]


def test_many_layers_have_round_ticks():
    rows = pd.DataFrame({"layer": [str(i) for i in range(48)], "kind": "MLP", "relative": 0.1})
    assert plot_deltas(WeightDeltas(rows)).layout.xaxis.ticktext == tuple(str(i) for i in range(0, 48, 5))
