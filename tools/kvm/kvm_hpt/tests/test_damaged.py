# SPDX-License-Identifier: GPL-2.0
"""Damaged streams: check must find exactly the damage."""
import re

import hpt
from common import result
from hpt import Hpte, Table, first_pass, raw
from tables import kernel


def byte_of(records, wanted):
    """The place of the HPTE with an index in a raw stream, and its record."""
    at = 0
    for number, (index, words, _) in enumerate(records, 1):
        if index <= wanted < index + len(words):
            return at + 8 + 16 * (wanted - index), number
        at += 8 + 16 * len(words)
    raise KeyError(wanted)


WRONG_GROUP = "in a group that its address doesn't hash to"
PROTECTION = "the protection is reserved"
WIMG = "the cache attributes (WIMG) are reserved"
SIZE = "the page size (LP) is reserved"
AVPN = "the virtual address (AVPN) is in the middle of a page"
REAL = "the real address is in the middle of a page"
KVM_BITS = "KVM's internal bits are set in dword 0"


def damaged_hptes():
    """(name, page, changes to the doublewords, message)."""
    yield ("V is 0", (16, 16), lambda v, r: (v & ~1, r),
           "V is 0 in an HPTE that is counted as valid")
    for bits in 0x20, 0x40, 0x60:
        yield (f"{bits:#x} in dword 0", (16, 16),
               lambda v, r, bits=bits: (v | bits, r), KVM_BITS)
    yield ("KVM's mark", (16, 16), lambda v, r: (v, r | 1 << 62),
           "bit 1 of dword 1, KVM's mark, is set")
    for b in 2, 3:
        yield (f"B is {b}", (24, 24),
               lambda v, r, b=b: (v & ~(3 << 62) | b << 62, r),
               "the segment size (B) is reserved")
    for lp in (0x10, 0xf0, 0x02, 0x13, 0x04, 0x05, 0x06, 0x18, 0x28, 0x48,
               0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f):
        yield (f"LP is {lp:#x}", (24, 24),
               lambda v, r, lp=lp: (v, r & ~0xff000 | lp << 12), SIZE)
    for pp in 4, 5, 7:
        yield (f"PP is {pp}", (16, 16),
               lambda v, r, pp=pp: (v, r & ~3 & ~(1 << 63) | pp >> 2 << 63 |
                                    pp & 3), PROTECTION)
    for wimg in 0x60, 0x68, 0x78:
        yield (f"WIMG is {wimg:#x}", (16, 16),
               lambda v, r, wimg=wimg: (v, r & ~0x78 | wimg), WIMG)
    yield ("AVPN of a 16M page", (24, 24), lambda v, r: (v | 1 << 7, r), AVPN)
    for bit in 23, 28, 33:
        yield (f"AVPN of a 16G page, bit {bit}", (34, 34),
               lambda v, r, bit=bit: (v | 1 << bit - 16, r), AVPN)
    for base, actual, bits in ((24, 24, (20, 23)), (34, 34, (20, 33)),
                               (16, 24, (20, 23)), (12, 24, (20, 23))):
        for bit in bits:
            yield (f"real address of a page of {hpt.SIZE[actual]} in "
                   f"{hpt.SIZE[base]}, bit {bit}", (base, actual),
                   lambda v, r, bit=bit: (v, r | 1 << bit), REAL)
    for page in hpt.PAGES:
        yield (f"group of a page of {hpt.SIZE[page[1]]} in "
               f"{hpt.SIZE[page[0]]}", page,
               # A VSID whose hash differs in the group's highest bit
               lambda v, r: (v ^ 1 << 12 + 40 - 16, r), WRONG_GROUP)
    yield ("a page of 16G in a segment of 256M", (34, 34),
           lambda v, r: (v & ~(3 << 62), r), "the page is larger than its segment")


def test_damaged_hptes(tool):
    for name, (base, actual), damage, text in damaged_hptes():
        for order in "<>":
            table = Table(20)
            for n in range(9):
                table.enter(Hpte(0x1234 + n, 5 << base & (1 << 40) - 1,
                                 n << actual, base=base, actual=actual))
            victim = sorted(table.hptes)[4]
            table.damaged[victim] = damage(*table.words(victim))
            records = first_pass(table)
            byte, number = byte_of(records, victim)
            expect(tool, f"{name}, {'little' if order == '<' else 'big'}-endian",
                   raw(records, order), [(byte, number, victim, text)])


