"""Which images come in which order, and what the negative batches are made of."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch

from ssl_ood.common.streams import stream, stream_key, torch_seed
from ssl_ood.training.negatives import Negatives
from ssl_ood.views.images import Images, epoch_order

CPU = torch.device("cpu")


def numbered(count, source):
    """Images whose red says which image and whose green says which source; turns show in blue."""
    images = np.zeros((count, 4, 4, 3), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    images[..., 1] = source
    images[:, 0, 0, 2] = 255
    return images


def negatives(*pairs, seed=0, **more):
    sources = [(Images(numbered(n, i), CPU), shift) for i, (n, shift) in enumerate(pairs)]
    return Negatives(sources, seed, **more)


def seen(batch):
    """(source, image) of every image of a batch."""
    return list(zip(batch[:, 1, 1, 1].tolist(), batch[:, 1, 1, 0].tolist(), strict=True))


@pytest.mark.parametrize(("size", "halves"), [(8, {0: 4, 1: 4}), (2, {0: 1, 1: 1})])
def test_combined_gives_half_and_half_of_a_shared_batch(size, halves):
    batch = negatives((50, "rot90"), (60, "rot90")).batch(0, 3, size)
    assert Counter(source for source, _ in seen(batch)) == halves


def test_weights_share_out_a_batch():
    batch = negatives((50, None), (50, None), weights=(3.0, 1.0)).batch(0, 3, 8)
    assert [source for source, _ in seen(batch)] == [0] * 6 + [1] * 2
    # Bounds at 1.5 and 2.5: a share of one image or more is never rounded to none.
    assert negatives(*[(50, None)] * 3, weights=(1.5, 1.0, 5.5)).shares(8) == [2, 1, 5]


def test_every_source_gives_a_whole_batch_and_every_image_one_of_each():
    both = negatives((50, "rot90"), (60, "rot90"), of_each=True)
    epoch = [both.batch(step, 3, 8) for step in range(3)]
    for batch in epoch:
        assert [source for source, _ in seen(batch)] == [0, 1] * 8
    images = [image for batch in epoch for image in seen(batch)]
    assert len(set(images)) == 48  # none comes twice in an epoch
    alone = negatives((50, "rot90"), of_each=True).batch(1, 3, 8)
    assert torch.equal(epoch[1][::2], alone)  # as many, and the same, as without the other source


def test_an_odd_batch_is_shared_out_to_within_one():
    batch = negatives((50, None), (50, None), (50, None)).batch(0, 3, 10)
    assert sorted(Counter(source for source, _ in seen(batch)).values()) == [3, 3, 4]


def test_an_image_comes_at_most_once_an_epoch():
    source = negatives((40, "rot90"))
    epoch = [image for step in range(5) for image in seen(source.batch(step, 5, 8))]
    assert len(epoch) == len(set(epoch)) == 40


def test_a_small_source_comes_round_evenly():
    source = negatives((12, None))
    counts = Counter(image for step in range(5) for image in seen(source.batch(step, 5, 8)))
    assert len(counts) == 12
    assert set(counts.values()) <= {3, 4}


def test_every_epoch_is_drawn_anew():
    source = negatives((40, "rot90"))
    assert seen(source.batch(0, 5, 8)) != seen(source.batch(5, 5, 8))
    once = source.batch(0, 1, 40)
    again = source.batch(1, 1, 40)
    turn = [{image: int(x[:, :, 2].argmax()) for (_, image), x in zip(seen(b), b, strict=True)}
            for b in (once, again)]  # fmt: skip
    different = sum(turn[0][image] != turn[1][image] for image in turn[0])
    assert 15 <= different <= 38  # two in three of 40


def test_batches_are_a_function_of_seed_and_step():
    pairs = ((40, "rot90"), (30, "pixel_shuffle"))
    late = negatives(*pairs).batch(7, 3, 8)
    walked = negatives(*pairs)
    for step in range(8):
        batch = walked.batch(step, 3, 8)
    assert torch.equal(late, batch)
    assert not torch.equal(late, negatives(*pairs, seed=1).batch(7, 3, 8))


def test_without_a_shift_the_images_are_as_they_are():
    batch = negatives((40, None)).batch(2, 5, 8)
    images = numbered(40, 0)
    np.testing.assert_array_equal(batch, images[[image for _, image in seen(batch)]])


def test_epoch_order_is_permutations_one_after_the_other():
    order = epoch_order(0, "positives", 3, 25, 10)
    assert len(order) == 25
    for low in (0, 10):
        assert sorted(order[low : low + 10]) == list(range(10))
    assert len(set(order[20:])) == 5
    assert order.tolist() == epoch_order(0, "positives", 3, 25, 10).tolist()
    for other in ((1, "positives", 3), (0, "negatives/0", 3), (0, "positives", 4)):
        assert epoch_order(*other, 25, 10).tolist() != order.tolist()


def test_images_are_taken_alike_from_the_device_and_from_the_file(tmp_path, device):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    rows = np.array([7, 3, 19, 3, 0])
    for resident in (0, 1 << 30):
        source = Images(mapped, device, resident=resident)
        assert isinstance(source.pixels, torch.Tensor) == bool(resident)
        assert (len(source), source.size) == (20, 4)
        np.testing.assert_array_equal(source.take(rows).cpu(), images[rows])


def test_streams_are_repeatable_and_independent():
    digest = hashlib.blake2b(b"0/views/3", digest_size=16).digest()
    assert stream_key(0, "views", 3) == int.from_bytes(digest, "little")
    first = stream(0, "a", 1).random(1000)
    np.testing.assert_array_equal(first, stream(0, "a", 1).random(1000))
    for other in (stream(1, "a", 1), stream(0, "b", 1), stream(0, "a", 2)):
        assert abs(np.corrcoef(first, other.random(1000))[0, 1]) < 0.12
    assert 0 <= torch_seed(0, "weights") < 2**63


# ---- shifts that are left to the views -----------------------------------------------------------


def test_negatives_whose_views_are_shifted_stay_upright_and_say_which_shift():
    images = [
        (Images(numbered(n, i), CPU), s) for i, (n, s) in enumerate(((50, "perm4"), (60, None)))
    ]
    source = Negatives(images, 0, place="view")
    for size, shares in ((8, (4, 4)), (5, (3, 2))):
        batch = source.batch(3, 5, size)
        assert source.shifts(size) == ("perm4",) * shares[0] + (None,) * shares[1]
        expected = [numbered(60, which)[image] for which, image in seen(batch)]
        np.testing.assert_array_equal(batch, expected)
        assert [which for which, _ in seen(batch)] == [0] * shares[0] + [1] * shares[1]
    assert Negatives(images, 0).shifts(8) == ()
    of_each = Negatives(images, 0, of_each=True, place="view")
    assert of_each.shifts(3) == ("perm4", None) * 3
    assert [which for which, _ in seen(of_each.batch(3, 5, 3))] == [0, 1] * 3


@pytest.mark.parametrize(("may_stay", "kinds"), [(True, 24), (False, 23)])
def test_an_image_may_be_left_as_it_is_where_that_is_asked_for(may_stay, kinds):
    corners = np.zeros((600, 4, 4, 3), np.uint8)
    corners[:, ::2, ::2] = np.arange(4).reshape(2, 2, 1)
    source = Negatives([(Images(corners, CPU), "perm4")], 0, may_stay=may_stay)
    orders = {tuple(image[::2, ::2, 0].flatten().tolist()) for image in source.batch(0, 1, 600)}
    assert len(orders) == kinds
    assert ((0, 1, 2, 3) in orders) == may_stay
