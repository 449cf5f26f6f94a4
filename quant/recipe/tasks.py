# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The [task] table: data, loss and metric. One class for each module of quant/tasks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bitwright.quant.recipe.base import Table

#: What happens to a sample that cannot be used: an error, or it is left out, counted and named in metrics.json.
OnBadSample = Literal["error", "skip"]


class DigitsClassification(Table):
    """Ten digits; the metric is accuracy."""

    name: Literal["digits_classification"]


class DigitsAnomaly(Table):
    """Find the digit that was not seen in training; the metric is the area under the ROC curve."""

    name: Literal["digits_anomaly"]
    unseen_class: Annotated[int, Field(ge=0, le=9)]


class Detection(Table):
    """Boxes of objects; the metric is AP50 (VOC, area under the curve)."""

    name: Literal["detection"]
    format: Literal["voc", "coco", "digit_scenes"]
    #: Folder (voc) or image folder (coco) of the data; bitwright train --data gives or replaces it.
    data: str = ""
    #: Names of the splits: files in ImageSets/Main (voc), or annotation files as seen from the image folder (coco).
    train_split: str = "trainval"
    test_split: str = "test"
    #: Class names in the order of the labels; [] takes those of the data in alphabetical order.
    class_names: list[str] = Field(default_factory=list)
    on_bad_sample: OnBadSample = "error"
    #: digit_scenes: number of images made on the fly.
    train_images: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    test_images: Annotated[int, Field(ge=1, le=100_000)] = 200


class Segmentation(Table):
    """A class for every pixel; the metric is the mean intersection over union."""

    name: Literal["segmentation"]
    format: Literal["folder", "digit_scenes"]
    #: Folder that holds images/SPLIT and masks/SPLIT; bitwright train --data gives or replaces it.
    data: str = ""
    train_split: str = "train"
    test_split: str = "val"
    #: Class names in the order of the labels; [] calls them by their numbers.
    class_names: list[str] = Field(default_factory=list)
    on_bad_sample: OnBadSample = "error"
    #: digit_scenes: number of images made on the fly.
    train_images: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    test_images: Annotated[int, Field(ge=1, le=100_000)] = 200


class Classification(Table):
    """One class for each image; the metric is accuracy."""

    name: Literal["classification"]
    format: Literal["image_folder", "npz"] = "image_folder"
    #: Folder with a folder for each split; npz: folder with SPLIT.npz.
    data: str = ""
    train_split: str = "train"
    test_split: str = "test"
    class_names: list[str] = Field(default_factory=list)
    on_bad_sample: OnBadSample = "error"


class OneClass(Table):
    """Two-stage one-class detection: learn features from normal images by a pretext task, then fit a density on them.

    The metric is the area under the ROC curve of ``detector``, on the features of the network that is evaluated.
    """

    name: Literal["one_class"]
    format: Literal["digits", "image_folder", "voc_tiles", "mvtec"]
    data: str = ""
    train_split: str = "train"
    test_split: str = "test"
    #: Classes that are normal: digits, class folders, objects that a normal tile may show; mvtec: the category.
    normal: Annotated[list[str], Field(min_length=1)]
    pretext: Literal["rotation", "contrastive", "cutpaste", "cutpaste_3way"]
    detector: Literal["gaussian", "kde", "ocsvm"] = "gaussian"
    #: Contrastive loss: temperature of the similarities, width of the projection.
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.2
    projection: Annotated[int, Field(ge=2, le=4096)] = 128
    #: mvtec: side of a patch in pixels of the image, which the network sees instead of the image; 0: the image.
    #: voc_tiles: side of a tile.
    patch: Annotated[int, Field(ge=0, le=2048)] = 0
    #: Whole test images in which anomalies are localised (formats with patches).
    scenes: Annotated[int, Field(ge=0, le=10_000)] = 12
    #: At most so many images of each split; 0 takes all.
    train_limit: Annotated[int, Field(ge=0)] = 0
    test_limit: Annotated[int, Field(ge=0)] = 0
    on_bad_sample: OnBadSample = "error"


class DigitVideos(Table):
    """Clips of moving digits, made on the fly, for adaptive networks; the metric is the mean accuracy over settings."""

    name: Literal["digit_videos"]
    frames: Annotated[int, Field(ge=1, le=64)] = 4
    train_clips: Annotated[int, Field(ge=2, le=100_000)] = 400
    test_clips: Annotated[int, Field(ge=1, le=100_000)] = 200


class Reconstruction(Table):
    """Anomalies by reconstruction error; the metric is the area under the ROC curve."""

    name: Literal["reconstruction"]
    format: Literal["npz", "series"]
    #: Folder with train.npz and test.npz, or of the series.
    data: str = ""
    #: series: the CSV file and the JSON file of anomaly windows, in the folder; windows of the network's input length.
    series: str = ""
    windows: str = ""
    step: Annotated[int, Field(ge=1)] = 1
    #: series: share of it, from its beginning, that is trained on.
    train_share: Annotated[float, Field(gt=0, lt=1)] = 0.3


Task = Annotated[
    DigitsClassification
    | DigitsAnomaly
    | Detection
    | Segmentation
    | Classification
    | OneClass
    | Reconstruction
    | DigitVideos,
    Field(discriminator="name"),
]
TASKS: tuple[type[Table], ...] = (
    DigitsClassification,
    DigitsAnomaly,
    Detection,
    Segmentation,
    Classification,
    OneClass,
    Reconstruction,
    DigitVideos,
)