def expect(tool, name, data, faults, options=()):
    """check must find exactly these faults: (byte, record, index, text).

    Of a pipe it has to find them without a second look.
    """
    file = tool.file("damaged", data)
    code, found, _ = tool.json("check", file, *options)
    _, piped, _ = tool.json("check", "-", *options, stdin=data)
    got = [(f["byte"], f["record"], f.get("index"), f["fault"])
           for f in found["faults"]]
    problem = ""
    if code != 1:
        problem = f"exit code {code}"
    elif got != faults or found["count"] != len(faults):
        problem = f"found {got}\nnot   {faults}"
    elif {**piped, "file": file} != found:
        problem = f"found {found}\nin a pipe {piped}"
    result(f"damaged: {name}", problem)


def test_damaged_hash(tool):
    for base, actual in hpt.PAGES:
        for secondary in False, True:
            table = Table(20)
            hpte = Hpte(0x2345678, 3 << base & (1 << 40) - 1, 0, base=base,
                        actual=actual, secondary=secondary)
            index = table.enter(hpte)
            v, r = hpte.words()
            table.damaged[index] = (v ^ 2, r)
            records = first_pass(table)
            byte, number = byte_of(records, index)
            there = "secondary" if secondary else "primary"
            expect(tool, f"H of a page of {hpt.SIZE[actual]} in "
                   f"{hpt.SIZE[base]} in a {there} group", raw(records),
                   [(byte, number, index, f"in the group of the {there} hash, "
                     f"but H is {int(not secondary)}")])
    for name, other in (("the same group", False), ("its secondary group", True)):
        table = Table(20)
        one = table.enter(Hpte(0x777, 0x50000, 0x10000))
        two = table.enter(Hpte(0x777, 0x50000, 0x20000, secondary=other))
        records = first_pass(table)
        byte, _ = byte_of(records, two)
        expect(tool, f"twice in {name}", raw(records),
               [(byte, len(records), two,
                 f"translates the same page as index {one:#x}")])


def same_page(tool, table, one, two):
    """If check doesn't find just that: what it finds."""
    tool.file("damaged", raw(first_pass(table)))
    code, found, _ = tool.json("check", "damaged")
    got = [(fault["index"], fault["fault"]) for fault in found["faults"]]
    if code == 1 and got == [
            (two, f"translates the same page as index {one:#x}")]:
        return ""
    return f"{one} {two}: {got}"


def test_damaged_twice(tool):
    """Wherever in a group, and whatever was there before."""
    problem = full = ""
    for one in range(8):
        for two in range(one + 1, 8):
            table = Table(20)
            at = [table.enter(Hpte(0x777, 0x50000, 0x10000), slot)
                  for slot in (one, two)]
            problem = problem or same_page(tool, table, *at)
            # Of three groups that are read in a row, the second one is full
            table = Table(20)
            for index in (32, *range(40, 48), 48):
                table.hptes[index] = Hpte(index, 0, 0, base=12, seg=28)
            table.hptes[40 + two] = table.hptes[40 + one]
            full = full or same_page(tool, table, 40 + one, 40 + two)
    result("damaged: twice in any two slots of a group", problem)
    result("damaged: twice in any two slots of a full group", full)
    # In a slot where an HPTE of the secondary hash was before
    table = Table(20)
    one = table.enter(Hpte(0x777, 0x50000, 0x10000))
    there = one // 8 ^ (1 << 20 - 7) - 1
    table.hptes[one + 1] = Hpte(there, 0, 0, base=24, secondary=True)
    records = first_pass(table)
    table.hptes[one + 1] = Hpte(0x777, 0x50000, 0x20000)
    expect(tool, "twice, where one of the secondary hash was", raw(
        records + [(one + 1, [table.words(one + 1)], 0)]),
           [(len(raw(records)) + 8, len(records) + 1, one + 1,
             f"translates the same page as index {one:#x}")])


def test_damaged_first(tool):
    """In the first record the order is not known yet."""
    for base, actual in (16, 16), (24, 24):
        table = Table(20)
        table.hptes[0] = Hpte(0x777, 0, 0, base=base, actual=actual)
        expect(tool, f"a group in the first record, page of {hpt.SIZE[base]}",
               raw(first_pass(table)), [(8, 1, 0, WRONG_GROUP)])
    # An HPTE that is wrong in itself is not reported for its group as well
    table = Table(20)
    table.hptes[0] = Hpte(0x777, 0, 0, base=24)
    table.hptes[1] = Hpte(0x777, 0, 0, base=24)
    v, r = table.hptes[1].words()
    table.damaged[1] = (v | 1 << 7, r)
    expect(tool, "a group and an AVPN in the first record",
           raw(first_pass(table)), [(8, 1, 0, WRONG_GROUP), (24, 1, 1, AVPN)])
    # Behind an HPTE that takes the long way, one that takes the short way
    table = Table(20)
    table.hptes[8] = Hpte(1, 0, 0, base=24)
    table.hptes[9] = Hpte(0x777, 0, 0)
    records = first_pass(table)
    byte, number = byte_of(records, 9)
    expect(tool, "a group behind a large page, in the first records",
           raw(records), [(byte, number, 9, WRONG_GROUP)])
    # The place for the hash of a segment of 256M
    expect(tool, "a group of a segment of 1T",
           raw([(8, [Hpte(1, 0, 0).words()], 0)]), [(8, 1, 8, WRONG_GROUP)],
           ["-l", "-O", 36])


