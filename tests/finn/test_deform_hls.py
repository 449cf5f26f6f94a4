# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The C++ of the deformable layer for FINN, on FINN's packed streams, against the integer semantics."""

from __future__ import annotations

import shutil
import subprocess
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from bitwright.compile.backends.finn.finn_types import finn_types, weight_type
from bitwright.compile.backends.finn.lower import lower
from bitwright.compile.backends.finn.network import network
from bitwright.compile.ir import Graph, IntType
from bitwright.compile.ir.ops import DeformConv2d
from bitwright.compile.ir.types import IntArray
from bitwright.host.packing_finn import FinnWord
from bitwright.hw.hls import FOLDER as HLS
from bitwright.hw.hls.finn import FOLDER
from bitwright.hw.hls.finn.bitwright_deform import Deform, compute, parameters
from tests.finn.nets import NETS, Net

pytestmark = pytest.mark.hls

#: Words go through files as FINN's DMA buffers; what is left in a stream afterwards is an error.
MAIN = r"""
#include <cstdio>
#include <cstdlib>
#include <vector>
#include "bitwright_finn_deform.h"
#include "params.h"

template <int WIDTH> void read(const char *path, hls::stream<ap_uint<WIDTH>> &s) {
    const int bytes = (WIDTH + 7) / 8;
    std::vector<unsigned char> raw(bytes);
    FILE *f = std::fopen(path, "rb");
    while (std::fread(raw.data(), 1, bytes, f) == size_t(bytes)) {
        ap_uint<WIDTH> word = 0;
        for (int k = 0; k < WIDTH; k++)
            word[k] = (raw[k / 8] >> (k % 8)) & 1;
        s.write(word);
    }
    std::fclose(f);
}

int main() {
    typedef config_deform c;
    hls::stream<ap_uint<c::in_channels * c::in_bits>> in0;
    hls::stream<ap_uint<c::offset_channels * c::offset_bits>> in1;
    const int width = c::out_channels * c::out_bits;
    hls::stream<ap_uint<width>> out;
    read("x.bin", in0);
    read("offsets.bin", in1);
    for (int frame = 0; frame < FRAMES; frame++)
        bitwright::finn_deform<c>(in0, in1, out, weight_deform);
    if (!in0.empty() || !in1.empty())
        return 2;
    FILE *f = std::fopen("y.bin", "wb");
    while (!out.empty()) {
        ap_uint<width> word = out.read();
        std::vector<unsigned char> raw((width + 7) / 8);
        for (int k = 0; k < width; k++)
            raw[k / 8] |= int(word[k]) << (k % 8);
        std::fwrite(raw.data(), 1, raw.size(), f);
    }
    std::fclose(f);
    return 0;
}
"""


