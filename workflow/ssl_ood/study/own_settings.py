"""A study of own images as the config declares it: `images` and the options that apply to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ssl_ood.common.settings import Distinct, Pair, Settings
from ssl_ood.study.settings import Fraction, Sections, Seed, Size, Text


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Places = Annotated[Distinct[Text], BeforeValidator(_listed), Field(min_length=1)]


class PatientTable(Settings):
    """A csv file with a row for each image, which names its patient."""

    csv: Text = Field(description="the file, UTF-8, separated by commas")
    image: Text = Field(
        description="column of the images' names, below their folder or the file's name alone"
    )
    patient: Text = Field(description="column of what joins images")


def _whole(split: Shares) -> Shares:
    total = split.train + split.calibration + split.test
    if abs(total - 1) > 1e-6:
        raise ValueError(
            f"train, calibration and test are {total:g} together: write shares that sum to 1"
        )
    return split


class Shares(Settings):
    """The sides of the split of the images, whole groups at a time."""

    train: Fraction = Field(0.7, description="share of the images that are trained on")
    calibration: Fraction = Field(0.15, description="share that thresholds are set on")
    test: Fraction = Field(0.15, description="share that is tested against the OOD sets")
    seed: Seed = Field(0, description="of the split; other seeds split otherwise")


class OwnStudy(Settings):
    """Images of one's own in place of datasets of the catalogue: a folder, zip or tar of pictures
    or DICOM files, at any depth. What is not said here is chosen by a look at the images."""

    images: Places = Field(description="the normal images: a folder, zip or tar, or a list of them")
    ood: Annotated[Distinct[Text], BeforeValidator(_listed)] = Field(
        (),
        description="sets to test against: folders, zips or tars, or datasets of the catalogue; "
        "without any there are thresholds and no AUROC",
    )
    auxiliary: Text | None = Field(
        None,
        description="other images to make negatives of: a folder, zip or tar, or a dataset of the "
        "catalogue",
    )
    group: Text | PatientTable | None = Field(
        None,
        description="what tells the patient of an image: a regular expression whose first bracket "
        "is it, in the name below the folder, or a table (`csv`, `image`, `patient`); a patient is "
        "on one side of the split only, as are copies of one file",
    )
    labels: Literal["folders", "none"] = Field(
        "folders",
        description="whether the outermost sub-folders are classes, for the k-NN accuracy alone",
    )
    split: Annotated[Shares, AfterValidator(_whole)] = Field(
        Shares(), description="how the images are split"
    )
    preset: Literal["small", "full"] | None = Field(
        None,
        description="what is trained, of resources/presets.yaml; without it small where "
        "`execution.devices` is 0, else full",
    )
    strategies: Annotated[Distinct[str], Field(min_length=1)] | None = Field(
        None,
        description="negative strategies to train, of which the sensitivity score chooses; without "
        "them none, rot_indist and perm4_indist, and with `auxiliary` rot_auxiliary and rot_both",
    )
    size: Size | None = Field(None, description="pixels of a side")
    fit: Literal["crop", "squash"] | None = Field(
        None, description="as of any study; without it squash where images are not square"
    )
    range: Pair[float] | None = Field(
        None, description="values that are black and white in grey of more than 8 bits"
    )
    title: Text | None = Field(None, description="of the images, in tables; without it the name")
    override: Sections = Field({}, description="settings of the method, over the preset's")
    evaluation: dict[str, Any] = Field({}, description="over that of the top level, key by key")
