"""A cue of one's own, whole: the mean of the blue channel."""

from ssl_ood.common.registry import register


@register("cue", "blue", title="blue", notes="mean of the blue channel", needs={"images"})
def blue(images):
    return images[..., 2].mean((1, 2))
