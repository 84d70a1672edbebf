# SPDX-License-Identifier: GPL-2.0
"""Correct streams: check finds nothing, dump shows everything."""
import json

import hpt
from common import result
from hpt import Hpte, Table, first_pass, later_pass, qemu, raw
from tables import as_json, kernel, sample

# Of ../source.h
SOURCE_BUFFER = 4 * 65536


def good_streams():
    """(name, stream, the table at its end, options, number of passes)."""
    for order in 18, 20, 22:
        for name, table in (("an empty table", Table(order)),
                            ("all kinds of pages", sample(order)),
                            ("a kernel", kernel(order))):
            for endian, word in ("<", "little"), (">", "big"):
                data = raw(first_pass(table), endian)
                what = f"{name} of order {order}, {word}-endian"
                yield what, data, table, ["-E", word], 1
                # One or two records do not show the byte order
                if table.hptes:
                    yield f"{what}, found out", data, table, [], 1
            yield (f"{name} of order {order} in QEMU's stream",
                   qemu(order, [first_pass(table, most=127)]), table, [], 1)
            for v3 in (False, True) if table.hptes else ():
                yield (f"{name} of order {order} in debugfs, "
                       f"{'v3.0' if v3 else 'older'}",
                       hpt.debugfs(table, v3), table, ["-O", order], 1)

    table = sample(20)
    full = first_pass(table)
    passes = raw(full)
    for _ in range(3):
        gone = sorted(table.hptes)[::5]
        for index in gone:
            del table.hptes[index]
        other = table.enter(Hpte(0x4321, len(passes) << 16 & 0xfff0000, 0x10000))
        # Removed HPTEs are at most in the pass that reports that
        passes += raw(sorted(later_pass(table, gone + [other])))
    yield "later passes", passes, table, [], 4
    table = Table(18)
    for base in 12, 16:
        table.enter(Hpte(0x777, 0, 0x10000 * base, base=base))
    yield ("two base page sizes at one address", raw(first_pass(table)), table,
           [], 1)
    for name, other in (("in its group", False), ("to its other group", True)):
        table = Table(18)
        hpte = Hpte(0x777, 0x50000, 0x10000)
        two = table.enter(Hpte(0x777, 0x50000, 0x10000, secondary=other))
        table.hptes.clear()
        one = table.enter(hpte)
        data = raw(first_pass(table))
        if two == one:
            two += 1
        table.hptes = {two: Hpte(0x777, 0x50000, 0x10000, secondary=other)}
        # Seen in both places until the second record
        data += raw(later_pass(table, [two])) + raw(later_pass(table, [one]))
        yield f"an HPTE that moves {name}", data, table, [], 2 + (one < two)
    table = sample(20)
    full = first_pass(table)
    yield ("a pass that starts over", raw(full[:5]) + raw(first_pass(table)),
           table, [], 2)
    only = Table(20)
    only.hptes = {index: hpte for index, hpte in table.hptes.items()
                  if hpte.bolted}
    yield ("bolted HPTEs only", raw(first_pass(table,
                                               only=lambda hpte: hpte.bolted)),
           only, [], 1)
    part = Table(20)
    part.hptes = {index: hpte for index, hpte in table.hptes.items()
                  if index >= 4096}
    yield ("a first pass from the middle", raw(first_pass(table, 4096)), part,
           ["--start", "4096"], 1)
    yield ("a later pass by itself",
           raw(later_pass(part, part.hptes)), part, ["-l", "-O", 20], 1)
    strange = Table(18)
    strange.hptes = {i: Hpte(i * 77, 0, 0x10000) for i in range(0, 999, 7)}
    yield ("HPTEs in any group", raw(first_pass(strange)), strange, ["-H"], 1)
    huge = Table(36)
    huge.enter(Hpte(0xfffffff, 0xfffff0000, 0))
    yield ("the largest index", raw(later_pass(huge, huge.hptes)), huge,
           ["-l", "-O", 36], 1)

    qemu_kinds = {
        "and all kinds of RAM": {"ram": ("page", "zero", "xbzrle", "compress",
                                         "flush", "page")},
        "and RAM of another kind": {"ram": ("page", "strange", "zero")},
        "with target page bits": {"configuration": b"\x05\x1econfiguration/"
                                  b"target-page-bits\0\0\0\x01\0\0\0\x10"},
        "with capabilities": {"configuration": b"\x05\x1aconfiguration/"
                              b"capabilities\0\0\0\x01\0\0\0\x02\x01a\x02bc"},
        "with a UUID": {"configuration": b"\x05\x12configuration/uuid"
                        b"\0\0\0\x01" + bytes(16)},
    }
    for name, how in qemu_kinds.items():
        yield (f"QEMU's stream {name}", qemu(20, [first_pass(table)], **how),
               table, [], 1)
    stream = hpt.Qemu().command(3, b"abc").begin(20)
    stream.htab(4, first_pass(sample(20))[:9])
    stream.start(3, "dirty-bitmap").add(b"\x7e\0\0\0\x03\xff").footer(3)
    stream.htab(4, first_pass(sample(20))[9:])
    stream.more(3, True).add(b"x" * 70000).footer(3)
    stream.more(2, True).ram("zero").footer(2).htab(4, [], True)
    yield ("QEMU's stream with another section", stream.finish(), sample(20),
           [], 1)
    # The footer is at the end of what the tool reads at once
    for end in range(SOURCE_BUFFER - 6, SOURCE_BUFFER + 2):
        stream = hpt.Qemu().begin(20).start(3, "other")
        stream.add(bytes(end - len(stream.data))).footer(3)
        stream.htab(4, first_pass(sample(20)), True)
        yield (f"QEMU's stream with another section up to byte {end}",
               stream.finish(), sample(20), [], 1)
    stream = hpt.Qemu().begin(0xffffffff)
    for end in False, True:
        stream.more(4, end).add(b"\xff" * 4).footer(4)
    yield "QEMU's stream of a radix guest", stream.finish(), None, [], 0
    # QEMU's own HPTs: a first pass without invalid HPTEs
    sparse = [(index, words, 0) for index, words, _ in first_pass(sample(20))
              if words]
    table = sample(20)
    gone = sorted(table.hptes)[1:9]
    for index in gone:
        del table.hptes[index]
    yield ("QEMU's stream without KVM",
           qemu(20, [sparse, later_pass(table, gone)]), table, [], 2)

    state = qemu(20, [first_pass(table)])
    other = qemu(20, [first_pass(kernel(20))])
    both = [("the-first-of-two", other), ("two", state)]
    for bits in 9, 12, 16, 21:
        yield (f"a snapshot, clusters of {1 << bits}", hpt.qcow2(both, bits),
               table, [], 1)
    yield "a snapshot, version 2", hpt.qcow2(both, version=2), table, [], 1
    yield "a snapshot by name", hpt.qcow2(both), kernel(20), ["-S", "the-first-of-two"], 1
    yield "a snapshot by number", hpt.qcow2(both), kernel(20), ["-S", "1"], 1


