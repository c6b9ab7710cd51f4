"""Writes small archives of the medical datasets, as `writers` does of the others."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage
from writers import Encode, encoded, zipped

RSNA_CLASSES = ["Normal", "No Lung Opacity / Not Normal", "Lung Opacity"]
KVASIR_FOLDERS = {
    "cecum": "anatomical-landmarks",
    "ileum": "anatomical-landmarks",
    "bbps-2-3": "quality-of-mucosal-views",
    "polyps": "pathological-findings",
}


def dicom(
    pixels: np.ndarray, *, jpeg: bool = False, bits: int = 8, inverted: bool = False
) -> bytes:
    """A DICOM as Kaggle has them: one grey frame, JPEG baseline inside if `jpeg`."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    record = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    record.Rows, record.Columns = pixels.shape
    record.SamplesPerPixel, record.PixelRepresentation = 1, 0
    record.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    record.BitsAllocated, record.BitsStored, record.HighBit = (
        (8 if bits == 8 else 16),
        bits,
        bits - 1,
    )
    if jpeg:
        record.PixelData = encapsulate([encoded(pixels, "JPEG", quality=95)])
        record["PixelData"].VR = "OB"
    else:
        record.PixelData = pixels.tobytes()
        record["PixelData"].VR = "OB" if bits == 8 else "OW"
    stream = io.BytesIO()
    record.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def rsna(
    folder: Path,
    films: Mapping[str, bytes],
    classes: Mapping[str, str],
    head: str = "patientId,class",
    targets: Mapping[str, int] | None = None,
) -> Path:
    """The competition's zip: rows of a patient are repeated for each box."""
    detail = [head] + [
        f"{p},{c}" for p, c in classes.items() for _ in range(2 if c == RSNA_CLASSES[2] else 1)
    ]
    labels = ["patientId,x,y,width,height,Target"]
    for patient, name in classes.items():
        target = (targets or {}).get(patient, int(name == RSNA_CLASSES[2]))
        labels += [f"{patient},264.0,152.0,213.0,379.0,1"] * 2 if target else [f"{patient},,,,,0"]
    files = {
        "stage_2_detailed_class_info.csv": "\n".join(detail).encode(),
        "stage_2_train_labels.csv": "\n".join(labels).encode(),
        "stage_2_sample_submission.csv": b"patientId,PredictionString",
        "stage_2_test_images/other.dcm": b"not looked at",
    }
    files |= {f"stage_2_train_images/{patient}.dcm": film for patient, film in films.items()}
    return zipped(folder / "rsna-pneumonia-detection-challenge.zip", files)


def chexpert(
    folder: Path,
    images: Sequence[np.ndarray],
    head: str = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding",
    lost: Sequence[int] = (),
    encode: Encode = encoded,
) -> None:
    """Films of a view each, frontal and lateral in turn; `lost` are listed but not there."""
    rows, files = [head], {}
    for i, image in enumerate(images):
        view = "Frontal" if i % 2 == 0 else "Lateral"
        inside = f"CheXpert-v1.0-small/train/patient{i:05d}/study1/view1_{view.lower()}.jpg"
        rows.append(f"{inside},Female,68,{view},AP,1.0")
        if i not in lost:
            files[inside] = encode(image)
    files["CheXpert-v1.0-small/train.csv"] = "\n".join(rows).encode()
    files["CheXpert-v1.0-small/valid.csv"] = b"Path"
    zipped(folder / "CheXpert-v1.0-small.zip", files)


def hyper_kvasir(
    folder: Path, images: Mapping[str, Sequence[np.ndarray]], encode: Encode = encoded
) -> None:
    """The labelled images of some of KVASIR_FOLDERS, and a class that nobody takes."""
    files = {"labeled-images/image-labels.csv": b"Video file,Organ,Finding,Classification\n"}
    root = "labeled-images/lower-gi-tract"
    for name, own in images.items():
        place = f"{root}/{KVASIR_FOLDERS[name]}/{name}"
        files |= {f"{place}/{name}-{i}.jpg": encode(image) for i, image in enumerate(own)}
    files[f"{root}/pathological-findings/hemorrhoids/0.jpg"] = b"not looked at"
    zipped(folder / "hyper-kvasir-labeled-images.zip", files)


def hyper_kvasir_unlabelled(
    folder: Path, images: Sequence[np.ndarray], encode: Encode = encoded
) -> None:
    """The unlabelled images."""
    root = "unlabeled-images/images"
    files = {f"{root}/{i}.jpg": encode(image) for i, image in enumerate(images)}
    zipped(folder / "hyper-kvasir-unlabeled-images.zip", files)


def lag(
    folder: Path,
    normal: Sequence[np.ndarray],
    glaucoma: Sequence[np.ndarray],
    encode: Encode = encoded,
) -> None:
    """The folder LAG, with an attention map beside each image."""
    for name, images in (("non_glaucoma", normal), ("suspicious_glaucoma", glaucoma)):
        for i, image in enumerate(images):
            for kind, content in (("image", encode(image)), ("attention_map", b"of the eye")):
                path = folder / "LAG" / name / kind / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
