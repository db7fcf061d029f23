"""How valid inputs are spoilt: each function takes dice and an input, and returns another, or raises where it cannot.

They know the structure of what they spoil (words of a text, values of a JSON tree, fields of a protobuf message,
members of a zip), so that most of what they make gets past the first check of a reader.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

WORD = re.compile(r'"[^"\n]*"|[\w.+-]+|[\[\]{},:=]')
# What a word of a file may become: numbers that no network has, other types, other words, broken syntax.
WORDS = (
    *("0", "-1", "7", "1e999", "nan", "inf", "-0.0", "99999999999999999999999", "1e-9", "true", "null", '""', '"x"'),
    *("[]", "{}", "[1, 2]", '"conv"', '"stage"', '"seq"', '"\\u0000"', '"é"', "{", "}", "[", "]", ",", "=", ":", "\n"),
    *("[[a]]", '"kind"', '"items"', "2026-02-30", "'", '"', "1" * 5000, '"\\ud800"', "\x1b[31m", "../../etc/passwd"),
)
NUMBERS = (0, -1, 1, 2, 7, 255, 10**4, 2**31 - 1, 2**31, 2**32, 2**63 - 1, -(2**63), 2**64, 10**30, 10**400)
VALUES = (
    *(None, True, False, *NUMBERS, -0.0, 0.5, 1e-300, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "é", "\ud800", "\x00", "\x1b]0;x\x07", "<script>", "x" * 10_000, "/dev/zero", "../x", "NaN", "1e9"),
    *([], {}, [[]], [None], {"": None}, ["x"] * 1000, [0] * 1000),
)
BYTES = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x80", b"\x7f", b"\n", b'"', b"\xed\xa0\x80", b"\0" * 64)


def some_bytes(dice: Random, data: bytes) -> bytes:
    """Cut, changed, added, repeated and left out."""
    spoilt = bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(spoilt))
        piece = dice.choice((*BYTES, dice.randbytes(dice.randint(0, 4)), bytes(spoilt[at : at + dice.randint(0, 64)])))
        spoilt[at : at + dice.choice((0, 1, len(piece)))] = piece
    return bytes(spoilt[: dice.randint(0, len(spoilt))] if dice.random() < 0.2 else spoilt)


def nothing_of_it(dice: Random, data: bytes) -> bytes:
    """Something else altogether."""
    return dice.choice((b"", dice.randbytes(dice.randint(1, 200)), b"[" * 10**5, b'{"a":' * 10**5, b"\0" * 10**6, b"x"))


def some_words(dice: Random, data: bytes) -> bytes:
    """A text in which some words are others, one another, or gone."""
    text = data.decode(errors="replace")
    for _ in range(dice.randint(1, 4)):
        spans = [match.span() for match in WORD.finditer(text)]
        if not spans:
            break
        start, end = dice.choice(spans)
        other = text[slice(*dice.choice(spans))]
        text = text[:start] + dice.choice((dice.choice(WORDS), other, "")) + text[end:]
    return text.encode(errors="surrogatepass")


def some_lines(dice: Random, data: bytes) -> bytes:
    """Lines that are gone, doubled, moved or joined."""
    lines = data.splitlines(keepends=True)
    for _ in range(dice.randint(1, 3)):
        if not lines:
            break
        at = dice.randrange(len(lines))
        line = lines.pop(at) if dice.random() < 0.5 else lines[at]
        if dice.random() < 0.7:
            lines.insert(dice.randint(0, len(lines)), line.rstrip(b"\n") if dice.random() < 0.2 else line)
    return b"".join(lines)


def some_cells(dice: Random, data: bytes) -> bytes:
    """A table in which cells are others, swapped, quoted wrongly or too many."""
    rows = [line.split(",") for line in data.decode(errors="replace").split("\n")]
    for _ in range(dice.randint(1, 4)):
        row = dice.choice(rows)
        at = dice.randrange(len(row))
        other = dice.choice(dice.choice(rows))
        row[at] = dice.choice((dice.choice(WORDS), str(dice.choice(VALUES))[:5000], other, f'"{row[at]}', "", "a,b"))
    return "\n".join(",".join(row) for row in rows).encode(errors="surrogatepass")


def json_tree(dice: Random, data: bytes) -> bytes:
    """A JSON document in which values are others, elsewhere, doubled or gone."""
    root = [json.loads(data)]
    spoil_tree(dice, root)
    text = json.dumps(root[0], ensure_ascii=dice.random() < 0.8)
    if dice.random() < 0.05 and text.startswith("{"):  # the same name twice
        text = "{" + text[1:-1] + ", " + text[1:]
    return text.encode(errors="surrogatepass")


def spoil_tree(dice: Random, root: list[Any]) -> None:
    """Change lists and tables below a list."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        places = list(tree_places(root))
        holder, key = dice.choice(places)
        other, other_key = dice.choice(places)
        act = dice.random()
        if act < 0.55:
            holder[key] = spoil_value(dice, holder[key])
        elif act < 0.75:
            holder[key] = json.loads(json.dumps(other[other_key]))
        elif isinstance(holder, dict):
            value = holder.pop(key)
            if dice.random() < 0.5:
                holder[dice.choice(("", "x", "\x00", "é" * 100, str(other_key), f"{key} "))] = value
        elif holder is root:
            holder[key] = [holder[key]]
        elif act < 0.9:
            holder.insert(key, json.loads(json.dumps(holder[key])))
        else:
            holder.pop(key)


