"""Cues: what tells OOD images apart without any learning, and so what a model has to beat.

A cue is a function, declared beside its code:

    @register("cue", "blue", title="blue", notes="mean of the blue channel", needs={"images"})
    def blue(images): ...  # (n, S, S, 3) uint8; returns (n,)

What it is given, and returns, follows from its `needs`:

- images: `images` (n, S, S, 3) uint8, block by block; returns (n,) numbers, one for each image;
- images and train: `train`, all training images (M, S, S, 3) uint8; returns a function of a block
  of images to their (n,) distances from the training images, larger for stranger images;
- facts: `facts`, columns (N,) of `datasets.facts` by name; returns (N,) numbers, NaN for none, or
  words, empty for none.

How that becomes a score (`readings`):

- A distance is a score as it is.
- A word's score is its rarity, 1 - its share of the training images.
- A number gives OOD images away by being large or by being small, and its AUROC is told twice.
  `either`: max(a, 1 - a), the better of the two directions. A shortcut is there in whichever
  direction; but it is chosen by the OOD images themselves, so that this is never below 0.5, and too
  high by chance on few images. `from_median`: of the distance from the median of the training
  images, for which no direction is chosen.
"""
