# SPDX-License-Identifier: GPL-2.0
"""Files from the field: those that may contain an HPT are read, and other ones
are identified."""
import bz2
import gzip
import lzma
import os
import random
import shutil
import socket
import struct
import subprocess
import zlib

import hpt
from common import result
from hpt import Hpte, Qemu, Table, first_pass, later_pass, qemu, raw
from tables import as_json, kernel, sample
from test_qemu import NOT_WRITTEN

# The same bytes in each run: a test that fails by chance can't be repeated
RANDOM = random.Random(1)

CONFIGURATION = (b"\x05\x1aconfiguration/capabilities" +
                 struct.pack(">II", 1, 1) + b"%c%s")


def capability(name):
    return CONFIGURATION % (len(name), name)


def extra(*numbers):
    return struct.pack(f">{len(numbers)}Q", *numbers)


MiB = 1 << 20


def ram_lists():
    """(name, configuration, blocks, end of the list)."""
    big, small = (b"ppc_spapr.ram", 512 * MiB), (b"vga.vram", 16 * MiB)
    shared = capability(b"x-ignore-shared")
    for name, configuration in ("", b""), (", named", shared):
        for at in (0, 0), (0, 0x200080000000), (0x7e0000, 1 << 40):
            yield (f"x-ignore-shared{name}, at {at[0]:x} and {at[1]:x}",
                   configuration, ((*big, extra(at[0])), (*small, extra(at[1]))),
                   (0x10,))
    for page in 12, 16, 21, 24, 30:
        for which in (1, 0), (0, 1), (1, 1):
            blocks = [(*block, extra(1 << page) if has else b"")
                      for block, has in zip((big, small), which)]
            yield (f"postcopy-ram, pages of 2^{page} in blocks {which}", b"",
                   blocks, (0x10,))
    yield ("postcopy-ram and x-ignore-shared", shared,
           ((*big, extra(2 * MiB, 0)), (*small, extra(MiB * 64))), (0x10,))
    yield ("postcopy-ram and x-ignore-shared in both", shared,
           ((*big, extra(2 * MiB, 0)), (*small, extra(2 * MiB, 0x80000000))),
           (0x10,))
    yield ("multifd", b"", ((*big, b""), (*small, b"")), (0x200, 0x10))
    yield ("postcopy-ram and multifd", b"",
           ((*big, extra(2 * MiB)), (*small, extra(1 << 16))), (0x200, 0x10))
    mapped = capability(b"mapped-ram")
    pair = (b"ppc_spapr.ram", 2 * MiB), (b"vga.vram", MiB)
    for page in 4096, 65536:
        yield (f"mapped-ram, pages of {page}", mapped,
               [(*block, hpt.mapped(block[1], page)) for block in pair], (0x10,))
    yield ("mapped-ram, moved", mapped,
           [(*block, hpt.mapped(block[1], gap=4096)) for block in pair],
           (0x10,))
    yield ("mapped-ram, a block that is not there", mapped,
           ((*pair[0], struct.pack(">IQQQ", 1, 4096, 0, 0)),
            (*pair[1], hpt.mapped(MiB))), (0x10,))
    yield ("mapped-ram and x-ignore-shared", mapped,
           [(*block, lambda s, n=block[1]: extra(0x100000) + hpt.mapped(
               n, gap=8)(s)) for block in pair], (0x10,))
    many = [(b"pc-dimm%d" % n, MiB, extra(1 << 21) if n % 3 else b"")
            for n in range(300)]
    yield "300 blocks", b"", many, (0x10,)


def reads(tool, name, data, table, options=(), error="", stdin=None, faults=()):
    """check, dump, map, list and diff must agree on the contents of a file."""
    file = tool.file("file", data)
    if stdin is not None:
        file = "-"
    problem = ""
    code, found, err = tool.json("check", file, *options, stdin=stdin)
    if [fault["fault"] for fault in found["faults"]] != list(faults):
        problem = f"faults {found['faults']}"
    elif code != bool(faults) or error not in err:
        problem = f"exit code {code} {err}"
    elif found["order"] != table.order:
        problem = f"order {found['order']}"
    code, found, err = tool.json("dump", file, *options, stdin=stdin)
    want = [as_json(table, *item) for item in sorted(table.hptes.items())]
    if code or found["order"] != table.order or found["hptes"] != want:
        problem = problem or (f"dump: {code} order {found['order']}, "
                              f"{len(found['hptes'])} HPTEs {err}")
    code, found, _ = tool.json("map", file, *options, stdin=stdin)
    if code or found["order"] != table.order or found["used"] != len(want):
        problem = problem or f"map: {found}"
    if stdin is None:
        code, found, _ = tool.json("list", file, *options)
        if code or found["order"] != table.order:
            problem = problem or f"list: {code} {found}"
        code, found, _ = tool.json("diff", file, file, *options)
        if code or found["same"] != len(want):
            problem = problem or f"diff: {found}"
    result(f"file: {name}", problem)


COMMANDS = ("check", "dump", "decode", "map", "list")


def refused(tool, name, data, text, options=(), commands=COMMANDS, **how):
    """Each command must identify the file, and exit with 3."""
    if isinstance(data, bytes):
        data = tool.file("file", data)
    problem = ""
    for command in commands:
        code, out, err = tool.run(command, data, *options, **how)
        if code != 3 or text not in err or "kvm-hpt " + command not in err:
            problem = problem or f"{command}: {code} {out[:200]} {err}"
        # More than one line would be a guess
        if len(err.splitlines()) != 1:
            problem = problem or f"{command}: {err}"
    result(f"no stream: {name}", problem)


def incomplete(tool):
    """HPTEs that KVM's first pass does not report are unknown, not invalid."""
    table = kernel(20)
    records = first_pass(table, most=20)
    text = "before the end of the HPT at 0x10000"
    for name, some in (("ends early", records[:9]),
                       ("lacks its last record", records[:-1])):
        for what, more in (("", []), (", with a later one",
                                      later_pass(table, sorted(table.hptes)[:2]))):
            refused(tool, f"a first pass that {name}{what}",
                    qemu(20, [some + more]), text, commands=("dump", "map"))
            code, out, _ = tool.run("check", "file")
            result(f"faulty: a first pass that {name}{what}", "" if code == 1 and
                   "the first pass" in out else out)
    lost(tool, table, records)
    stream = Qemu().begin(20).htab(4, records[:9] + records[10:])
    stream.more(4).add(struct.pack(">I", 22)).footer(4)
    reads(tool, "an empty HPT behind one of which a record is lost",
          stream.htab(4, first_pass(Table(22)), True).finish(), Table(22),
          faults=["the first pass leaves out HPTEs from "
                  f"{records[9][0]:#x}"])
    for name, stream in (
            ("HPT", Qemu().begin(20)),
            ("end", Qemu().begin(20).htab(4, first_pass(table))),
            ("order", Qemu().begin(0xffffffff))):
        stream.full(7, "cpu", bytes(100))
        for nr in 2, 100, 100000:
            refused(tool, f"a background snapshot with {nr} zeroes from its "
                    f"{name} on", stream.data + bytes(nr), NOT_WRITTEN,
                    commands=("dump", "map"))
            code, out, _ = tool.run("check", "file")
            result(f"faulty: a background snapshot with {nr} zeroes from its "
                   f"{name} on", "" if code == 1 and NOT_WRITTEN in out else out)
    stream = Qemu().begin(20).full(7, "cpu", bytes(100))
    reads(tool, "a background snapshot with a description of devices",
          stream.htab(4, first_pass(table)).add(
              b"\0\x06\0\0\0\x02{}").data, table)


