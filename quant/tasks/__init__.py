# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a network is trained for: data, loss and metric. `build_task` chooses by the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import torch

from bitwright.quant.data.boxes import PreparedBoxes
from bitwright.quant.data.coco import read_coco
from bitwright.quant.data.detection import BoxSet, DataError
from bitwright.quant.data.digit_scenes import digit_scenes
from bitwright.quant.data.masks import SCENE_CLASSES, digit_scene_masks, read_masks
from bitwright.quant.data.one_class import load_one_class
from bitwright.quant.data.pictures import folder_pictures, npz_pictures
from bitwright.quant.data.reconstruction import load_reconstruction
from bitwright.quant.data.voc import read_voc
from bitwright.quant.layers import FloatLayers
from bitwright.quant.models import build, input_shape
from bitwright.quant.recipe import (
    AdaptiveModel,
    Classification,
    CoDeNetModel,
    ConvAutoencoderModel,
    DeepLabModel,
    DenseAutoencoderModel,
    Detection,
    DigitsAnomaly,
    DigitsClassification,
    DigitVideos,
    MobileNetModel,
    MobileNetV3Model,
    OneClass,
    Recipe,
    RecipeError,
    Reconstruction,
    Segmentation,
    SeparableClassifierModel,
    SsdLiteModel,
)
from bitwright.quant.recipe.base import Table
from bitwright.quant.tasks.adaptive import DigitVideoTask
from bitwright.quant.tasks.base import Task
from bitwright.quant.tasks.classification import ClassificationTask
from bitwright.quant.tasks.detection import CentreTask
from bitwright.quant.tasks.digits import DigitsTask
from bitwright.quant.tasks.multibox import MultiBoxTask
from bitwright.quant.tasks.one_class import OneClassTask
from bitwright.quant.tasks.reconstruction import ReconstructionTask
from bitwright.quant.tasks.segmentation import SegmentationTask

__all__ = ["Task", "build_task"]

#: Of the digit scenes: the same data whatever the seed of the training is.
SCENE_SEED = 0
#: Task -> the networks that it can train.
FITTING: dict[type[Table], tuple[type[Table], ...]] = {
    DigitsClassification: (SeparableClassifierModel,),
    DigitsAnomaly: (DenseAutoencoderModel,),
    Detection: (CoDeNetModel, SsdLiteModel),
    Segmentation: (DeepLabModel,),
    Classification: (MobileNetModel, MobileNetV3Model),
    OneClass: (MobileNetModel, MobileNetV3Model, SeparableClassifierModel),
    DigitVideos: (AdaptiveModel,),
    Reconstruction: (DenseAutoencoderModel, ConvAutoencoderModel),
}


def build_task(recipe: Recipe) -> Task:
    """Load the data of a recipe.

    Raises RecipeError for a network that the task cannot train, DataError, or ToolMissingError without scikit-learn.
    """
    _check_fit(recipe)
    shape = input_shape(recipe)
    if isinstance(recipe.task, Detection):
        return _detection(recipe, recipe.task, shape)
    if isinstance(recipe.task, Segmentation):
        return _segmentation(recipe, recipe.task, shape)
    if isinstance(recipe.task, Classification):
        return _classification(recipe, recipe.task, shape[1])
    if isinstance(recipe.task, OneClass):
        return _one_class(recipe, recipe.task, shape)
    if isinstance(recipe.task, DigitVideos):
        return DigitVideoTask(recipe)
    if isinstance(recipe.task, Reconstruction):
        return ReconstructionTask(recipe, load_reconstruction(recipe.task, _folder(recipe.task.data), shape))
    return DigitsTask(recipe, shape)


def _check_fit(recipe: Recipe) -> None:
    fitting = next(models for task, models in FITTING.items() if isinstance(recipe.task, task))
    if not isinstance(recipe.model, fitting):
        known = [get_args(model.model_fields["name"].annotation)[0] for model in fitting]
        raise RecipeError(
            f"model.name: '{recipe.model.name}' cannot be trained for task.name = '{recipe.task.name}'; "
            f"that task takes {', '.join(known)}"
        )


