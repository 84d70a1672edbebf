# SPDX-License-Identifier: GPL-2.0
"""Pictures."""
import base64
import os
import xml.etree.ElementTree
import zlib

from common import result
from hpt import Hpte, Table, first_pass, later_pass, raw
from tables import kernel


def decode_png(data):
    """A picture with a palette, as rows of colours."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "signature"
    at, chunks = 8, []
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        body = data[at + 4:at + 8 + size]
        assert zlib.crc32(body) == int.from_bytes(
            data[at + 8 + size:at + 12 + size], "big"), "checksum"
        chunks.append((body[:4], body[4:]))
        at += 12 + size
    assert [name for name, _ in chunks] == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    chunks = dict(chunks)
    head = chunks[b"IHDR"]
    width, height = (int.from_bytes(head[i:i + 4], "big") for i in (0, 4))
    assert head[8:] == b"\x08\x03\0\0\0", head
    pixels = zlib.decompress(chunks[b"IDAT"])
    assert len(chunks[b"IDAT"]) * 4 < len(pixels), "not compressed"
    assert len(pixels) == height * (width + 1), "size"
    palette = [tuple(chunks[b"PLTE"][i:i + 3])
               for i in range(0, len(chunks[b"PLTE"]), 3)]
    rows = []
    for y in range(height):
        row = pixels[y * (width + 1):(y + 1) * (width + 1)]
        assert row[0] == 0, "filter"
        rows.append([palette[c] for c in row[1:]])
    return rows


LEFT, TOP = 90, 10


def squares_only(rows, order):
    """The picture without its axis and legend."""
    height = 512 if (order - 7) % 2 else 1024
    return [row[LEFT:LEFT + 1024] for row in rows[TOP:TOP + height]]


def brightest(color):
    return color.index(max(color))


def test_pictures(tool):
    def squares(order, rows):
        """Colours in each group's square, from the top."""
        columns = 1
        while columns * columns < 1 << order - 7:
            columns *= 2
        size = len(rows[0]) // columns
        return lambda group: [
            rows[group // columns * size + i][group % columns * size]
            for i in range(size)]

    empty = (0x1d, 0x20, 0x29)
    for order in 18, 20, 22:
        table = Table(order)
        blue = table.enter(Hpte(5, 0x10000, 0, bolted=True)) // 8
        green = table.enter(Hpte(9, 0x70000, 0)) // 8
        orange = table.enter(Hpte(33, 0x70000, 0, secondary=True)) // 8
        full = {table.enter(Hpte(0x1000 + (n << order), 0, 0, seg=28,
                                 bolted=True)) // 8 for n in range(8)}.pop()
        tool.file("m", raw(first_pass(table)))
        code, _, err = tool.run("map", "m", "-o", "m.png")
        with open(os.path.join(tool.directory, "m.png"), "rb") as file:
            data = file.read()
        problem = err
        try:
            rows = squares_only(decode_png(data), order)
            look = squares(order, rows)
            # Uncompressed, it would be as large as its pixels
            if len(data) > 1 << 16:
                problem = f"{len(data)} bytes, not compressed"
            kinds = {color for row in rows for color in row}
            if len(kinds) != 5 or empty not in kinds:
                problem = f"colours {kinds}"
            elif (brightest(look(blue)[0]) != 2 or brightest(look(green)[0]) != 1
                  or brightest(look(orange)[0]) != 0):
                problem = "the wrong colours"
            elif sum(look(full)[0]) <= sum(look(blue)[0]):
                problem = "a full group is no brighter"
            elif any(look(group)[0] != empty for group in range(64)
                     if group not in (blue, green, orange, full)):
                problem = "empty groups are not"
        except AssertionError as e:
            problem = f"no PNG: {e}"
        result(f"picture: PNG of order {order}", problem or code)

    before = Table(20)
    gone = before.enter(Hpte(1, 0, 0x10000)) // 8
    same = before.enter(Hpte(100, 0, 0x20000, bolted=True)) // 8
    other = before.enter(Hpte(300, 0, 0x30000))
    rc = before.enter(Hpte(500, 0, 0x40000))
    tool.file("before", raw(first_pass(before)))
    del before.hptes[gone * 8]
    before.hptes[other].real ^= 0x50000
    before.hptes[rc].rc ^= 0x80
    new = before.enter(Hpte(700, 0, 0x60000)) // 8
    tool.file("after", raw(first_pass(before)))
    tool.run("map", "after", "-B", "before", "-o", "m.png")
    with open(os.path.join(tool.directory, "m.png"), "rb") as file:
        look = squares(20, squares_only(decode_png(file.read()), 20))
    colors = [look(group)[0] for group in (same, gone, new, other // 8, rc // 8)]
    r, g, b = zip(*colors)
    result("picture: what has changed", "" if len(set(colors)) == 5 and
           b[0] > r[0] and r[1] > 2 * g[1] and max(colors[2]) - min(colors[2]) < 9 and
           r[3] > 2 * b[3] and g[3] > 2 * b[3] and r[4] > b[4] > g[4] else
           colors)

    full = Table(22)
    many = {full.enter(Hpte(0x1000 + (n << 22), 0, n << 16, seg=28))
            for n in range(8)}
    tool.file("full", raw(first_pass(full)))
    full.hptes[min(many)].real ^= 0x1000000
    tool.file("full2", raw(first_pass(full)))
    tool.run("map", "full2", "-B", "full", "-o", "m.png")
    with open(os.path.join(tool.directory, "m.png"), "rb") as file:
        colors = squares(22, squares_only(decode_png(file.read()), 22))(
            min(many) // 8)
    result("picture: a change of one in eight is seen",
           "" if len(colors) == 4 and len(set(colors)) == 2 else colors)

    code, _, err = tool.run("map", "after", "-o", "m.svg")
    problem = err or code
    root = xml.etree.ElementTree.parse(os.path.join(tool.directory, "m.svg"))
    space = "{http://www.w3.org/2000/svg}"
    image = root.find(f"{space}image")
    text = " ".join(e.text for e in root.iter(f"{space}text"))
    link = image.get("{http://www.w3.org/1999/xlink}href")
    tool.run("map", "after", "-o", "m.png")
    with open(os.path.join(tool.directory, "m.png"), "rb") as file:
        if (decode_png(base64.b64decode(link.partition(",")[2])) !=
                squares_only(decode_png(file.read()), 20)):
            problem = "another picture in the SVG"
    for word in ("bolted", "secondary", "empty: 65532", "order 20",
                 "a line 128", "2000", "e000"):
        if word not in text:
            problem = problem or f"no {word} in {text}"
    result("picture: SVG with a legend", problem)

    read_axis(tool)
    table = Table(36)
    table.enter(Hpte(0xfffffff, 0xfffff0000, 0))
    tool.file("m", raw(later_pass(table, table.hptes)))
    tool.run("map", "m", "-O", 36, "-o", "m.png")
    with open(os.path.join(tool.directory, "m.png"), "rb") as file:
        rows = squares_only(decode_png(file.read()), 36)
    lit = sum(color != empty for row in rows for color in row)
    result("picture: one HPTE in 4 billion is seen", "" if lit == 16 else lit)
    result("picture: a name in SVG and JSON is escaped", escaped(tool))


# The part of the font that is needed here: its dots from the top, in octal
DOTS = {0o75557: "0", 0o26227: "1", 0o71747: "2", 0o71717: "3", 0o55711: "4",
        0o74717: "5", 0o74757: "6", 0o71122: "7", 0o75757: "8", 0o75717: "9",
        0o25755: "a", 0o65656: "b", 0o34443: "c", 0o65556: "d", 0o74647: "e",
        0o74644: "f", 0: " "}


def read_text(rows, x, y, length):
    text = ""
    for at in range(x, x + 8 * length, 8):
        dots = 0
        for row in range(5):
            for column in range(3):
                dots = dots << 1 | (sum(rows[y + 2 * row][at + 2 * column]) < 300)
        text += DOTS.get(dots, "?")
    return text


def read_axis(tool):
    """The numbers on the left are the indexes at which lines begin; those in the
    legend are the numbers of HPTEs."""
    for order, lines in ((18, 32), (20, 64), (22, 128), (30, 256)):
        table = Table(order)
        for n in range(123):
            table.enter(Hpte(n * 0x99, 0, 0, bolted=True))
        tool.file("axis", raw(later_pass(table, table.hptes)))
        tool.run("map", "axis", "-O", order, "-o", "m.png")
        with open(os.path.join(tool.directory, "m.png"), "rb") as file:
            rows = decode_png(file.read())
        height = 512 if order % 2 == 0 else 1024
        height = 1024 if order == 30 else height
        ticks = [read_text(rows, 0, TOP + height // 8 * i, 8).strip()
                 for i in range(8)]
        want = [f"{(1 << order - 4) // 8 * i:x}" for i in range(8)]
        result(f"picture: axis of order {order}", "" if ticks == want else ticks)
        text = read_text(rows, LEFT + 24 + 8 * 32, TOP + height + 20, 3)
        result(f"picture: legend of order {order}", "" if text == "123" else text)


def escaped(tool):
    name = 'a<b>&"c'
    tool.file(name, raw(first_pass(kernel(18))))
    tool.run("map", name, "-o", "m.svg")
    root = xml.etree.ElementTree.parse(os.path.join(tool.directory, "m.svg"))
    title = root.find("{http://www.w3.org/2000/svg}title").text
    _, found, _ = tool.json("check", name)
    return "" if title == name == found["file"] else f"{title} {found}"
