"""Names in archives and folders that are none of a dataset's, by one rule for all readers.

Hidden files and folders (of notebooks, snapshots, trash, version control and macOS), and what
Windows, macOS and network storage leave beside people's files. Such a copy of an image would be
one more image, a folder one more class.
"""

from __future__ import annotations

# Compared without regard to case, as their makers do.
LEFT_BY_SYSTEMS = frozenset(
    {
        "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found", "$recycle.bin",
        "recycler", "system volume information", "@eadir", "@tmp", "#recycle", "@recycle",
        "#snapshot", "~snapshot", "@recently-snapshot", "network trash folder", "temporary items",
        "__pycache__", "icon\r",
    }
)  # fmt: skip


def why_passed_over(name: str) -> str | None:
    """What a name below a dataset's root is passed over for, such as `__MACOSX`; None if it is not.

    Every part of the name counts; the root's own name does not. Hidden names are told apart by
    what their kind is called: `._*`, `.Trash-*`, or in full.
    """
    for part in name.split("/"):
        if part.startswith("._"):
            return "._*"
        if part.startswith(".Trash"):
            return ".Trash*"
        if part.startswith(".") and part not in (".", ".."):
            return part
        if part.lower() in LEFT_BY_SYSTEMS:
            return part.strip("\r")
    return None
