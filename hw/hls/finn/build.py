# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Builds this project with FINN. Run it inside FINN's environment, from any folder (README.md)."""

import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.chdir(HERE)
sys.path.insert(0, HERE)
# FINN's worker processes and its operator registry import our modules by name.
os.environ["PYTHONPATH"] = os.pathsep.join([HERE, *filter(None, [os.environ.get("PYTHONPATH")])])

import bitwright_steps  # noqa: E402
from finn.builder.build_dataflow import build_dataflow_cfg  # noqa: E402
from finn.builder.build_dataflow_config import DataflowBuildConfig  # noqa: E402
from finn.builder.build_dataflow_steps import build_dataflow_step_lookup  # noqa: E402


def build(last_step=None):
    """Build up to ``last_step``, or everything; FINN's exit code."""
    with open("dataflow_build_config.json") as f:
        config = DataflowBuildConfig.from_dict(json.load(f))
    config.stop_step = last_step
    for step in bitwright_steps.STEPS:
        build_dataflow_step_lookup[step.__name__] = step
    return build_dataflow_cfg("model.onnx", config)


if __name__ == "__main__":
    sys.exit(build(sys.argv[1] if len(sys.argv) > 1 else None))
