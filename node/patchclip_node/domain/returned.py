"""What an object says that a reader made in a viewer, before it is laid beside what the node found."""

from __future__ import annotations

from dataclasses import dataclass

from patchclip_node.domain.verdicts import Box


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that an object says of an image.

    code: value and scheme of what it speaks of, ('', '') where it has none. name: that in words. is_there: whether it
    is there. boxes: around its regions, in source pixels; none where it has no place.
    """

    sop_instance_uid: str
    code: tuple[str, str]
    name: str
    is_there: bool = True
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadObject:
    """An object as it was read.

    refers_to: SOP Instance UIDs that it names. title: value and scheme of a document's title. by: whom it names as its
    author, '' for no one. unclear: what of it could not be read, and why.
    """

    statements: tuple[Statement, ...] = ()
    refers_to: frozenset[str] = frozenset()
    title: tuple[str, str] = ("", "")
    by: str = ""
    unclear: tuple[str, ...] = ()