def tree_places(root: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Every list or table below a list, with each of its keys."""
    stack: list[Any] = [root]
    while stack:
        holder = stack.pop()
        for key in range(len(holder)) if isinstance(holder, list) else list(holder):
            yield holder, key
            if isinstance(holder[key], dict | list):
                stack.append(holder[key])


def spoil_value(dice: Random, value: Any) -> Any:
    """Another value; of a number often one that is near, of a list one that is longer."""
    act = dice.random()
    if isinstance(value, int | float) and not isinstance(value, bool) and act < 0.5:
        return dice.choice((value + 1, value - 1, -value, value * 1000, value * 2**40, value // 3))
    if isinstance(value, str) and act < 0.3:
        return dice.choice((value + " ", value.upper(), value[:-1], value * 2, f"../{value}", f"/{value}"))
    if isinstance(value, list) and act < 0.5:
        return dice.choice((value[::-1], value * 2, value[:-1], [value], dict(enumerate(value[:9]))))
    if isinstance(value, dict) and act < 0.3:
        return dice.choice((list(value), list(value.values()), [value]))
    return deepcopy(dice.choice(VALUES))


def protobuf(dice: Random, data: bytes) -> bytes:
    """An ONNX model in which fields of messages are others, elsewhere, doubled or gone."""
    import onnx

    model = onnx.ModelProto.FromString(data)
    for _ in range(dice.choice((1, 1, 2, 3, 5))):
        messages = list(messages_below(model))
        spoil_message(dice, dice.choice(messages), messages)
    return bytes(model.SerializeToString())


def messages_below(message: Any) -> Iterator[Any]:
    """A message and all messages in it."""
    stack = [message]
    while stack:
        message = stack.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                stack += value if field.is_repeated else [value]


def spoil_message(dice: Random, message: Any, others: list[Any]) -> None:
    """Change one field of a message: a value that it has, that of another message of its kind, or a hostile one."""
    fields = message.ListFields() if dice.random() < 0.8 else []
    field = dice.choice(fields)[0] if fields else dice.choice(message.DESCRIPTOR.fields)
    alike = dice.choice([other for other in others if other.DESCRIPTOR is message.DESCRIPTOR])
    act = dice.random()
    if act < 0.15:
        message.ClearField(field.name)
    elif act < 0.35:
        values = getattr(alike, field.name)
        if field.is_repeated:
            getattr(message, field.name).extend(list(values)[: dice.randint(0, len(values))])
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(values)
        else:
            setattr(message, field.name, values)
    elif field.is_repeated:
        spoil_repeated(dice, getattr(message, field.name), field)
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
    else:
        put(lambda value: setattr(message, field.name, value), dice, field, getattr(message, field.name))


def spoil_repeated(dice: Random, values: Any, field: Any) -> None:
    """Change a repeated field: elements gone, doubled, swapped, others."""
    if not len(values):
        if field.message_type is None:
            put(values.append, dice, field, "")
        else:
            values.add()
        return
    act, at = dice.random(), dice.randrange(len(values))
    if act < 0.25:
        del values[at]
    elif act < 0.45:
        values.extend([values[at]])
    elif field.message_type is None:
        if act < 0.6:
            values[at] = values[dice.randrange(len(values))]
        else:
            put(lambda value: values.__setitem__(at, value), dice, field, values[at])
    elif act < 0.7:
        values[at].CopyFrom(type(values[at]).FromString(values[dice.randrange(len(values))].SerializeToString()))
    else:
        values.add()


def put(set_value: Callable[[Any], None], dice: Random, field: Any, old: Any) -> None:
    """Set a scalar to a hostile value that its type takes."""
    if field.cpp_type == field.CPPTYPE_STRING:
        text = dice.choice(("", "x", "\x1b[31m", "é", "/dev/zero", "../x", "Relu", "If", "Loop", "x" * 10_000, "input"))
        set_value(text.encode() if field.type == field.TYPE_BYTES else text)
        return
    near = dice.choice((old + 1, old - 1, -old, old * 1000)) if isinstance(old, int | float) else 1
    value = dice.choice((near, dice.choice(NUMBERS)))
    try:
        set_value(value if "FLOAT" not in str(field.cpp_type) else float(value))
    except (ValueError, OverflowError, TypeError):
        set_value(0)


def zip_members(dice: Random, data: bytes) -> bytes:
    """A zip or .npz in which members are spoilt, renamed, doubled or gone."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = [(info.filename, file.read(info)) for info in file.infolist()]
    at = dice.randrange(len(members))
    name, content = members.pop(at)
    act = dice.random()
    if act < 0.6:
        members.insert(at, (name, array_header(dice, content)))
    elif act < 0.75:
        members.insert(at, (name, some_bytes(dice, content)))
    elif act < 0.85:
        members += [(dice.choice((f"x{name}", f"../{name}", name.upper(), "labels.npy")), content)]
    elif act < 0.9:
        members += [(name, content)] * 2
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as file:
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content)
    return archive.getvalue()


