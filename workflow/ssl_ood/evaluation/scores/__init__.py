"""Anomaly scores, one file for each or for a few close ones: larger means more anomalous, always.

A score is a function, declared beside its code:

    @register("score", "knn_distance", title="k-NN", notes="...", needs={"features"}, settings=KNN)
    def knn_distance(test, train, k=5): ...

What it is given follows from its `needs`, in this order:

- features: `test` (N, d) and `train` (M, d), raw float32 tensors on one device;
- logits: `logits` (N, K) of the test images;
- labels: `labels` (M,) int64 of the training images;
- the name of an embedding that the method offers, declared as `embedding=NAME` too: `test` (N, ...)
  and `train` (M, ...) of what `Model.embed` gives by that name, in place of features;
- images: `model` (`ssl_ood.methods.base.Model`) and `images` (n, S, S, 3) uint8, block by block;
  such a score is computed where features are extracted.

The settings that it declares come as keyword arguments (`evaluation.parameters.NAME` of the
config), and with `temperature=True` the temperatures as `taus`. It returns (N,) scores, or (N, T)
for T temperatures.
"""