def _detection(recipe: Recipe, task: Detection, shape: tuple[int, ...]) -> Task:
    train, test = _boxes(task, shape[1])
    _check_classes(recipe, train.class_names)
    data = PreparedBoxes(train, test, shape[1], recipe.augmentation)
    if task.format == "digit_scenes":
        data.facts["scene_seed"] = SCENE_SEED
    return (
        MultiBoxTask(recipe, shape, data) if isinstance(recipe.model, SsdLiteModel) else CentreTask(recipe, shape, data)
    )


def _segmentation(recipe: Recipe, task: Segmentation, shape: tuple[int, ...]) -> Task:
    if task.format == "digit_scenes":
        _check_classes(recipe, SCENE_CLASSES)
        train = digit_scene_masks(task.train_images, shape[1], SCENE_SEED, "train")
        test = digit_scene_masks(task.test_images, shape[1], SCENE_SEED, "test")
    else:
        folder, skip = _folder(task.data), task.on_bad_sample == "skip"
        names = tuple(task.class_names or map(str, range(_classes(recipe) or 0)))
        _check_classes(recipe, names)
        train = read_masks(folder, task.train_split, names, skip_bad=skip)
        test = read_masks(folder, task.test_split, names, skip_bad=skip)
    result = SegmentationTask(recipe, shape, train, test)
    if task.format == "digit_scenes":
        result.facts["scene_seed"] = SCENE_SEED
    return result


def _classes(recipe: Recipe) -> int | None:
    return getattr(recipe.model, "classes", None)


def _check_classes(recipe: Recipe, names: tuple[str, ...]) -> None:
    if _classes(recipe) != len(names):
        raise DataError(f"model.classes is {_classes(recipe)}, the data has {len(names)}: {', '.join(names)}")


def _classification(recipe: Recipe, task: Classification, side: int) -> Task:
    folder, skip = _folder(task.data), task.on_bad_sample == "skip"
    if task.format == "npz":
        train, test = (npz_pictures(folder / f"{split}.npz", side) for split in (task.train_split, task.test_split))
    else:
        train = folder_pictures(folder, task.train_split, side, task.class_names, skip_bad=skip)
        test = folder_pictures(folder, task.test_split, side, train.class_names, skip_bad=skip)
    _check_classes(recipe, train.class_names)
    return ClassificationTask(recipe, train, test)


def _one_class(recipe: Recipe, task: OneClass, shape: tuple[int, ...]) -> Task:
    with torch.device("meta"):
        features = getattr(build(recipe, FloatLayers()), "features", None)
    if features is None or getattr(recipe.model, "classes", None) != 0:
        raise RecipeError(
            "model: one-class detection needs a network that gives features: a 'mobilenet', 'mobilenet_v3' or "
            f"'separable_classifier' with classes = 0, got '{recipe.model.name}' with classes = "
            f"{getattr(recipe.model, 'classes', None)}"
        )
    folder = None if task.format == "digits" else _folder(task.data)
    return OneClassTask(recipe, features, load_one_class(task, folder, shape[1]))


def _boxes(task: Detection, side: int) -> tuple[BoxSet, BoxSet]:
    if task.format == "digit_scenes":
        train = digit_scenes(task.train_images, side, SCENE_SEED, "train")
        return train, digit_scenes(task.test_images, side, SCENE_SEED, "test")
    folder, skip, names = _folder(task.data), task.on_bad_sample == "skip", tuple(task.class_names)
    if task.format == "coco":
        train = read_coco(folder, folder / task.train_split, names, skip_bad=skip)
        return train, read_coco(folder, folder / task.test_split, train.class_names, skip_bad=skip)
    train = read_voc(folder, task.train_split, names, skip_bad=skip)
    return train, read_voc(folder, task.test_split, train.class_names, skip_bad=skip)


def _folder(data: str) -> Path:
    if not data:
        raise DataError("task.data: the recipe names no data; give the folder with --data")
    if not Path(data).is_dir():
        raise DataError(f"task.data: {data} is no folder; give the folder of the data with --data")
    return Path(data)