def array_header(dice: Random, content: bytes) -> bytes:
    """An .npy file whose header says something else: shape, type, order."""
    if content[:6] != b"\x93NUMPY":
        return some_bytes(dice, content)
    (length,) = struct.unpack("<H", content[8:10])
    header = content[10 : 10 + length].rstrip().decode("latin-1")
    shape = tuple(dice.choice(NUMBERS) for _ in range(dice.randint(0, 4)))
    act = dice.random()
    if act < 0.4:
        header = re.sub(r"\([\d, ]*\)", repr(shape), header)
    elif act < 0.7:
        kind = dice.choice(("<f8", "|b1", "|O", "<U9", "<c16", "|V8", ">i2", "x", "<m8[s]", "|S0", "<f4"))
        header = re.sub(r"'descr': '[^']*'", f"'descr': '{kind}'", header)
    else:
        header = some_words(dice, header.encode()).decode(errors="replace")
    spoilt = header.encode("latin-1", errors="replace") + b"\n"
    return content[:8] + struct.pack("<H", len(spoilt) & 0xFFFF) + spoilt + content[10 + length :]


def tensor_header(dice: Random, data: bytes) -> bytes:
    """A .safetensors file whose header says something else."""
    (length,) = struct.unpack("<Q", data[:8].ljust(8, b"\0"))
    header = json_tree(dice, data[8 : 8 + length])
    said = len(header) if dice.random() < 0.9 else dice.choice((0, 2**63, 10**9, length))
    return struct.pack("<Q", said) + header + data[8 + length :]
