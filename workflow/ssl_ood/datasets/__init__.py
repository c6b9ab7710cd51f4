"""Datasets: from the catalogue entry over the source archive to the packed images.

In reading order: catalogue (what exists), places, fetch and download (archives), archives (safe
access), readers (true on-disk formats), decode and pack (archives to packed sets), packed (packed
sets to arrays), duplicates (is an image in two sets?), commands (the command line).
"""