def test_good(tool):
    for name, data, table, options, passes in good_streams():
        file = tool.file("good", data)
        problem = ""
        code, out, err = tool.run("check", file, *options)
        if code or err or "well-formed" not in out:
            problem = out + err
        # Input that can only be read once is checked in another way
        if not data.startswith(b"QFI\xfb"):
            piped = tool.run("check", "-", *options, stdin=data)
            if not problem and piped != (code, out, err):
                problem = f"in a pipe: {piped}"
        _, found, _ = tool.json("check", file, *options)
        if not problem and found["passes"] != passes:
            problem = f"{found['passes']} passes, not {passes}"
        options = [o for o in options if o not in ("-l", "-H", "--start", "4096")]
        code, out, err = tool.run("dump", "--json", file, *options)
        if not table:
            problem = problem or ("" if code == 3 and "no HPT" in err else err)
        elif not problem:
            want = [as_json(table, *item) for item in sorted(table.hptes.items())]
            got = json.loads(out)
            if got["order"] != table.order:
                problem = f"order {got['order']}"
            elif name.startswith("HPTEs in any"):
                # Their place does not determine their offset
                want = got["hptes"]
            if got["hptes"] != want:
                problem = problem or next(
                    f"{a}\n{b}" for a, b in
                    zip(got["hptes"] + [None], want + [None]) if a != b)
        result(f"good: {name}", problem)