def lost(tool, table, records):
    """What the first pass leaves out is unknown in each kind of stream."""
    first, gap = records[0][2], records[9][0]
    for name, some, index, text in (
            ("its first record", records[1:], 0, "doesn't begin at index 0x0"),
            ("its first records", records[3:], 0, "doesn't begin at index 0x0"),
            ("its second record", records[:1] + records[2:], first,
             f"leaves out HPTEs from {first:#x}"),
            ("three records", records[:9] + records[12:], gap,
             f"leaves out HPTEs from {gap:#x}")):
        for what, data, options in (
                ("QEMU's stream", qemu(20, [some]), []),
                ("two sections", qemu(20, [some[:5], some[5:]]), []),
                ("with a later pass", qemu(20, [some, later_pass(
                    table, sorted(table.hptes)[-5:])]), []),
                ("as read", raw(some), []),
                ("as read, with --order", raw(some), ["-O", 20])):
            name = f"a first pass that lacks {name}, {what}"
            code, out, err = tool.run("check", tool.file("file", data), *options)
            result(f"faulty: {name}", "" if code == 1 and text in out and
                   "1 fault\n" in out else out + err)
            if index or "QEMU" in what:
                refused(tool, name, data, "the first pass leaves out HPTEs from "
                        f"index {index:#x}", options, commands=("dump", "map"))
                for command in (["diff", "file"], ["find", "-v", "1", "-e", "0"]):
                    code, _, err = tool.run(*command, "file", *options)
                    result(f"no stream: {command[0]} of {name}", "" if code == 3 and
                           "leaves out" in err else f"{code} {err}")
    # Passes after the first one do not begin with the first HPTE, either
    text = (f"nothing is known of HPTEs before index {records[1][0]:#x}, where it "
            "begins")
    for options in [], ["-O", 20]:
        for what, more in ("", []), (", and a later pass", [(0, [], 2)]):
            code, found, err = tool.json("dump", tool.file(
                "file", raw(records[1:] + more)), *options)
            result(f"file: what a stream as read begins behind, {options}{what}", ""
                   if not code and text in err and found["order"] == 20 else
                   f"{code} {err}")
    later = sorted(later_pass(table, sorted(table.hptes)[:9]))
    code, _, err = tool.run("dump", tool.file("file", raw(
        later + [(0xffff, [], 1)])))
    result("file: no order follows from the end of later passes", "" if
           not code and "does not contain the order" in err else f"{code} {err}")
    for name, data in (("as read", raw(records[:9] + records[12:] + records)),
                       ("QEMU's stream", qemu(20, [records[:9] + records[12:],
                                                   records]))):
        code, found, err = tool.json("dump", tool.file("file", data))
        result(f"file: a record that is lost, but there when the first pass begins "
               f"again, {name}", "" if not code and
               len(found["hptes"]) == len(table.hptes) else f"{code} {err}")


def test_ram(tool):
    for name, configuration, blocks, end in ram_lists():
        stream = Qemu(configuration).begin(20, blocks=blocks, end=end)
        stream.htab(4, first_pass(sample(20)), True)
        reads(tool, name, stream.finish(), sample(20))


def test_machines(tool):
    """Machine types with different streams."""
    table = sample(20)
    for name, how in (("before 2.4", {"footers": False, "machine": b""}),
                      ("without footers", {"footers": False}),
                      ("without a configuration", {"machine": b""}),
                      ("pseries-rhel7.6.0-sxxm",
                       {"machine": b"pseries-rhel7.6.0-sxxm"})):
        stream = Qemu(**how).begin(20).htab(4, first_pass(table)[:9])
        stream.more(2).ram("zero", "page").footer(2)
        stream.htab(4, first_pass(table)[9:]).more(2, True).ram().footer(2)
        reads(tool, f"machine {name}", stream.htab(4, [], True).finish(), table)
    stream = Qemu(footers=False, machine=b"").begin(20)
    stream.start(9, "block", 1).add(b"x" * 100)
    refused(tool, "another section without footers",
            stream.htab(4, first_pass(table), True).finish(),
            "the end of section 'block' is unknown",
            commands=("dump", "decode", "map", "list"))
    for machine in b"pc-q35-8.2", b"powernv9", b"virt-7.2", b"s390-ccw-virtio-7.2":
        stream = Qemu(machine=machine)
        stream.start(2, "ram").add(bytes(8)).footer(2)
        refused(tool, f"a guest of {machine.decode()}", stream.finish(),
                f"of machine type '{machine.decode()}', which has no HPT")
    stream = Qemu(b"\x05\x15configuration/strange" + bytes(8)).begin(20)
    refused(tool, "an unknown part of the configuration", stream.finish(),
            "unknown part 'configuration/strange'",
            commands=("dump", "decode", "map", "list"))


def test_many_sections(tool):
    """Internal limits do not limit what can be read."""
    table = sample(20)
    for nr in 63, 64, 65, 1000, 70000:
        stream = Qemu()
        more = b"".join(
            b"\x01" + struct.pack(">IB", number, 5) + b"other" +
            struct.pack(">IIQBI", 0, 1, number, 0x7e, number)
            for number in range(100, 100 + nr))
        stream.add(more).begin(20).htab(4, first_pass(table), True)
        file = tool.file("file", stream.finish())
        code, out, err = tool.run("check", file)
        result(f"file: {nr} sections before", "" if not code and
               "order 20" in out else out + err)


NO_ORDER = ("HPT data without an order: the guest had no HPT before, it has "
            "rebooted meanwhile")


def test_other_flows(tool):
    table = sample(20)
    stream = Qemu().begin(20).htab(4, first_pass(table)).htab(4, [])
    stream.full(7, "cpu", bytes(100)).more(2).ram("zero").footer(2)
    reads(tool, "a background snapshot", stream.finish(), table)
    stream = Qemu().command(1).command(2, bytes(4)).command(3, bytes(16))
    stream.command(8).begin(20).htab(4, first_pass(table))
    stream.command(11).htab(4, [], True).command(7, struct.pack(">I", 9))
    stream.add(bytes(9))
    reads(tool, "commands of postcopy, COLO and switchover-ack",
          stream.finish(), table)
    stream = Qemu().begin(20)
    stream.command(7, struct.pack(">I", 9)).add(b"\x03" * 9)
    reads(tool, "a package before the HPT",
          stream.htab(4, first_pass(table), True).finish(), table)
    whole = qemu(20, [first_pass(table)])
    for name, behind in (("zeroes", bytes(5000)), ("text", b"text\n"),
                         ("another stream", qemu(20, [first_pass(kernel(20))])),
                         ("JSON", b"\x06" + struct.pack(">I", 2) + b"{}")):
        reads(tool, f"{name} behind a stream", whole + behind, table)
    reads(tool, "an empty HPT of QEMU's own", qemu(20, [[]]), Table(20))
    reads(tool, "an empty HPT of QEMU's own in a snapshot",
          hpt.qcow2([("one", qemu(22, [[], []]))]), Table(22))
    late = Table(20)
    late.enter(Hpte(0x10, 0, 0))
    late.enter(Hpte(0x700, 0, 0))
    first, last = sorted(late.hptes)
    reads(tool, "QEMU's own HPT, whose later passes have larger indexes",
          qemu(20, [later_pass(late, [first]), [(last, [late.words(last)], 0)],
                    [(last + 8, [], 3)]]), late)
    own_empty(tool)
    refused(tool, "an empty HPT whose first pass is not complete",
            qemu(22, [first_pass(Table(20))[:-1]]), "neither an HPTE",
            commands=("dump", "map"))
    incomplete(tool)
    reads(tool, "an empty HPT of KVM", qemu(24, [first_pass(Table(24))]),
          Table(24))
    for name, headers in (("radix from the beginning", (0xffffffff,) * 3),
                          ("radix later", (20, 0xffffffff, 0xffffffff)),
                          ("radix at the end", (20, 20, 0xffffffff))):
        stream = Qemu().begin(headers[0])
        if headers[1] == 20:
            stream.htab(4, first_pass(table))
        else:
            stream.more(4).add(struct.pack(">I", headers[1])).footer(4)
        stream.more(4, True).add(struct.pack(">I", headers[2])).footer(4)
        data = stream.finish()
        refused(tool, name, data, "the guest has no HPT",
                commands=("dump", "decode", "map"))
        code, out, _ = tool.run("check", tool.file("file", data))
        result(f"file: check of {name}", "" if not code and
               out.startswith("no HPT\n") else out)
        _, found, _ = tool.json("check", "file")
        result(f"file: no order of {name}", "" if found["order"] is None
               else found["order"])
    stream = Qemu().begin(0xffffffff).htab(4, first_pass(table), True)
    faulty(tool, "an HPT after radix", stream.finish(), [NO_ORDER], False)


