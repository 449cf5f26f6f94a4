# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Weights of other sources for a float network: torchvision's names for MobileNetV2 and V3 and ShuffleNetV2.

torchvision's networks see pictures from which the mean of ImageNet was subtracted and which were divided by its
deviation; ours see 0 to 1. The difference is folded into the first convolution and its batch normalization. It is exact
but for the border, where torchvision pads with the mean colour and this network with black.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from bitwright.errors import ModelError

#: Of ImageNet, as torchvision normalises: mean and standard deviation of red, green and blue in 0 to 1.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: First parts of torchvision's names of a backbone, and of ours. Classifiers are not taken: their classes are others.
#: The hidden layer of V3's is, where the model has one.
_SOURCES = {
    "MobileNetV3": (("features.", "classifier.0."), ("backbone.", "hidden.")),
    "MobileNetV2": (("features.",), ("backbone.",)),
    "ShuffleNetV2": (("conv1.", "stage2.", "stage3.", "stage4.", "conv5."), ("stem.", "stages.", "top.")),
}


def load_pretrained(path: Path, model: nn.Module) -> int:
    """Give the float ``model`` the backbone weights in a file that ``torch.save`` wrote (a state dictionary).

    Layers are matched in the order in which both networks compute, each tensor by its shape.

    Returns:
        the number of tensors taken.

    Raises:
        ModelError: no such file, not a state dictionary, of neither source, or of another width than the model's.
    """
    state = _read(path)
    for source, (theirs, ours) in _SOURCES.items():
        if source == "MobileNetV3" and not any(".block." in k for k in state):
            continue  # V2's names begin alike
        if source == "MobileNetV3" and not any(k.startswith("hidden.") for k in model.state_dict()):
            theirs = theirs[:1]
        given = {k: v for k, v in state.items() if k.startswith(theirs) and not k.endswith("num_batches_tracked")}
        own = [k for k in model.state_dict() if k.startswith(ours) and not k.endswith("num_batches_tracked")]
        if not given or not own:
            continue
        model.load_state_dict(_matched(path, source, given, own, model), strict=False)
        return len(own)
    raise ModelError(
        f"{path}: holds no weights for this model; names of torchvision's mobilenet_v2, mobilenet_v3 (features.…) and "
        f"shufflenet_v2 (stage2.…) are known, the file has {', '.join(list(state)[:3])}, …"
    )


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights")
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ModelError(f"{path}: cannot be read as weights that torch.save wrote ({error})") from None
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"{path}: must hold a state dictionary, names to tensors; save model.state_dict()")
    return state


def _matched(
    path: Path, source: str, given: dict[str, torch.Tensor], own: list[str], model: nn.Module
) -> dict[str, torch.Tensor]:
    shapes = {k: v.shape for k, v in model.state_dict().items()}
    if len(given) != len(own):
        raise ModelError(
            f"{path}: {len(given)} backbone tensors of a {source}, the model has {len(own)}: another version"
        )
    found = {}
    for (name, values), mine in zip(given.items(), own, strict=True):
        if values.shape != shapes[mine]:
            raise ModelError(
                f"{path}: '{name}' has shape {tuple(values.shape)}, '{mine}' needs {tuple(shapes[mine])}: another width"
            )
        found[mine] = values.clone()
    first, mean = own[0], next(k for k in own if k.endswith("running_mean"))
    weight = found[first] / torch.tensor(DEVIATION).reshape(1, 3, 1, 1)
    found[mean] = found[mean] + (weight * torch.tensor(MEAN).reshape(1, 3, 1, 1)).sum((1, 2, 3))
    found[first] = weight
    return found