def test_damaged_far(tool):
    """Its place, if there are more records than have separate numbers."""
    table = Table(21)
    for group in range(1 << 14):
        for slot in range(4):
            table.enter(Hpte(group + (slot << 14), 0, 0, base=12, seg=28),
                        2 * slot)
    # Record 32768 is not at the end of a read
    for group in range(100):
        for slot in range(4, 8):
            table.enter(Hpte(group + (slot << 14), 0, 0, base=12, seg=28),
                        2 * slot - 7)
    wrong, twice = first_pass(table)[32779][0], 16300 * 8 + 4
    table.hptes[wrong] = Hpte(0x800, 0, 0, base=12, seg=28)
    table.hptes[twice] = table.hptes[twice - 4]
    records = first_pass(table)
    places = [(*byte_of(records, index), index) for index in (wrong, twice)]
    expect(tool, "far behind", raw(records), [
        (*places[0], WRONG_GROUP),
        (*places[1], f"translates the same page as index {twice - 4:#x}")])


def test_damaged_long(tool):
    """In a record of several groups that begins within one, and has an HPTE that is
    looked at closely or not."""
    for name, wimg in ("usual", 0x10), ("one that is written through", 0x50):
        table = Table(20)
        for index in range(5, 45):
            table.hptes[index] = Hpte(index, 0, 0, base=12, seg=28,
                                      wimg=wimg if index == 7 else 0x10)
        table.hptes[36] = table.hptes[33]
        records = first_pass(table)
        expect(tool, f"twice in a long record, {name}", raw(records), [
            (*byte_of(records, 36), 36, "translates the same page as index 0x21")])


def test_damaged_later(tool):
    """After other records of a later pass."""
    table = kernel(20)
    before = first_pass(table)
    indexes = sorted(table.hptes)
    pass_2 = [(index, [table.words(index)], 0) for index in indexes[:4]]
    start = len(raw(before + pass_2))
    wrong = indexes[4] + 8 * 4096
    expect(tool, "a group in a later pass", raw(
        before + pass_2 + [(wrong, [table.words(indexes[4])], 0)]),
           [(start + 8, len(before) + 5, wrong, WRONG_GROUP)])
    expect(tool, "a record without HPTEs in a later pass", raw(
        before + pass_2 + [(indexes[4], [], 0)]),
           [(start, len(before) + 5, indexes[4], "a record without HPTEs")])
    # An HPTE goes from one slot of its group to another
    table = Table(20)
    table.enter(Hpte(0x100, 0, 0))
    one = table.enter(Hpte(0x777, 0x50000, 0x10000))
    records = first_pass(table)
    words = table.words(one)
    first = min(table.hptes)
    tool.file("moved", raw(records + [(first, [table.words(first)], 0),
                                      (one, [], 1), (one + 1, [words], 0)]))
    code, found, _ = tool.json("check", "moved")
    result("damaged: not by an HPTE that moves", "" if not code else found)


def test_damaged_lowest(tool):
    """In the lowest bit of the hash that the HPTE has."""
    for base, bit in (12, 11), (16, 7):
        table = kernel(20)
        index = table.enter(Hpte(0x777, 0, 0, base=base))
        v, r = table.words(index)
        table.damaged[index] = (v ^ 1 << 24 + bit, r)
        records = first_pass(table, most=20)
        expect(tool, f"the lowest bit of the group of a page of {hpt.SIZE[base]}",
               raw(records), [(*byte_of(records, index), index, WRONG_GROUP)])


