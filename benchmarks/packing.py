"""Packing speed: images per second of `ssl_ood pack` beside a plain torchvision ImageFolder loop.

    python benchmarks/packing.py                  # 20,000 JPEGs, 2 cores: about 4 minutes
    python benchmarks/packing.py --images 2000    # a quick look

Synthetic photographs of ImageNet's usual size (500 x 375, about 110 kB), once as ILSVRC's tar of
tars and once as the folders that ImageFolder wants, are brought to 32 x 32. The ImageFolder loop
is what one would write without this project: decode, Resize, CenterCrop, into one array; in a
DataLoader with as many workers as packing gets, and alone. All sides run in this one call, on the
same cores, one after the other, with the files in the page cache. The pixels differ a little since
Resize rounds the longer side to 42 pixels before the middle is cut out, and packing does not.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32
DISTINCT = 200  # pictures; the files repeat them
CLASSES = 10


def main() -> None:
    """Parses the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to write the images (default: /tmp)")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        size = write_images(root, options.images)
        print(
            f"{options.images:,} JPEGs of 500 x 375, {size / 1000:.0f} kB each, to {SIZE} x {SIZE}"
        )
        print(f"{len(os.sched_getaffinity(0))} cores")
        ours, work, packed = measure(
            "ssl_ood pack", lambda: pack_tar(root, options), options.images
        )
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  peak memory of the packing process {memory:.0f} MiB")
        title = f"ImageFolder, DataLoader of {options.cores} workers"
        loader, loader_work, plain = measure(
            title, lambda: image_folder(root, options.cores), options.images
        )
        alone, _, _ = measure(
            "ImageFolder, one process", lambda: image_folder(root, 0), options.images
        )
        print(
            f"ratio of images/s: {ours / loader:.2f} to the DataLoader, {ours / alone:.2f} to one "
            f"process; of processor time: {loader_work / work:.2f} to the DataLoader"
        )
        difference = np.abs(packed.astype(np.int16) - plain).mean()
        print(f"mean difference of the pixels {difference:.2f} of 255")


def measure(title, function, images: int):
    """Prints images per second and processor time, returns both and what `function` returns.

    On a busy machine the processor time is the more honest figure.
    """
    start, used = time.perf_counter(), processor_seconds()
    result = function()
    speed = images / (time.perf_counter() - start)
    work = (processor_seconds() - used) / images * 1000
    print(f"{title}: {speed:,.0f} images/s, {work:.2f} processor ms an image", flush=True)
    return speed, work, result


def processor_seconds() -> float:
    """Seconds on a core, of this process and of its workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def write_images(root: Path, images: int) -> float:
    """Writes ILSVRC2012_img_train.tar and folders/; returns the mean size of a file in bytes."""
    jpegs = [photograph(i) for i in range(min(DISTINCT, images))]
    per_class = -(-images // CLASSES)
    pool = root / "pool"
    pool.mkdir()
    for i, jpeg in enumerate(jpegs):
        (pool / str(i)).write_bytes(jpeg)
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as outer:
        for label in range(CLASSES):
            synset = f"n{label:08d}"
            (root / "folders" / synset).mkdir(parents=True)
            stream = tempfile.TemporaryFile(dir=root)  # noqa: SIM115
            with tarfile.open(fileobj=stream, mode="w") as inner:
                for number in range(label * per_class, min((label + 1) * per_class, images)):
                    which = number % len(jpegs)
                    info = tarfile.TarInfo(f"{synset}_{number}.JPEG")
                    info.size = len(jpegs[which])
                    inner.addfile(info, io.BytesIO(jpegs[which]))
                    os.link(pool / str(which), root / "folders" / synset / f"{number:08d}.JPEG")
            info = tarfile.TarInfo(f"{synset}.tar")
            info.size = stream.tell()
            stream.seek(0)
            with stream:
                outer.addfile(info, stream)
    return float(np.mean([len(jpeg) for jpeg in jpegs]))


def photograph(seed: int) -> bytes:
    """A JPEG of 500 x 375 with structure at all scales."""
    rng = np.random.default_rng(seed)
    image = np.zeros((375, 500, 3), np.float32)
    for octave in range(1, 10):
        noise = rng.normal(size=(2**octave, 2**octave, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(noise[..., channel]).resize((500, 375), Image.BICUBIC)
            image[..., channel] += np.asarray(layer) * 1.14**-octave
    image -= image.min()
    stream = io.BytesIO()
    Image.fromarray((image * (255 / image.max())).astype(np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def pack_tar(root: Path, options: argparse.Namespace) -> np.ndarray:
    """The project's way, from the archive to the packed set with its checksum."""
    from ssl_ood.datasets.catalogue import Split, load_catalogue
    from ssl_ood.datasets.pack import pack
    from ssl_ood.datasets.packed import open_packed
    from ssl_ood.declarations import declare_everything

    declare_everything()
    catalogue = load_catalogue(Path(__file__).parents[1] / "resources" / "datasets.yaml")
    old = catalogue["imagenet"].splits["train"]
    dataset = replace(
        catalogue["imagenet"], splits={"train": Split(options.images, True, old.options)}
    )
    path = root / "ILSVRC2012_img_train.tar"
    archive = {"file": path.name, "path": str(path), "bytes": 0, "sha256": "", "verified": False}
    manifest = {"archives": [archive]}
    pack(dataset, "train", SIZE, manifest, root / "packed", workers=options.cores)
    return open_packed(root / "packed").images


def image_folder(root: Path, workers: int) -> np.ndarray:
    """The plain way: torchvision's ImageFolder into one array."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, PILToTensor, Resize

    resize = Resize(SIZE, interpolation=InterpolationMode.BICUBIC)
    transform = Compose([resize, CenterCrop(SIZE), PILToTensor()])
    dataset = ImageFolder(root / "folders", transform)
    images = np.empty((len(dataset), SIZE, SIZE, 3), np.uint8)
    row = 0
    for batch, _ in DataLoader(dataset, batch_size=256, num_workers=workers):
        images[row : row + len(batch)] = batch.permute(0, 2, 3, 1).numpy()
        row += len(batch)
    return images


if __name__ == "__main__":
    main()
