"""PDUs and DIMSE messages with faults in them, drawn by chance: what a conversation sends, one after another."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.peers.radiographs import radiograph
from tests.support.scp import associate_request, p_data, request

DX = "1.2.840.10008.5.1.4.1.1.1.1"
COMMANDS = (0x0001, 0x0030, 0x0020, 0x0021, 0x0110, 0x0130, 0x0140, 0x0100, 0x0FFF, 0x8001, 0x0444)
CLASSES = (DX, DX, DX, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1", "1.2.3", "")
MESSAGES_A_CONVERSATION = 40
SMALL_PX = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes over the connection at once; is_mutated: something of it is not as the standard has it."""

    content: bytes
    is_mutated: bool


def encoded(dataset: Dataset) -> bytes:
    """Return a data set's bytes in Explicit VR Little Endian."""
    target = DicomBytesIO()
    target.is_little_endian, target.is_implicit_VR = True, False
    write_dataset(target, dataset)
    return target.getvalue()


RADIOGRAPH = radiograph(rows=SMALL_PX, columns=SMALL_PX)
DATA_SET = encoded(RADIOGRAPH)
STORE = request(0x0001, DX, sop_instance_uid=RADIOGRAPH.SOPInstanceUID)


def changed(chance: random.Random, content: bytes) -> bytes:
    """Return the bytes with one to eight of them changed, taken out, put in, doubled, or cut off."""
    result = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = chance.randrange(len(result) + 1)
        match chance.randrange(5):
            case 0 if place < len(result):
                result[place] ^= chance.randrange(1, 256)
            case 1:
                del result[place : place + chance.randrange(1, 9)]
            case 2:
                result[place:place] = chance.choice([chance.randbytes(chance.randrange(1, 9)), b"\xff\xff\xff\xff"])
            case 3:
                result[place:place] = result[place : place + chance.randrange(1, 64)]
            case _:
                del result[max(place, len(result) // 2) :]
    return bytes(result)


def fragments(chance: random.Random, data_set: bytes, context: int = 1) -> bytes:
    """Return a data set in up to five fragments of any length."""
    cuts = sorted(chance.randrange(len(data_set) + 1) for _ in range(chance.randrange(5)))
    parts = [data_set[start:end] for start, end in zip([0, *cuts], [*cuts, len(data_set)], strict=True)]
    return b"".join(p_data(context, 0x02 if part is parts[-1] else 0x00, part) for part in parts)


def data_set_is_mutated(chance: random.Random) -> bytes:
    """A C-STORE as it should be, of a data set that is not."""
    return p_data(1, 0x03, STORE) + fragments(chance, changed(chance, DATA_SET))


def command_set_is_mutated(chance: random.Random) -> bytes:
    """A command set with faults, or of another service; its data set follows, or none, or a part of it."""
    command = request(chance.choice(COMMANDS), chance.choice(CLASSES), has_data_set=chance.random() < 0.5)
    if chance.random() < 0.6:
        command = changed(chance, command)
    return p_data(1, 0x03, command) + chance.choice([b"", fragments(chance, DATA_SET[:600])])


def framing_is_mutated(chance: random.Random) -> bytes:
    """PDVs in the wrong order, in another context, with other control headers, several in one PDU, or too few."""
    control = chance.choice([0x00, 0x01, 0x02, 0x03, 0xFF, 0x80])
    pdus = [p_data(1, 0x03, STORE), p_data(chance.choice([1, 1, 3, 0, 255]), control, DATA_SET)]
    pdus += [p_data(1, chance.choice([0x00, 0x02]), b"") for _ in range(chance.randrange(3))]
    chance.shuffle(pdus)
    if chance.random() < 0.3:
        values = b"".join(pdu[6:] for pdu in pdus)
        return struct.pack(">BBL", 0x04, 0, len(values)) + values
    return b"".join(pdus[: chance.randrange(1, len(pdus) + 1)])


def pdu_is_mutated(chance: random.Random) -> bytes:
    """Bytes of a PDU changed, with its length made to fit or not."""
    original = chance.choice([p_data(1, 0x03, STORE), p_data(1, 0x02, DATA_SET), associate_request(DX)])
    if chance.random() < 0.5:
        return changed(chance, original)
    content = changed(chance, original[6:])
    return original[:2] + struct.pack(">L", len(content)) + content


def another_pdu(chance: random.Random) -> bytes:
    """A PDU that has no place in an association under way, or that is unknown (PS3.8 9.3)."""
    kind = chance.choice([0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x00, 0x08, 0xFF])
    content = chance.choice([b"\0\0\0\0", b"", chance.randbytes(chance.randrange(64))])
    length = len(content) if chance.random() < 0.7 else chance.choice([0, 2**20, 2**31, 2**32 - 1])
    return struct.pack(">BBL", kind, 0, length) + content


KINDS: tuple[tuple[Callable[[random.Random], bytes], int], ...] = (
    (data_set_is_mutated, 45),
    (command_set_is_mutated, 35),
    (framing_is_mutated, 8),
    (pdu_is_mutated, 8),
    (another_pdu, 4),
)


def conversation(seed: int, number: int) -> Iterator[Sent]:
    """Yield what one connection sends; seed and number alone decide it."""
    chance = random.Random(f"{seed}/{number}")
    asked = associate_request(DX, calling=f"X{number % 97}")
    if chance.random() < 0.05:
        yield Sent(changed(chance, asked), True)
    else:
        yield Sent(asked, False)
    kinds, weights = [kind for kind, _ in KINDS], [weight for _, weight in KINDS]
    for _ in range(chance.randrange(1, MESSAGES_A_CONVERSATION)):
        (kind,) = chance.choices(kinds, weights)
        yield Sent(kind(chance), True)
    if chance.random() < 0.5:
        yield Sent(struct.pack(">BBL", chance.choice([0x05, 0x07]), 0, 4) + b"\0\0\0\0", False)