def own_empty(tool):
    """If QEMU's own HPT is empty at first, the first list has no record. Those of
    later passes leave out HPTEs that have not changed, not invalid ones."""
    table = kernel(20)
    table.hptes = {index: table.hptes[index] for index in sorted(table.hptes)[:9]}
    later = [(index, words, 3)
             for index, words, _ in later_pass(table, table.hptes)]
    for name, lists in (
            ("HPTEs and removed ones", [later]),
            ("removed ones first", [[(0, [], 5), *later]]),
            ("removed ones only", [[(0, [], 5)], later]),
            ("more empty lists", [[], [], later]),
            ("a list for each record", [[one] for one in later])):
        reads(tool, f"QEMU's own HPT, empty at first, then {name}",
              qemu(20, [[], *lists]), table)
    small = Table(18)
    index = small.enter(Hpte(0x10, 0, 0))
    reads(tool, "QEMU's own HPT, empty at first, then as a first pass begins",
          qemu(18, [[], [(0, [], index), (index, [small.words(index)], 2)]]),
          small)
    first = Table(20)
    for slot in range(8):
        first.hptes[slot] = Hpte(slot << 13, 0, slot << 16, seg=28)
    passes = [(0, [first.words(slot) for slot in range(8)], 0)]
    reads(tool, "QEMU's own HPT, whose first pass ends in the first group",
          qemu(20, [passes]), first)
    for name, index in ("another group", 64), ("the next slot", 8):
        first.hptes[index] = Hpte(index // 8, 0, 1 << 20, seg=28)
        reads(tool, "QEMU's own HPT, whose first pass ends in the first group, then "
              f"{name}", qemu(20, [passes, [(index, [first.words(index)], 2)]]),
              first)
        del first.hptes[index]
        reads(tool, "QEMU's own HPT, whose first pass ends in the first group, then "
              f"a removed one in {name}", qemu(20, [passes, [(index, [], 1)]]),
              first)
    full = Table(20)
    for slot in range(200):
        full.hptes[slot] = Hpte(slot >> 3 | slot % 8 << 13, 0, 0, base=12, seg=28)
    records = first_pass(full)
    refused(tool, "a first pass of KVM that begins with more HPTEs than a buffer",
            qemu(20, [[(0, records[0][1], 0)], [(200, [], 900)]]),
            "the first pass ends at index 0x44c", commands=("dump", "map"))
    stream = Qemu().begin(22).htab(4, first_pass(sample(22)))
    stream.more(4).add(struct.pack(">I", 20)).footer(4)
    reads(tool, "QEMU's own HPT, empty after it was replaced",
          stream.htab(4, []).htab(4, later, True).finish(), table)


def faulty(tool, name, data, faults, read=True):
    """check must find these; the others read it, or none of them does, or,
    if that is None, are not tested."""
    file = tool.file("file", data)
    code, found, err = tool.json("check", file)
    got = [fault["fault"] for fault in found["faults"]]
    problem = "" if code == bool(faults) and got == faults else \
        f"{code} {got} {err}"
    if len(faults) == 1 and read is not None:
        for command in "dump", "map", "list":
            code, out, err = tool.run(command, file)
            if code != (0 if read else 3):
                problem = problem or f"{command}: {code} {out[:200]} {err}"
            if faults[0] not in err and "meanwhile" not in err:
                problem = problem or f"{command}: {err}"
    result(f"faulty: {name}", problem)


def test_one_line(tool):
    """A single cause is reported as a single fault."""
    table = kernel(20)
    records = first_pass(table, most=20)
    for nr in 0, 1, 5, len(records):
        stream = Qemu().begin(20).more(4).add(bytes(4))
        stream.records(records[:nr], b"").footer(4)
        stream.htab(4, records[nr:], True)
        faulty(tool, f"no end marker after {nr} records", stream.finish(),
               ["index 2113929216 (0x7e000000) is a section footer: the list of "
                "records has no end marker"])
    stream = Qemu(footers=False, machine=b"").begin(20).more(4).add(bytes(4))
    stream.records(records[:5], b"").more(2).ram("zero")
    stream.htab(4, records[5:], True)
    faulty(tool, "no end marker and no footers", stream.finish(),
           ["index 33554432 (0x2000000) is a section head: the list of records "
            "has no end marker"])
    unmarked(tool, records)
    little = ("record headers are little-endian, as written by QEMU before "
              "2.2: later QEMUs refuse them")
    for how in {}, {"footers": False, "machine": b""}:
        for passes in ([records], [records[:9], records[9:]], [[], records]):
            sizes = " and ".join(str(len(part)) for part in passes)
            stream = Qemu(endian="<", **how).begin(20)
            for part in passes[:-1]:
                stream.htab(4, part)
            stream.htab(4, passes[-1], True)
            faulty(tool, f"{sizes} little-endian headers, {how}",
                   stream.finish(), [little])
    little_endian(tool, little)
    for order, other in ((20, 18), (20, 19), (20, 21), (20, 22), (24, 20),
                         (18, 24), (20, 36)):
        text = (f"from here on this is an HPT of order {other}, not {order} as "
                "its header says: the guest has rebooted or resized its HPT "
                "meanwhile")
        for what, make in (("a kernel", kernel), ("all kinds", wide)):
            data = qemu(order, [first_pass(make(other), most=99)])
            faulty_check(tool, f"{what} of order {other} in a stream of order "
                         f"{order}", data, [text])
            data = qemu(order, [first_pass(make(order)),
                                later_pass(make(other), make(other).hptes)])
            faulty_check(tool, f"{what} of order {order}, then {other}", data,
                         [text])
    faulty_check(tool, "an empty HPT that is larger",
                 qemu(20, [first_pass(Table(22))]),
                 ["from here on this is an HPT of order 22, not 20 as its header "
                  "says: the guest has rebooted or resized its HPT meanwhile"])
    first = qemu(20, [records[:9], records[9:]])
    text = ("another QEMU stream begins here: the previous one was cancelled "
            "or cut off")
    end = first.index(b"\x03\0\0\0\x04")
    # Some are in the middle of records
    for cut in (8, 16, 40, 70, 120, 300, 4300, 4428, 4730, 4881, 5032, 5334,
                5485, 5938, 6542, end - 400, end - 100, end - 3, end, end + 5,
                end + 9, end + 50):
        for command in "check", "dump":
            tool.file("file", first[:cut] + first)
            code, out, err = tool.run(command, "file")
            good = (code == (1 if command == "check" else 3) and
                    text in out + err and
                    len((out + err).splitlines()) == (4 if command == "check"
                                                      else 1) and
                    f"byte {cut}" in out + err)
            result(f"faulty: {command} of a stream behind one that is cut at "
                   f"{cut}", "" if good else out + err)


def unmarked(tool, records):
    """No end marker in any list, in various places."""
    footer = ("index 2113929216 (0x7e000000) is a section footer: the list of "
              "records has no end marker")
    head = ("index {0} ({0:#x}) is a section head: the list of records has no end "
            "marker")
    for order in 20, 34, 35, 36:
        many = first_pass(wide(order, 9))[-9:] if order > 20 else records
        options = ["-l"] if order > 20 else []
        for how, text, first in (({}, footer, 2), ({}, footer, 999),
                                 ({"footers": False, "machine": b""},
                                  head.format(2 << 24), 2),
                                 ({"footers": False, "machine": b""},
                                  head.format(4 << 24), 999)):
            stream = Qemu(**how).begin(order)
            for at in range(0, len(many), first):
                stream.more(4, at + first >= len(many)).add(bytes(4))
                stream.records(many[at:at + first], b"").footer(4)
            for what, data in (("", stream.data),
                               (", and others", stream.finish())):
                # Without footers, a list that ends with the file has no head behind
                if how and not what:
                    continue
                code, found, _ = tool.json("check", tool.file("file", data),
                                           *options)
                got = [fault["fault"] for fault in found["faults"]]
                result(f"faulty: no end marker in sections of {first} records, order "
                       f"{order} {how}{what}", "" if code == 1 and got == [text] else
                       f"{code} {found}")
                code, _, err = tool.run("decode", "file")
                result(f"faulty: decode without end markers in sections of {first} "
                       f"records, order {order} {how}{what}", "" if not code and
                       text in err and len(err.splitlines()) == 1 else
                       f"{code} {err}")
    # A record beyond the end that begins like a section, but without a name
    words = [Hpte(8 + n, 0, 0).words() for n in range(3)]
    _, out, _ = tool.run("check", "-H", tool.file("file", Qemu(
        footers=False, machine=b"").begin(20).htab(
            4, [*records, (4 << 24, words, 0)], True).finish()))
    result("faulty: a record beyond the end, as a section begins", "" if
           "begins past the end" in out and "end marker" not in out else out)
    for order, some in (20, records), (36, []):
        stream = Qemu().begin(order).more(4, True).add(bytes(4))
        stream.records(some, b"").footer(4)
        for behind in b"", b"\x07", b"Q", b"QEVM\0\0\0\3":
            faulty(tool, f"no end marker in order {order}, and {behind} behind the "
                   "footer", stream.data + behind, [footer], order == 20 or None)


def with_pages(order, nr=100, strange=()):
    """(stream, places in it) with more pages of RAM than the look ahead has, of
    which each begins with @strange, and an HPT of short records."""
    pages = random.Random(3)
    records = first_pass(wide(order, 3000), most=4)
    half = len(records) // 2
    stream = Qemu().begin(order, ram=("zero",)).more(2)
    stream.mark("pages")
    for page in range(nr):
        stream.add(struct.pack(">Q", 0x1000000 + page * 4096 | (0x28 if page else 8)))
        stream.add(b"" if page else b"\x07ppc_ram")
        stream.add((b"".join(strange) + pages.randbytes(4096))[:4096])
    stream.add(extra(0x10)).footer(2).htab(4, records[:half])
    stream.mark("middle")
    stream.more(2).ram("zero").footer(2)
    return stream.htab(4, records[half:], True).finish(), stream.at


def test_appended(tool):
    """A pipe or a compressed image is read once, and gives the same result."""
    one, at = with_pages(24)
    text = ("another QEMU stream begins here: the previous one was cancelled "
            "or cut off")
    footer = [Qemu.LURE]
    magic = [one[:8]]
    for name, other, begin, cuts in (
            ("the same", one, one, (
                at["pages"] + 100, at["middle"] - 9, at["middle"] - 100,
                at["middle"] - 30000, at["middle"] - 30003, at["middle"] + 3,
                len(one) - 9000)),
            ("an HPT of another order", with_pages(22)[0], one,
             (at["pages"] + 4000, at["middle"] - 8000)),
            ("what looks like footers in RAM", with_pages(24, 100, footer)[0],
             with_pages(24, 100, footer)[0],
             (at["pages"] + 4000, at["pages"] + 300000, at["middle"] - 8000)),
            ("its first bytes in RAM as well", one, with_pages(24, 100, magic)[0],
             (at["middle"] - 8000,))):
        for cut in cuts:
            data = begin[:cut] + other
            tool.file("file", data)
            tool.file("image", hpt.libvirt(gzip.compress(data, 1), form=1))
            for command, want in ("check", 1), ("dump", 3):
                found = [tool.run(command, *how) for how in (["file"], ["image"])]
                found.append(tool.run(command, "-", stdin=data))
                good = all(code == want and f"byte {cut}" in out + err and
                           text in out + err and
                           len((out + err).splitlines()) == (4 if want == 1 else 1)
                           for code, out, err in found)
                result(f"faulty: {command} of {name} behind one that is cut at "
                       f"{cut}, in a pipe", "" if good else found)
    for strange in footer, magic:
        data = with_pages(20, 100, strange)[0]
        reads(tool, f"{strange} in each page of RAM, from a pipe", data,
              wide(20, 3000), stdin=data)
    # Behind other data, it is not taken for another stream itself
    for name, data, options in (
            ("libvirt", hpt.libvirt(one[:at["pages"] - 60]), []),
            ("libvirt, in its configuration", hpt.libvirt(one[:16]), []),
            ("--offset", bytes(50) + one[:16], ["-F", 50])):
        code, out, _ = tool.run("check", tool.file("file", data), *options)
        result(f"faulty: a stream that is cut off, {name}", "" if code == 1 and
               "ends too early" in out else out)


def little_lists():
    """(name, lists of records, their table): of which some can be read in both
    byte orders, or are short."""
    table = kernel(20)
    records = first_pass(table, most=20)
    yield "one record in each section", [[one] for one in records], table
    yield ("two records in each section",
           [records[at:at + 2] for at in range(0, len(records), 2)], table)
    yield "an empty HPT", [first_pass(Table(20))], Table(20)
    yield ("an empty HPT and a later pass",
           [first_pass(Table(20)), later_pass(table, table.hptes)], table)
    yield ("QEMU's own HPT",
           [[(index, words, 0) for index, words, _ in records if words]], table)
    yield ("a list longer than is looked at", [
        later_pass(huge := wide(24, 6000), huge.hptes)], huge)
    yield ("a first pass longer than is looked at",
           [first_pass(large := wide(24, 12000))], large)


def little_endian(tool, text):
    for how in {}, {"footers": False, "machine": b""}:
        for name, lists, table in little_lists():
            stream = Qemu(endian="<", **how).begin(table.order)
            for part in lists[:-1]:
                stream.htab(4, part)
            data = stream.htab(4, lists[-1], True).finish()
            faulty(tool, f"little-endian headers, {name}, {how}", data, [text])
            _, found, _ = tool.json("dump", tool.file("file", data))
            result(f"file: little-endian headers, {name}, {how}", "" if
                   found["order"] == table.order and
                   [hpte["index"] for hpte in found["hptes"]] ==
                   sorted(table.hptes) else found)
            _, little, _ = tool.json("check", "file")
            stream = Qemu(**how).begin(table.order)
            for part in lists[:-1]:
                stream.htab(4, part)
            data = stream.htab(4, lists[-1], True).finish()
            reads(tool, f"big-endian headers, {name}, {how}", data, table)
            _, big, _ = tool.json("check", tool.file("file", data))
            got, want = ([found[key] for key in ("records", "passes", "valid",
                                                 "invalid")]
                         for found in (little, big))
            result(f"file: numbers of little-endian headers, {name}, {how}", "" if
                   got == want else f"{got} {want}")
    little_and_more(tool, text)


def little_and_more(tool, text):
    """Little-endian headers, and another fault."""
    records = first_pass(kernel(20), most=20)
    larger = ("from here on this is an HPT of order 22, not 20 as its header says: "
              "the guest has rebooted or resized its HPT meanwhile")
    old = {"footers": False, "machine": b"", "endian": "<"}
    new = {"endian": "<"}
    for how in old, new:
        for name, table in ("a kernel", kernel(22)), ("an empty HPT", Table(22)):
            data = Qemu(**how).begin(20).htab(4, first_pass(table), True).finish()
            faulty(tool, f"little-endian headers, {name} that is larger, {how}",
                   data, [text, larger])
        kind = "a section footer" if how is new else "a section head"
        for parts in ([records[:30], records[30:]], [records],
                      [records[:1], records[1:2], records[2:]],
                      [[record] for record in records]):
            stream = Qemu(**how).begin(20)
            for nr, part in enumerate(parts, 1):
                stream.more(4, nr == len(parts)).add(bytes(4)).records(part, b"")
                stream.footer(4)
            code, found, _ = tool.json("check", tool.file("file", stream.finish()))
            got = sorted(fault["fault"] for fault in found["faults"])
            result(f"faulty: little-endian headers, no end marker in {len(parts)} "
                   f"sections, {how}", "" if code == 1 and len(got) == 2 and
                   f"is {kind}" in got[0] and got[1] == text and
                   found["invalid"] == sum(record[2] for record in records) else
                   found)
    lost = first_pass(kernel(20), most=20)
    del lost[9]
    data = Qemu(**new).begin(20).htab(4, lost[:1]).htab(4, lost[1:2]).htab(
        4, lost[2:], True).finish()
    gap = f"the first pass leaves out HPTEs from {records[9][0]:#x}"
    faulty(tool, "little-endian headers, a record is lost", data, [text, gap])
    code, _, err = tool.run("dump", "file")
    result("no stream: dump of little-endian headers, a record is lost", "" if
           code == 3 and f"from index {records[9][0]:#x}" in err else err)
    # The first HPTE that tells the byte order is looked at closely
    table = Table(20)
    for vsid in 0x1c00, 0x1800:
        table.enter(Hpte(vsid, 0, 0, base=24, seg=28, secondary=True))
    stream = Qemu(**new).begin(20)
    first, *others = first_pass(table)
    faulty(tool, "little-endian headers, a large page in the second section",
           stream.htab(4, [first]).htab(4, others, True).finish(), [text])
    # Records that look like the head of a section, or like a footer
    for how, index in (old, 2), (new, 0x7e):
        table = Table(20)
        for slot in range(4):
            table.hptes[index + slot] = Hpte(index + slot >> 3 | slot << 13, 0, 0,
                                             base=12, seg=28)
        faulty(tool, f"little-endian headers, a record at {index}", Qemu(
            **how).begin(20).htab(4, first_pass(table), True).finish(), [text])


def test_damaged_early(tool):
    """What is wrong in the look ahead doesn't keep it from being a stream."""
    table = kernel(20)
    records = raw(first_pass(table, most=20))
    for name, data, begin, text in (
            ("others in another byte order behind them", records + raw(
                first_pass(table, most=20), ">"), len(records) + 8,
             "bytes of a record"),
            ("others, which are cut, before them", records[:1005] + records,
             1008, "bytes of a record"),
            ("QEMU's stream behind them", records + qemu(20, [first_pass(table)]),
             len(records), "a stream of QEMU's begins here instead of a record")):
        code, found, _ = tool.json("check", tool.file("file", data))
        faults = found["faults"]
        result(f"faulty: records with {name}", "" if code == 1 and
               [fault["byte"] for fault in faults] == [begin] and
               text in faults[0]["fault"] else f"{code} {faults}")
        for command in "dump", "map", "list":
            code, _, err = tool.run(command, "file")
            result(f"no stream: {command} of records with {name}", "" if
                   code == 3 and text in err else f"{code} {err}")


def test_names(tool):
    """Messages name the file, and what is wrong with the command line."""
    table = kernel(20)
    part = raw(later_pass(table, table.hptes))
    for command in (["dump", "-"], ["decode", "-"], ["map", "-"],
                    ["find", "-v", "1", "-e", "1", "-"]):
        _, _, err = tool.run(*command, stdin=part)
        result(f"file: {command[0]} names the standard input", "" if
               "standard input does not contain the order" in err else err)
    tool.file("qemu", qemu(20, [first_pass(table)]))
    tool.file("text", hpt.debugfs(table, True))
    for name in "qemu", "text":
        code, out, err = tool.run("check", "-s", 5, name)
        result(f"usage: check --start of {name}", "" if code == 2 and not out and
               f"which {name} is not" in err else f"{code} {out} {err}")
    for name, data in (("KVM's", [first_pass(Table(20))]), ("QEMU's own", [[]])):
        tool.file("empty", qemu(20, data))
        for command in "dump", "decode":
            codes = [tool.run(command, *option, "empty")[0] for option in (
                [], ["-v", "1"], ["-b"], ["-r", "7"])]
            result(f"nothing matches: {command} of {name} empty HPT", "" if
                   codes == [0, 1, 1, 1] else codes)
    codes = [tool.run(command, "-i", "5", "empty")[0]
             for command in ("dump", "decode")]
    result("nothing matches: an index of an empty HPT", "" if codes == [1, 1] else
           codes)


def test_behind(tool):
    """What follows the stream that is read."""
    table = kernel(20)
    whole = qemu(20, [first_pass(table)])
    text = f"another QEMU stream, which begins at byte {len(whole)}, is not read"
    tool.file("two", whole + qemu(22, [first_pass(kernel(22))]))
    for command in COMMANDS:
        for how in {}, {"stdin": whole * 2}:
            code, _, err = tool.run(command, "-" if how else "two", **how)
            result(f"file: {command} of two streams {'in a pipe' if how else ''}",
                   "" if not code and text in err and len(err.splitlines()) == 1
                   else f"{code} {err}")
    records = first_pass(table, most=20)
    for name, behind in ("QEMU's stream", whole), ("zeroes", bytes(99)):
        _, found, _ = tool.json("check", tool.file("file", raw(records) + behind))
        result(f"file: the order of records before {name}", "" if
               found["order"] == 20 and found["count"] == 1 else found)
    worse = kernel(20)
    worse.hptes[0] = Hpte(0x777, 0, 0, base=24, seg=28)
    _, found, _ = tool.json("check", tool.file("file", raw(first_pass(
        worse)) + whole))
    result("file: a group of records before QEMU's stream", "" if found["count"] == 2
           else found)


def test_grown(tool):
    """The HPT is replaced by a larger one in its first pass."""
    for old, new in (20, 22), (20, 21), (19, 24):
        few = wide(old, 40)
        before = first_pass(few)
        half = [record for record in before if record[0] < few.nr // 2]
        index = half[-1][0] + len(half[-1][1]) + half[-1][2]
        data = raw(half + first_pass(kernel(new), index))
        code, found, _ = tool.json("check", tool.file("file", data))
        faults = [fault["fault"] for fault in found["faults"]]
        result(f"faulty: an HPT of order {old} that grows to {new} in the first pass",
               "" if code == 1 and len(faults) == 1 and
               f"of order {old}, not {new} as the first pass says" in faults[0]
               else found)


def test_debugfs_lines(tool):
    table = kernel(18)
    reads(tool, "debugfs with the ends of lines of another system",
          hpt.debugfs(table, True).replace(b"\n", b"\r\n"), table, ["-O", "18"])


def wide(order, nr=200):
    """HPTEs in all of an HPT."""
    table = Table(order)
    for n in range(nr):
        table.enter(Hpte(n * 0x1357924681 & (1 << 38) - 1, n << 20, n << 16,
                         secondary=n % 5 == 0))
    return table


def faulty_check(tool, name, data, faults):
    file = tool.file("file", data)
    code, found, err = tool.json("check", file)
    got = [fault["fault"] for fault in found["faults"]]
    result(f"faulty: {name}", "" if code == 1 and got == faults and
           found["count"] == len(faults) else f"{code} {found['count']} {got} {err}")


def test_libvirt(tool):
    table = sample(20)
    stream = qemu(20, [first_pass(table)])
    for order in "<", ">":
        for version in 1, 2:
            for xml in b"<x/>\0", b"<x/>\0".ljust(70000, b"\0"):
                reads(tool, f"libvirt {order} version {version}, {len(xml)} "
                      "bytes of XML",
                      hpt.libvirt(stream, order, version, xml=xml), table)
    reads(tool, "libvirt, unfinished",
          hpt.libvirt(stream, magic=b"LibvirtQemudPart"), table)
    reads(tool, "libvirt, sparse", hpt.libvirt(bytes(5000) + stream, form=6),
          table)
    pack = {1: ("gzip", gzip.compress), 2: ("bzip2", bz2.compress),
            3: ("xz", lzma.compress), 4: ("lzop", None), 5: ("zstd", None)}
    for form, (program, compress) in pack.items():
        if not shutil.which(program):
            refused(tool, f"libvirt, {program} that is not there",
                    hpt.libvirt(stream, form=form), "not installed",
                    commands=("check", "dump"))
            continue
        data = compress(stream) if compress else subprocess.run(
            [program, "-c"], input=stream, capture_output=True,
            check=True).stdout
        image = hpt.libvirt(data, form=form)
        reads(tool, f"libvirt, {program}", image, table)
        reads(tool, f"libvirt, {program}, from a pipe", image, table,
              stdin=image)
        for cut in 0, 1, len(data) // 2:
            file = tool.file("file", hpt.libvirt(data[:cut], form=form))
            codes = {tool.run(command, file)[0] for command in COMMANDS}
            result(f"no stream: libvirt, {program}, cut after {cut}",
                   "" if codes <= {1, 3} and 3 in codes else codes)
    damaged = Qemu().begin(20).more(4).add(bytes(4))
    damaged.records(first_pass(table), b"").footer(4)
    data = gzip.compress(damaged.htab(4, [], True).finish())
    faulty(tool, "libvirt, no end marker, and data cut off behind that",
           hpt.libvirt(data[:-1], form=1), [
               "index 2113929216 (0x7e000000) is a section footer: the list of "
               "records has no end marker"])
    refused(tool, "libvirt, no such program", hpt.libvirt(stream, form=5),
            "not installed", PATH="/nonexistent", commands=("check", "dump"))
    refused(tool, "libvirt of version 3", hpt.libvirt(stream, version=3),
            "of version 3, not 1 or 2")
    refused(tool, "libvirt in format 9", hpt.libvirt(stream, form=9),
            "in format 9")
    image = hpt.libvirt(stream)
    for cut in range(1, 140):
        codes = {tool.run(command, tool.file("file", image[:cut]))[0]
                 for command in ("check", "dump")}
        if codes != {3}:
            result(f"no stream: libvirt cut after {cut}", codes)
            break
    else:
        result("no stream: libvirt cut anywhere in its header and XML")
    refused(tool, "libvirt with text in it", hpt.libvirt(b"text\n" * 9),
            "but its contents are text")


def test_qcow2(tool):
    table = sample(20)
    states = [("one", qemu(20, [first_pass(kernel(20))])),
              ("two", qemu(20, [first_pass(table)]))]
    GiB = 1 << 30
    for name, how in (
            ("shrunk", {"disk": 3 * GiB, "now": GiB}),
            ("shrunk to nothing", {"disk": 3 * GiB, "now": 1}),
            ("grown", {"disk": GiB, "now": 3 * GiB}),
            ("grown beyond what a table has", {"disk": GiB, "now": 1 << 40}),
            ("of another size within a table", {"disk": 5000, "now": 9000}),
            ("without a size of its own", {"extra_bytes": 8}),
            ("with the number of instructions", {"extra_bytes": 24}),
            ("without extra data", {"extra_bytes": 0}),
            ("of half a size", {"extra_bytes": 4}),
            ("of extended entries", {"extended": True}),
            ("of extended entries, shrunk",
             {"extended": True, "disk": 3 * GiB, "now": GiB}),
            ("of extended entries, small clusters",
             {"extended": True, "cluster_bits": 14}),
            ("marked dirty", {"incompatible": 1}),
            ("marked corrupt", {"incompatible": 2}),
            ("compressed by zstd", {"incompatible": 8}),
            ("of version 2", {"version": 2}),
            ("behind clusters of the disk", {"disk_clusters": 99})):
        reads(tool, f"an image {name}", hpt.qcow2(states, **how), table)
    for number, want in ((("1", kernel(20)), ("one", kernel(20)), ("2", table),
                          ("two", table))):
        reads(tool, f"snapshot {number}", hpt.qcow2(states), want, ["-S", number])
    reads(tool, "a snapshot whose name is another one's number",
          hpt.qcow2([("2", states[0][1]), states[1]]), kernel(20), ["-S", "2"])
    name = "n" * 1000
    reads(tool, "a snapshot with a long name",
          hpt.qcow2([(name, states[0][1]), states[1]]), kernel(20), ["-S", name])
    reads(tool, "1000 snapshots", hpt.qcow2(
        [(f"old{n}", b"") for n in range(999)] + states[1:]), table)
    reads(tool, "an image inside of a file",
          bytes(4096) + hpt.qcow2(states), table, ["--offset", "4096"])
    for what, options, text in (
            ("none", ["-S", "three"], "no snapshot of this name"),
            ("one of the disk only", ["-S", "0disk"], "no state of a VM")):
        refused(tool, f"snapshot: {what}",
                hpt.qcow2([("0disk", b""), *states]), text, options)
    twins = [("one", states[1][1]), ("one", states[0][1])]
    reads(tool, "the first of two snapshots of this name", hpt.qcow2(twins), table,
          ["-S", "one"])
    reads(tool, "the last of two snapshots of this name", hpt.qcow2(twins),
          kernel(20))
    for extra_bytes in 0, 16, 24:
        reads(tool, f"an image of version 2 with {extra_bytes} more bytes",
              hpt.qcow2(states, version=2, old_extra=extra_bytes, disk=3 * GiB,
                        now=3 * GiB if extra_bytes < 16 else GiB), table)
    image = hpt.qcow2(states)
    for where, number, text in ((32, 2, "(LUKS)"), (32, 1, "(AES)"),
                                (72, 4, "external data file"),
                                (72, 32, "unknown incompatible")):
        size = 4 if where == 32 else 8
        data = image[:where] + number.to_bytes(size, "big") + image[where + size:]
        refused(tool, f"an image with {number} at {where}", data, text)
    refused(tool, "an image from a pipe", "-", "from a pipe", stdin=image)
    refused(tool, "an image of another guest", hpt.qcow2([("one", b"text" * 9)]),
            "but its contents are text")


def magics():
    """(name, first bytes, message)."""
    pad = RANDOM.randbytes(3000)
    yield "an ELF core", b"\x7fELF\x02\x01\x01" + pad, "ELF"
    yield "a kdump-compressed dump", b"KDUMP   \6\0\0\0" + bytes(4000), "kdump"
    yield "a flattened dump", b"makedumpfile\0\0\0\0" + pad, "makedumpfile"
    data = raw(first_pass(sample(20)))
    yield "gzip", gzip.compress(data), "zcat FILE"
    yield "xz", lzma.compress(data), "xzcat FILE"
    yield "bzip2", bz2.compress(data), "bzcat FILE"
    yield "zstd", b"\x28\xb5\x2f\xfd" + pad, "zstdcat FILE"
    yield "lz4", b"\x04\x22\x4d\x18" + pad, "lz4cat FILE"
    yield "lzop", b"\x89LZO\0\r\n\x1a\n" + pad, "lzop -dc FILE"
    yield "LUKS", b"LUKS\xba\xbe\0\2" + bytes(4000), "LUKS"
    yield "VMDK", b"KDMV\1\0\0\0" + bytes(4000), "VMDK"
    yield "VDI", b"<<< QEMU VM Virtual Disk Image >>>\n".ljust(64, b"\0") + \
        b"\x7f\x10\xda\xbe" + bytes(4000), "VDI"
    yield "QED", b"QED\0" + bytes(4000), "QED"
    yield "VHD", b"conectix" + bytes(4000), "VHD"
    yield "VHDX", b"vhdxfile" + pad, "VHDX"
    yield "a raw disk", b"\xeb\x63\x90" + pad[:507] + b"\x55\xaa" + pad, "raw disk"
    yield "qcow version 1", b"QFI\xfb\0\0\0\1" + pad, "neither 2 nor 3"
    yield "another channel of multifd", b"\x11\x22\x33\x44\0\0\0\1" + pad, "multifd"
    yield "a live update", b"QCPR\0\0\0\1" + pad, "CPR"
    yield "zeroes", bytes(100000), "zeroes"
    yield "a few zeroes", bytes(16), "zeroes"
    yield "text", b"qemu-system-ppc64: migration failed\n" * 50, "text"
    yield "a line of text", b"x\n", "text"
    yield "text in UTF-8", "Größe\n".encode() * 10, "text"
    yield "JSON", b'{"execute": "quit"}\n', "text"
    yield ("text about QEMU's magic number", b"QEVM is the magic number of QEMU's "
           b"stream.\n", "not a stream: it is text")
    yield "text with deletes", b"page\x0cfoo\x7f\n" * 30, "it is text\n"
    for name in "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be":
        yield (f"{name} without a mark", "A line of text.\n".encode(name) * 50,
               f"it is text in {name[:6].upper()}")
    for name in "utf-32-le", "utf-32-be":
        yield (f"{name} with a mark", "\ufeffA line\n".encode(name) * 50,
               "it is text in UTF-32")
    yield "numbers in hexadecimal", b"dead beef cafe 0123\n" * 9, "text"
    yield "text in Chinese", "页表\n".encode() * 99, "text"
    for byte in b"\xff", b"\x01", b"\x80", b"\xa5":
        for nr in 2, 8, 5000, 100000:
            yield (f"{nr} bytes of {byte.hex()}", byte * nr,
                   "one byte over and over")
    stream = qemu(20, [first_pass(sample(20))])
    for nr, before in (512, bytes(512)), (77, pad[:77]), (4096, pad[:4] * 1024):
        yield (f"{nr} bytes before a stream", b"\1" + before[1:] + stream,
               f"a QEMU stream begins in it: use --offset={nr}\n")
    yield "compress", b"\x1f\x9d\x90" + pad, "zcat FILE"
    yield "7z", b"7z\xbc\xaf\x27\x1c" + pad, "7z"
    yield "RPM", b"\xed\xab\xee\xdb" + pad, "RPM"
    yield "ar", b"!<arch>\n" + pad, "Debian"
    yield "VMA", b"VMA\0" + pad, "Proxmox"
    yield "squashfs", b"hsqs" + pad, "squashfs"
    for magic in b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\n\r\r\n":
        yield f"packets, {magic.hex()}", magic + pad, "network packets"
    for name, at, magic, text in (
            ("GPT", 512, b"EFI PART", "raw disk"),
            ("LVM", 512, b"LABELONE", "LVM"), ("swap", 4086, b"SWAPSPACE2", "swap"),
            ("swap with pages of 64K", 65526, b"SWAPSPACE2", "swap"),
            ("a DVD", 32769, b"CD001", "DVD")):
        yield name, b"\xeb".ljust(at, b"\0") + magic + bytes(70000), text
    for start, text in (
            (b"PK\5\6", "a zip archive"), (b"PK\7\x08", "a zip archive"),
            (b"Rar!\x1a\7", "RAR"), (b"MSCF\0\0\0\0", "CAB"),
            (b"070702", "cpio"), (b"070707", "cpio"), (b"LRZI", "lrzip -dq"),
            (b"\xff\6\0\0sNaPpY", "Snappy"), (b"PAGEDU64", "of Windows"),
            (b"PAGEDUMP", "of Windows"), (b"\xff" * 8 + b"XENF", "Xen"),
            (b"LinuxGuestRecord", "Xen"), (b"\xff\xd8\xff\xe0", "JPEG"),
            (b"GIF89a", "GIF"), (b"%PDF-1.7\n", "PDF"), (b"Salted__", "openssl"),
            (b"age-encryption.org/v1\n", "by age"), (b"\x8c\r\4", "GnuPG")):
        yield f"{start!r}", start + pad, text
    for n in range(16):
        yield (f"a frame that is skipped, {n}", bytes([0x50 + n]) + b"*M\x18" + pad,
               "zstdcat FILE")
    for level in 1, 6, 9:
        yield f"zlib, {level}", zlib.compress(stream, level), "by zlib"
        yield (f"lzma, {level}", lzma.compress(
            stream, format=lzma.FORMAT_ALONE, preset=level), "lzcat FILE")
    for name, data in (("colours", b"\x1b[32mok\x1b[0m\r\n" * 50),
                       ("a process ID", b"4711"), ("six digits", b"123456"),
                       ("a word", b"deadbeef"), ("a digit", b"     1"),
                       ("part of a line of debugfs",
                        hpt.debugfs(sample(18), True)[:50]),
                       ("numbers as in debugfs",
                        b"   100 0123456789abcdef 1234\n")):
        yield name, data, "it is text"
    dwords = b" 0123456789abcdef" * 3
    for name, line in (("an index in five columns", b"  100" + dwords),
                       ("an index in ten columns", b" " * 7 + b"100" + dwords),
                       ("no dwords", b"   100" + b" 0123456789qrstuv" * 3),
                       ("a fourth dword", b"   100" + dwords + b" 1"),
                       ("a dword of 17 digits", b"   100" + dwords + b"1")):
        yield f"a line as in debugfs, but {name}", line + b"\n", "it is text"
    yield ("bytes that are never ASCII",
           bytes(0x80 | n * 55 & 0x7f for n in range(1000)), "neither a stream")
    yield "a log with a few zeroes", (b"A line of text.\n" * 9 + b"\0") * 9, \
        "text with a few"
    for name, table in ("all kinds", sample(18)), ("a kernel", kernel(18)):
        memory = bytearray(16 * table.nr)
        for index in table.hptes:
            memory[16 * index:16 * index + 16] = struct.pack(
                ">QQ", *table.words(index))
        yield f"the memory of an HPT, {name}", bytes(memory), "the memory of an HPT"
    yield "nothing", b"", "empty"
    yield "a few bytes", b"\1\0\xff", "too short"
    yield ("hexdump", b"00000000  51 45 56 4d 00 00 00 03  |QEVM....|\n" * 50,
           "text")
    yield ("hexadecimal columns", b"  1000 1234 5678 9abc\n" * 50, "text")
    yield "zstd with a table of frames", b"\x50\x2a\x4d\x18" + pad, "zstdcat"
    yield "a file of trace-cmd", b"\x17\x08\x44tracing" + pad, "trace-cmd"
    yield ("VirtualBox", b"\x7fVirtualBox SavedState V2.0\n" + pad,
           "VirtualBox")
    yield "SQLite", b"SQLite format 3\0" + pad, "SQLite"
    yield ("a kernel of x86", (b"MZ" + pad)[:510] + b"\x55\xaa\xeb\x66HdrS" + pad,
           "a kernel image")
    yield ("a kernel of arm64", (b"MZ" + pad)[:56] + b"ARM\x64" + pad,
           "a kernel image")
    yield "U-Boot", b"\x27\x05\x19\x56" + pad, "U-Boot"
    yield "TLS", b"\x16\x03\x01\2\0\1" + pad, "TLS"
    for order in "le", "be":
        yield (f"UTF-16, {order}", {"le": b"\xff\xfe", "be": b"\xfe\xff"}[order] +
               ("Text\n" * 99).encode(f"utf-16-{order}"), "UTF-16")
    for name, at, magic, text in (
            ("GPT, sectors of 4K", 4096, b"EFI PART", "raw disk"),
            ("md", 4096, b"\xfc\x4e\x2b\xa9", "RAID"),
            ("Btrfs", 65600, b"_BHRfS_M", "Btrfs")):
        yield name, b"\xeb".ljust(at, b"\0") + magic + bytes(70000), text
    for n in range(20):
        yield f"anything, {n}", RANDOM.randbytes(100 << n % 10), "not a stream"


def test_no_stream(tool):
    for name, data, text in magics():
        refused(tool, name, data, text)
    refused(tool, "a directory", ".", "a directory")
    path = os.path.join(tool.directory, "socket")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        refused(tool, "a socket", "socket", "a socket")
    refused(tool, "/dev/null", "/dev/null", "empty")
    refused(tool, "what is not there", "nothing-there", "No such file")
    refused(tool, "an empty pipe", "-", "empty", stdin=b"")
    refused(tool, "a compressed pipe", "-", "gzip",
            stdin=gzip.compress(bytes(100)))
    refused(tool, "behind the end", tool.file("a", b"abc"), "has no byte 9",
            ["--offset", "9"])


def by_chance():
    """(name, data) of what might be taken for records."""
    chance = random.Random(7)

    def hptes(nr):
        """Random, but for V."""
        return b"".join((lambda v: v[:7] + bytes([v[7] | 1]) + v[8:])(
            chance.randbytes(16)) for _ in range(nr))

    for size in *range(24, 600, 48), 5000, 100000:
        yield f"{size} random bytes", chance.randbytes(size)
    for order in "<", ">":
        for nr in 1, 2, 3, 16, 21, 100:
            yield (f"a record of {nr} random HPTEs with V, {order}",
                   struct.pack(order + "IHH", 0x3fed, nr, 0) + hptes(nr))
            yield (f"{nr} of 999 random HPTEs with V, {order}",
                   struct.pack(order + "IHH", 0x3fed, 999, 7) + hptes(nr))
        yield (f"a record with others that have no HPTE behind it, {order}",
               raw([(0x3fed, [Hpte(0x123, 0, 0).words()], 0)], order) + bytes(99))
        yield (f"an HPTE without V, {order}",
               struct.pack(order + "IHH", 0, 1, 0) + bytes(16))
        yield (f"the header of a record that is not the first, {order}",
               struct.pack(order + "IHH", 0x100, 5, 0))
        for first in 0, 1, 1000:
            for word in "IQ":
                yield (f"numbers from {first}, {order}{word}", struct.pack(
                    f"{order}100{word}", *range(first, first + 100)))


def test_evidence(tool):
    """What a file is comes first: records have to be more than chance."""
    problem = ""
    chances = list(by_chance())
    for name, data in chances:
        code, out, err = tool.run("check", tool.file("file", data))
        if code != 3 or "not a stream" not in err:
            problem = problem or f"{name}: {code} {out} {err}"
    result(f"no stream: {len(chances)} files that look like records by chance",
           problem)
    problem = ""
    table = sample(20)
    for index in sorted(table.hptes)[::6]:
        for order in "<>":
            data = raw([(index, [table.words(index)], 0)], order)
            for command in "dump", "list":
                code, out, err = tool.run(command, tool.file("file", data))
                if code or not out:
                    problem = problem or f"{index:#x} {order} {command}: {err}"
    result("file: a single HPTE is enough", problem)
    code, out, err = tool.run("check", "-E", "little",
                              tool.file("file", chances[9][1]))
    result("file: --endian takes anything for records", "" if code == 1 and
           "bytes of a record" in out else f"{code} {out} {err}")


def test_cut_anywhere(tool):
    """No results are made up from missing data."""
    table = Table(18)
    for n in range(5):
        table.enter(Hpte(0x123 + n, 0x10000 * n, 0x10000 * n))
    records = first_pass(table)
    stream = Qemu().begin(18, ram=("zero",)).htab(4, records[:3])
    stream.htab(4, records[3:], True)
    whole = len(stream.data)
    for name, data, least in (("QEMU's stream", stream.data, whole),
                              ("a raw stream", raw(records), len(raw(records)))):
        problem = ""
        for cut in range(least + 1):
            file = tool.file("file", data[:cut])
            dump, out, _ = tool.run("dump", "--json", file)
            # Existing HPTEs are shown, but no order is made up
            good = not dump if cut == least else (dump == 3 or
                                                  '"order": null' in out)
            if cut % 7 == 0 or cut == least:
                codes = [tool.run(command, file)[0]
                         for command in ("check", "map")]
                good &= (codes == [0, 0] if cut == least else
                         codes[0] in (1, 3) and codes[1] == 3)
            if not good:
                problem = problem or f"{cut}: {dump} {out[:200]}"
        result(f"cut: {name} at each of {least} bytes", problem)


def test_longer(tool):
    """Data after the end may be a fault or not."""
    table = kernel(20)
    stream, data = qemu(20, [first_pass(table)]), raw(first_pass(table))
    zeroes = "zeroes from here on instead of records"
    for order in "<", ">":
        data = raw(first_pass(table), order)
        for nr in 16, 17, 64, 4096, 300000:
            faulty(tool, f"{nr} zeroes behind records, {order}",
                   data + bytes(nr), [zeroes], False)
        faulty(tool, f"an end marker behind records, {order}", data + bytes(8),
               ["a record without HPTEs"], None)
    for name, data, want, text in (
            ("a stream of QEMU's", stream, 0, ""),
            ("records", raw(first_pass(table)), 3, zeroes),
            ("nothing", b"", 3, "zeroes, at least in its first 256 KiB")):
        path = os.path.join(tool.directory, tool.file("sparse", data))
        os.truncate(path, 1 << 40)
        for command in COMMANDS:
            code, out, err = tool.run(command, "sparse")
            good = (want and 1 if text is zeroes and command == "check" else
                    want) == code and text in out + err
            result(f"file: {command} of {name} in a sparse file of 1 TiB",
                   "" if good else f"{code} {out[:300]} {err}")
        os.remove(path)
    for program, form in ("gzip", 1), ("bzip2", 2), ("xz", 3), ("zstd", 5):
        if not shutil.which(program):
            continue
        packed = subprocess.run([program, "-c"], input=stream,
                                capture_output=True, check=True).stdout
        for name, behind in ("zeroes", bytes(4096)), ("an older image",
                                                      stream * 2):
            reads(tool, f"libvirt, {program}, {name} behind it",
                  hpt.libvirt(packed + behind, form=form), table)


def test_snapshots_lost(tool):
    """If some snapshots can't be read, none is taken for the last one."""
    table = sample(20)
    image = hpt.qcow2([("one", qemu(20, [first_pass(table)])),
                       ("two", qemu(20, [first_pass(kernel(20))]))])
    where = int.from_bytes(image[64:72], "big")
    lost = "its table of snapshots is damaged or cut off"
    more = image[:60] + (5).to_bytes(4, "big") + image[64:]
    for name, data in (("the table is cut", image[:where + 64]),
                       ("there are fewer than it says", more)):
        refused(tool, f"a snapshot, {name}", data, lost)
        refused(tool, f"a snapshot that may be lost, {name}", data, lost,
                ["-S", "three"])
        reads(tool, f"a snapshot that is not lost, {name}", data, table,
              ["-S", "one"])


def test_order_unknown(tool):
    table = sample(20)
    part = raw(later_pass(table, table.hptes))
    tool.file("later", part)
    code, found, err = tool.json("dump", "later")
    result("order unknown: dump", "" if not code and found["order"] is None and
           len(found["hptes"]) == len(table.hptes) and "--order" in err else err)
    code, out, _ = tool.run("check", "-l", "later")
    result("order unknown: check", "" if not code and "order unknown" in out
           else out)
    for command in (["map", "later"], ["find", "-v", "1", "-e", "1", "later"]):
        code, out, err = tool.run(*command)
        result(f"order unknown: {command[0]}", "" if code == 3 and not out and
               "--order" in err else out + err)
    code, found, _ = tool.json("diff", "later", "later")
    result("order unknown: diff", "" if not code and found["order_a"] is None
           else found)
    code, out, _ = tool.run("list", "later")
    result("order unknown: list", "" if not code and "order unknown" in out
           else out)
    tool.file("text", hpt.debugfs(table, True))
    code, found, _ = tool.json("dump", "text")
    result("order unknown: debugfs", "" if not code and found["order"] is None
           else found["order"])
    # The first pass is empty, and others follow
    small = kernel(18)
    passes = raw(first_pass(Table(18))) + 9 * raw(
        later_pass(small, small.hptes))
    reads(tool, "passes behind an empty HPT", passes, small)
    reads(tool, "big-endian passes behind an empty HPT",
          raw(first_pass(Table(18)), ">") + 2 * raw(
              later_pass(small, small.hptes), ">"), small)
    # No HPTE, and not all of the table
    tool.file("gone", raw([(0, [], 100)]))
    for options in [], ["-O", "20"]:
        code, out, err = tool.run("dump", "gone", *options)
        result(f"order unknown: a part without HPTEs {options}",
               "" if code == 3 and not out and "neither an HPTE" in err
               else f"{code} {out} {err}")
    tool.file("all", raw(first_pass(Table(20))))
    code, found, _ = tool.json("dump", "all")
    result("order unknown: not of an empty HPT", "" if not code and
           found["order"] == 20 and not found["hptes"] else found)
    tool.file("one", raw(first_pass(table)))
    for command, code in (["dump", "-v", "0xdead"], 1), (["decode", "-r", "7"], 1):
        got, out, err = tool.run(*command, "one")
        result(f"nothing matches: {command[0]}", "" if got == code else
               f"{got} {out} {err}")


def test_pipe(tool):
    """A pipe is read once, and is not copied to a file."""
    table = kernel(20)
    for name, data in (("a raw stream", raw(first_pass(table))),
                       ("a big-endian one", raw(first_pass(table), ">")),
                       ("QEMU's stream", qemu(20, [first_pass(table)])),
                       ("libvirt's", hpt.libvirt(qemu(20, [first_pass(table)]))),
                       ("mapped-ram", Qemu().begin(20, blocks=(
                           (b"ram", MiB, hpt.mapped(MiB)),)).htab(
                               4, first_pass(table), True).finish())):
        reads(tool, f"{name} from a pipe", data, table, stdin=data)
    passes = raw(first_pass(table)) + raw(later_pass(table, table.hptes))
    reads(tool, "passes from a pipe", passes, table, stdin=passes)
    big = Qemu().begin(20)
    page = struct.pack(">Q", 0x1000028) + b"p" * 4096
    big.more(2).ram("page")
    big.data = big.data[:-8] + page * 50000 + big.data[-8:]
    big.footer(2).htab(4, first_pass(table), True)
    tool.file("big", big.finish())
    done = subprocess.run(
        ["sh", "-c", "ulimit -v 40000; ulimit -f 1; cat big | "
         "TMPDIR=/nonexistent \"$1\" check -", "sh", tool.static],
        cwd=tool.directory, capture_output=True, check=False)
    result("pipe: 200 MiB in 40 MiB of memory, without a file", "" if
           not done.returncode and b"order 20" in done.stdout else done)