def simulate(d: Deform, node: DeformConv2d, x: IntArray, offsets: IntArray, folder: Path) -> IntArray:
    """Compile the layer with g++ and hls4ml's ap_int headers, and run a batch through it."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    hls4ml = util.find_spec("hls4ml")
    if hls4ml is None or hls4ml.submodule_search_locations is None:
        pytest.skip("hls4ml, which brings the ap_int headers, is not installed")
    templates = Path(hls4ml.submodule_search_locations[0]) / "templates" / "vivado"
    (folder / "params.h").write_text(parameters(d, node.weight))
    (folder / "main.cpp").write_text(MAIN)
    words = {"x": FinnWord(*d.x, d.channels), "offsets": FinnWord(*d.offset, d.offset_channels)}
    (folder / "x.bin").write_bytes(words["x"].pack(x).tobytes())
    (folder / "offsets.bin").write_bytes(words["offsets"].pack(offsets).tobytes())
    includes = [f"-I{p}" for p in (folder, FOLDER, HLS, templates / "ap_types", templates / "nnet_utils")]
    command = ["g++", "-std=c++14", "-O1", "-w", f"-DFRAMES={len(x)}", *includes, "main.cpp", "-o", "main"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    subprocess.run(["./main"], cwd=folder, check=True)
    data = np.frombuffer((folder / "y.bin").read_bytes(), np.uint8)
    return FinnWord(*d.acc, d.outputs).unpack(data, (len(x), *d.out, d.outputs))


def layers(graph: Graph) -> list[tuple[Deform, DeformConv2d]]:
    """The deformable layers of a network with their FINN description."""
    lowered = lower(graph, 8)
    found = {layer.source: layer.deform for layer in network(lowered).layers if layer.op == "DeformConv2D_hls"}  # type: ignore[attr-defined]
    return [(found[n.name], n) for n in lowered.nodes if isinstance(n, DeformConv2d)]


def check(d: Deform, node: DeformConv2d, folder: Path) -> None:
    rng = np.random.default_rng(11)
    words = FinnWord(*d.x, 1), FinnWord(*d.offset, 1)
    x = rng.integers(*words[0].limits, (3, *d.size, d.channels), endpoint=True)
    reach = np.clip(words[1].limits, -d.reach, d.reach)
    offsets = rng.integers(*reach, (3, *d.out, d.offset_channels), endpoint=True)
    x[-1], offsets[-1] = words[0].limits[1], reach[0]
    want = node.compute(x, offsets)
    assert np.array_equal(simulate(d, node, x, offsets, folder), want)
    args = (node.weight, d.strides, d.pads, d.dilations, d.groups, d.offset_groups)
    assert np.array_equal(compute(x, offsets, *args), want), "the operator's own meaning in FINN"


@pytest.mark.parametrize("k", [0, 1])
def test_layers_of_a_network(k: int, tmp_path: Path) -> None:
    check(*layers(NETS["deformable"]())[k], tmp_path)


@pytest.mark.parametrize(
    "seed", [0, 1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_random_layers(seed: int, tmp_path: Path) -> None:
    """Odd maps, strides, dilation, groups, offsets that reach over the whole map."""
    rng = np.random.default_rng(seed)
    n = Net("one", (int(rng.integers(4, 9)), int(rng.integers(4, 9)), 6), 3 + seed, signed=bool(seed % 2))
    kernel, groups = (int(rng.integers(1, 4)), int(rng.integers(1, 4))), int(rng.choice([1, 2, 3, 6]))
    strides, dilations = ((1, 2), (2, 1))[seed % 2], (1 + seed % 2, 1)
    pads = tuple(int(v) for v in rng.integers(0, 3, 4))
    shape = [
        (s + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, s in enumerate(n.x.shape[:2])
    ]
    offset_groups = int(rng.choice([1, 2]))
    t = IntType(3 + seed % 2, True)
    offsets = n.b.input("offsets", (*shape, 2 * kernel[0] * kernel[1] * offset_groups), t, t.lo, t.hi)
    weight = rng.integers(-8, 8, (*kernel, 6 // groups, 12))
    y = n.b.add(
        DeformConv2d, "deform", n.x.name, offsets.name, weight=weight, strides=strides, dilations=dilations,
        pads=pads, groups=groups, offset_groups=offset_groups,
    )  # fmt: skip
    graph = n.finish(y)
    node = graph.nodes[0]
    assert isinstance(node, DeformConv2d)
    acc = IntType.containing(*y.bounds)
    w = weight_type(node)
    d = Deform(
        size=n.x.shape[:2], out=tuple(shape), channels=6, outputs=12, kernel=kernel, strides=strides,
        dilations=dilations, pads=pads, groups=groups, offset_groups=offset_groups, reach=-t.lo,
        x=(n.x.itype.bits, n.x.itype.signed), offset=(t.bits, True), weight=(w.bits, w.signed),
        acc=(acc.bits, acc.signed),
    )  # fmt: skip
    check(d, node, tmp_path)


def test_types_of_the_network_hold_the_sums() -> None:
    lowered = lower(NETS["deformable"](), 8)
    types = finn_types(lowered)
    for node in lowered.nodes:
        lo, hi = lowered.tensors[node.output].bounds
        assert types[node.output].lo <= lo and hi <= types[node.output].hi