def test_damaged_records(tool):
    table = kernel(20)
    records = first_pass(table, most=20)
    good = raw(records)
    starts = [len(raw(records[:i])) for i in range(len(records) + 1)]
    last = len(records)
    end = table.nr

    def lost(at):
        index, words, invalid = records[at]
        return index, index + len(words) + invalid

    for nr in range(1, 8):
        expect(tool, f"cut after {nr} bytes of a header",
               good[:starts[4] + nr],
               [(starts[4], 5, None, f"ends after {nr} of the 8 bytes of a "
                 "header")], ["-O", 20])
    size = starts[1] - starts[0]
    at = next(i for i, rec in enumerate(records) if len(rec[1]) > 3)
    size = starts[at + 1] - starts[at]
    for nr in 8, 9, 16, 23, 24, size - 16, size - 1:
        expect(tool, f"cut after {nr} bytes of a record",
               good[:starts[at] + nr],
               [(starts[at], at + 1, None, f"ends after {nr} of the {size} "
                 "bytes of a record")], ["-O", 20])
    for i in 1, 5, last - 2:
        expect(tool, f"record {i + 1} is lost",
               raw(records[:i] + records[i + 1:]),
               [(starts[i], i + 1, lost(i)[1],
                 f"the first pass leaves out HPTEs from {lost(i)[0]:#x}")])
    expect(tool, "the first record is lost", raw(records[1:]),
           [(0, 1, records[1][0], "the first pass doesn't begin at index 0x0")])
    expect(tool, "the last record is lost", raw(records[:-1]),
           [(starts[last - 1], last - 1, lost(last - 1)[0], "ends before the "
             f"first pass reaches the end of the HPT at {end:#x}")], ["-O", 20])
    expect(tool, "a record comes twice", raw(records[:3] + records[2:]),
           [(starts[3], 4, records[2][0],
             f"the first pass goes back from {records[3][0]:#x}")])
    swapped = records[:2] + [records[3], records[2]] + records[4:]
    where = [len(raw(swapped[:i])) for i in range(5)]
    expect(tool, "two records are swapped", raw(swapped),
           [(where[2], 3, swapped[2][0], "the first pass leaves out HPTEs from "
             f"{records[2][0]:#x}"),
            (where[3], 4, swapped[3][0], "the first pass goes back from "
             f"{lost(3)[1]:#x}"),
            (where[4], 5, swapped[4][0], "the first pass leaves out HPTEs from "
             f"{lost(2)[1]:#x}")])
    expect(tool, "a record of nothing", good + hpt.record(0x123, [], 0),
           [(len(good), last + 1, 0x123, "a record without HPTEs")])
    expect(tool, "a record behind the end", good + hpt.record(end, [], 8),
           [(len(good), last + 1, end,
             f"begins past the end of the HPT at {end:#x}")], ["-O", 20])
    expect(tool, "a record with the largest index",
           good + hpt.record(0xffffffff, [], 1),
           [(len(good), last + 1, 0xffffffff,
             f"begins past the end of the HPT at {end:#x}")], ["-O", 20])
    for index, words, invalid in ((end - 1, [], 2), (end - 8, [], 65535),
                                  (end - 1, [table.words(min(table.hptes))] * 2,
                                   0)):
        expect(tool, f"{len(words)} valid, {invalid} invalid at {index:#x}",
               good + hpt.record(index, words, invalid),
               [(len(good), last + 1, index,
                 f"reaches beyond the end of the HPT at {end:#x}")],
               ["-O", 20, "-H"])
    # What is beyond the end is not compared with others
    word = Hpte(2 * end // 8 - 1, 0, 0, base=12, seg=28).words()
    expect(tool, "a page twice in a record that goes beyond the end",
           good + hpt.record(end - 8, [word] * 2, 7),
           [(len(good), last + 1, end - 8,
             f"reaches beyond the end of the HPT at {end:#x}")], ["-O", 20])
    expect(tool, "a later pass that begins with a record beyond the end",
           good + hpt.record(end - 1, [], 2),
           [(len(good), last + 1, end - 1,
             f"reaches beyond the end of the HPT at {end:#x}")])
    expect(tool, "an HPT twice as large", good,
           [(len(good), last, end, "ends before the first pass reaches the "
             f"end of the HPT at {2 * end:#x}")], ["-O", 21, "-H"])
    index, words, invalid = records[-1]
    expect(tool, "fewer invalid HPTEs than there are",
           raw(records[:-1] + [(index, words, invalid - 1)]),
           [(len(good), last, end - 1, "ends before the first pass reaches the "
             f"end of the HPT at {end:#x}")], ["-O", 20])
    expect(tool, "more invalid HPTEs than there are",
           raw(records[:-1] + [(index, words, invalid + 1)]),
           [(starts[last - 1], last, index, "reaches beyond the end of the "
             f"HPT at {end:#x}")], ["-O", 20])
    few = tool.file("few", b"".join(
        raw([(index, words, 0)]) for index, words, _ in records[6:] if words))
    code, out, _ = tool.run("check", "-m", 1, "-O", 20, few)
    result("as many faults as were asked for, the others are counted",
           "" if code == 1 and re.search(r"^and \d+ more$", out, re.M) and
           len(out.splitlines()) == 5 else out)
