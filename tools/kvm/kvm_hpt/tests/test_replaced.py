# SPDX-License-Identifier: GPL-2.0
"""Streams with a second order. QEMU sends it if the guest gets another HPT while
it is migrated: all records before it are void."""
import struct

import hpt
from common import result
from hpt import Hpte, Qemu, Table, first_pass, later_pass, qemu, raw
from tables import kernel, sample
from test_file import NO_ORDER, faulty, reads, refused, wide

NO_HPT = 0xffffffff


def replace(stream, *orders, end=False):
    """A section for each of these; the last one is the last of the HPT."""
    for nr, order in enumerate(orders, 1):
        stream.more(4, end and nr == len(orders))
        stream.mark("replaced")
        stream.add(struct.pack(">I", order)).footer(4)
    return stream


def streams():
    """(name, stream, table at its end, how many times it was replaced)."""
    small, large = kernel(20), sample(22)
    records = first_pass(small, most=20)
    fresh = first_pass(large, most=20)

    def begun(nr=None, order=20):
        return Qemu().begin(order).htab(4, records[:nr])

    yield ("another order", replace(begun(5), 22).htab(4, fresh, True), large, 1)
    yield ("another order after the first pass",
           replace(begun().htab(4, later_pass(small, list(small.hptes)[:3])),
                   22).htab(4, fresh[:7]).htab(4, fresh[7:], True), large, 1)
    yield ("another order before any record",
           replace(Qemu().begin(20), 22).htab(4, fresh, True), large, 1)
    yield ("a smaller order",
           replace(Qemu().begin(24).htab(4, first_pass(sample(24))), 20).htab(
               4, records, True), small, 1)
    yield ("the same order", replace(begun(9), 20).htab(4, records, True), small,
           1)
    other = sample(20, 77)
    yield ("the same order, another HPT", replace(begun(), 20).htab(
        4, first_pass(other), True), other, 1)
    yield ("there and back", replace(begun(5), 22, 20).htab(4, records, True),
           small, 2)
    yield ("there and back, with records", replace(replace(begun(5), 22).htab(
        4, fresh[:5]), 20).htab(4, records, True), small, 2)
    yield ("nine times", replace(begun(2), *range(18, 26), 22).htab(
        4, fresh, True), large, 9)
    yield ("in the last section", replace(begun(), 22, end=True), Table(22), 1)
    yield ("the same order in the last section", replace(begun(), 20, end=True),
           Table(20), 1)
    yield ("with no records after", replace(begun(), 22).htab(4, []).htab(
        4, [], True), Table(22), 1)
    yield ("all HPTEs invalid after", replace(begun(), 22).htab(
        4, first_pass(Table(22)), True), Table(22), 1)
    yield ("a radix guest in between", replace(begun(7), NO_HPT, 22).htab(
        4, fresh, True), large, 1)
    yield ("a radix guest in between, the same order",
           replace(begun(7), NO_HPT, NO_HPT, 20).htab(4, records, True), small, 1)
    # The HPT of a QEMU without KVM has no invalid HPTEs in its first pass
    sparse = [(index, words, 0) for index, words, _ in fresh if words]
    yield ("QEMU's own HPT", replace(begun(5), 22).htab(4, sparse, True), large,
           1)
    # A page that the previous HPT had in another slot of the same group
    slots = [Table(20), Table(20)]
    own = [[(table.enter(Hpte(0x777, 0x50000, 0x10000), slot),
             [Hpte(0x777, 0x50000, 0x10000).words()], 0)]
           for slot, table in enumerate(slots)]
    yield ("QEMU's own HPT, a page in another slot", replace(Qemu().begin(20).htab(
        4, own[0]), 20).htab(4, own[1], True), slots[1], 1)
    yield ("a pass that begins again in an HPT of the same order",
           begun(5).htab(4, records, True), small, 0)
    yield ("a radix guest before", replace(Qemu().begin(NO_HPT), 22).htab(
        4, fresh, True), large, 0)
    stream = replace(Qemu(footers=False, machine=b"").begin(20).htab(
        4, records[:9]), 22)
    yield "without footers", stream.htab(4, fresh, True), large, 1
    stream = begun(3)
    stream.full(9, "other", b"x" * 99).more(2).ram("page").footer(2)
    replace(stream, 22).htab(4, fresh[:3]).more(2, True).ram("zero").footer(2)
    yield "between other sections", stream.htab(4, fresh[3:], True), large, 1


def test_replaced(tool):
    for name, stream, table, times in streams():
        data = stream.finish()
        said = (f"byte {stream.at.get('replaced')}: the HPT was replaced here"
                f"{as_before(times)}: order {table.order}, what came before is "
                "dropped")
        reads(tool, f"replaced, {name}", data, table)
        reads(tool, f"replaced, {name}, from a pipe", data, table, stdin=data)
        if name == "another order":
            reads(tool, f"replaced, {name}, in a snapshot",
                  hpt.qcow2([("one", data)]), table)
            reads(tool, f"replaced, {name}, in a save image",
                  hpt.libvirt(data), table)
        tells(tool, name, tool.file("file", data), times, said,
              stream.at.get("replaced"))


def as_before(times):
    if times < 2:
        return ""
    return f", as {times - 1} time{'s' * (times > 2)} before"


def tells(tool, name, file, times, said, byte):
    """Each command must report it once for each such file, and no other."""
    problem = ""
    for command in (["check"], ["list"], ["decode"], ["dump"], ["map"],
                    ["diff", file]):
        code, out, err = tool.run(*command, file)
        text = err if command[0] in ("dump", "map", "diff") else out
        if code or text.count("the HPT was replaced") < bool(times):
            problem = problem or f"{command[0]}: {code} {text[-500:]}"
        if times and not any(line.endswith(said) for line in text.splitlines()):
            problem = problem or f"{command[0]}: {text[-500:]}"
        if not times and "replaced" in out + err:
            problem = problem or f"{command[0]}: {out[-500:]} {err}"
    for command in "check", "list", "decode":
        _, found, _ = tool.json(command, file)
        if (found.get("replaced", 0), found.get("replaced_at")) != (
                times, byte if times else None):
            problem = problem or f"{command}: {found.get('replaced')}"
    result(f"replaced: what is said of {name}", problem)


def test_replaced_numbers(tool):
    """Numbers are those of the final HPT, places those in the stream."""
    small, large = kernel(20), sample(22)
    records, fresh = first_pass(small, most=20), first_pass(large)
    later = later_pass(large, list(large.hptes)[:5])
    stream = replace(Qemu().begin(20).htab(4, records), 22)
    file = tool.file("file", stream.htab(4, fresh).htab(4, later, True).finish())
    _, found, _ = tool.json("check", file)
    want = {"records": len(fresh + later), "passes": 2,
            "valid": len(large.hptes) + 5,
            "invalid": sum(record[2] for record in fresh)}
    got = {key: found[key] for key in want}
    result("replaced: numbers of check", "" if got == want else f"{got} {want}")
    _, found, _ = tool.json("list", file)
    result("replaced: numbers of list", "" if
           (found["records"], found["passes"]) == (len(fresh + later), 2)
           else found)
    _, found, _ = tool.json("decode", file)
    got = [(one["record"], one["pass"]) for one in found["records"]]
    want = list(enumerate([1] * len(records + fresh) + [2] * len(later), 1))
    result("replaced: records and passes of decode", "" if got == want and
           (found["order"], found["order_at_end"]) == (20, 22) else
           f"{found['order']} {found['order_at_end']} {got}")
    _, out, _ = tool.run("decode", file)
    lines = [line for line in out.splitlines() if line.startswith("byte")]
    result("replaced: decode says it between the records", "" if
           "replaced" in lines[len(records)] else lines[len(records)])


def test_replaced_faults(tool):
    small, large = kernel(20), sample(22)
    records, fresh = first_pass(small, most=20), first_pass(large)
    other = ("from here on this is an HPT of order {}, not {} as its header "
             "says: the guest has rebooted or resized its HPT meanwhile")

    def check(name, stream, faults):
        faulty(tool, f"replaced, {name}", stream.finish(), faults, None)

    def begun(table, order=20):
        return Qemu().begin(order).htab(4, first_pass(table, most=20))

    check("records of another order before",
          replace(begun(kernel(24)), 22).htab(4, fresh, True),
          [other.format(24, 20)])
    check("records of another order after",
          replace(begun(small), 22).htab(4, first_pass(kernel(20), most=20),
                                         True), [other.format(20, 22)])
    check("records of other orders before and after",
          replace(begun(kernel(24)), 22).htab(
              4, first_pass(kernel(25), most=20), True),
          [other.format(24, 20), other.format(25, 22)])
    check("a first pass that is not whole after",
          replace(begun(small), 22).htab(4, fresh[:-1], True),
          ["ends before the first pass reaches the end of the HPT at 0x40000"])
    check("a record is lost after",
          replace(begun(small), 22).htab(4, fresh[:3] + fresh[4:], True),
          [f"the first pass leaves out HPTEs from {fresh[3][0]:#x}"])
    check("the first record is lost after",
          replace(begun(small), 22).htab(4, [(9, [], 8), *fresh[1:]], True),
          ["the first pass doesn't begin at index 0x0",
           "the first pass leaves out HPTEs from 0x11"])
    worse = kernel(20)
    victim = sorted(worse.hptes)[7]
    v, r = worse.words(victim)
    worse.damaged[victim] = (v & ~1, r)
    check("V is 0 before", replace(begun(worse), 22).htab(4, fresh, True),
          ["V is 0 in an HPTE that is counted as valid"])
    twice = kernel(20)
    one = min(twice.hptes)
    twice.hptes[one + 1] = twice.hptes[one]
    check("a page twice before", replace(begun(twice), 22).htab(4, fresh, True),
          [])
    check("a page twice after", replace(begun(small), 20).htab(
        4, first_pass(twice, most=20), True),
          [f"translates the same page as index {one:#x}"])
    check("the same page before and after", replace(begun(small), 20).htab(
        4, first_pass(small, most=20), True), [])
    for order in 1, 17, 47, 0xfffffffe:
        faulty(tool, f"replaced, order {order}",
               replace(begun(small), order).htab(4, fresh, True).finish(),
               [f"an HPT of order {order}"], False)
    faulty(tool, "replaced, no order after a radix guest",
           replace(begun(small), 22, NO_HPT).htab(4, fresh, True).finish(),
           [NO_ORDER], False)
    data = replace(begun(small), 22, NO_HPT, end=True).finish()
    refused(tool, "replaced, a radix guest at the end", data,
            "the guest has no HPT", commands=("dump", "decode", "map"))
    _, out, _ = tool.run("check", tool.file("file", data))
    result("replaced: check of a radix guest at the end", "" if
           out == "no HPT\nwell-formed\n" else out)
    data = replace(begun(small), 22).htab(4, fresh, True).finish()
    for asked, order in (20, 22), (22, 20):
        refused(tool, f"replaced, --order {asked}", data,
                f"order {order}, but --order is {asked}", ["-O", asked],
                commands=("dump", "map"))
    # As many faults of both HPTs as requested; the others are counted
    far = hpt.Table(20)
    for index in range(0, 400, 8):
        far.damaged[index] = (0, 0)
        far.hptes[index] = hpt.Hpte(1, 0, 0)
    data = replace(begun(far), 20).htab(4, first_pass(far, most=20),
                                        True).finish()
    for most in 1, 3, 99:
        code, out, _ = tool.run("check", "-m", most, tool.file("file", data))
        result(f"replaced: {most} of 100 faults are shown", "" if code == 1 and
               out.count("V is 0") == most and "100 faults" in out and
               f"and {100 - most} more" in out else out)
    code, out, _ = tool.run("check", "-m", 0, "file")
    result("replaced: all faults are shown", "" if code == 1 and
           out.count("V is 0") == 100 else out)


def raw_streams():
    """(name, passes, table at its end, number of the pass that replaces it last, how
    many times)."""
    small, large = kernel(20), sample(22)
    tiny, odd = first_pass(small, most=20), later_pass(small, list(small.hptes)[:3])
    fresh = first_pass(large)
    yield "a smaller one", [fresh, tiny], small, 1, 1
    yield "a larger one", [tiny, fresh], large, 1, 1
    yield "an empty one", [fresh, first_pass(Table(20))], Table(20), 1, 1
    yield "a smaller one after other passes", [
        fresh, later_pass(large, list(large.hptes)[:9]), tiny], small, 2, 1
    yield "a smaller one, and other passes", [fresh, tiny, odd, odd], small, 1, 1
    yield "there and back", [fresh, tiny, odd, fresh], large, 3, 2
    yield ("a smaller one after a first pass that is cut", [fresh[:-2], tiny],
           small, 1, 1)
    yield "one of the same order", [tiny, odd, tiny], small, 2, 0
    gaps = [(index, [], 1) for index in (0, 3, 0x55, 0xffff)]
    holes = sample(22)
    for index, _, _ in gaps:
        holes.hptes.pop(index, None)
    yield ("a later pass with gaps that ends where a smaller one would",
           [fresh, gaps], holes, 1, 0)
    yield "a first pass that is cut, and a larger one", [tiny[:9], fresh], large, 1, 0


def test_replaced_raw(tool):
    """A stream as read does not contain orders: they follow from first passes."""
    for name, passes, table, last, times in raw_streams():
        for order in "<>" if name == "a smaller one" else "<":
            data = b"".join(raw(records, order) for records in passes)
            at = len(b"".join(raw(records) for records in passes[:last]))
            reads(tool, f"replaced in a stream as read, {name}, {order}", data,
                  table)
            said = (f"byte {at}: the HPT was replaced here{as_before(times)}: "
                    f"order {table.order}, what came before is dropped")
            tells(tool, f"a stream as read, {name}, {order}",
                  tool.file("file", data), times, said, at)
        code, out, _ = tool.run("check", "-m", 0, "file")
        result(f"replaced: all faults of a stream as read, {name}", "" if
               not code and "well-formed" in out else out)
        code, _, err = tool.run("find", "-v", "1", "-e", "0", "file")
        result(f"replaced: find in a stream as read, {name}", "" if
               code in (0, 1) and ("replaced" in err) == bool(times) else err)
    fresh, tiny = first_pass(sample(22)), first_pass(kernel(20))
    other = ("from here on this is an HPT of order 20, not 22 as the first pass "
             "says: the guest has rebooted or resized its HPT meanwhile")
    for name, data, faults, text in (
            ("a smaller one", raw(fresh + tiny), [other], "by one of order 20"),
            ("an empty one", raw(fresh + first_pass(Table(20))), [
                "the HPT was replaced here by one of order 20: a pipe can't be "
                "read again from here"], "by one of order 20"),
            ("a larger one", raw(tiny + fresh), [
                "the HPT of order 20 was replaced here by a larger one: a pipe "
                "can't be read again from here"], "by a larger one")):
        _, found, _ = tool.json("check", "-", stdin=data)
        got = [fault["fault"] for fault in found["faults"]]
        result(f"replaced: check of {name} in a pipe", "" if got == faults else
               got)
        for command in "dump", "map", "list":
            code, _, err = tool.run(command, "-", stdin=data)
            result(f"replaced: {command} of {name} in a pipe", "" if code == 3 and
                   f"byte {len(raw(fresh if 'larger' not in name else tiny))}: "
                   in err and text in err else f"{code} {err}")
    faulty(tool, "replaced in a stream as read, a larger one that is cut",
           raw(tiny + fresh[:-1]), ["the HPT of order 20 was replaced here by a "
                                    "larger one, whose first pass is not complete"],
           False)
    faulty(tool, "replaced in a stream as read, a smaller one that is cut",
           raw(fresh + tiny[:-1]), [
               "another first pass begins here, but ends before index "
               f"{tiny[-1][0]:#x} of 0x40000"], False)
    code, out, err = tool.run("dump", "-O", 22, tool.file("file", raw(fresh + tiny)))
    result("replaced: a stream as read with --order", "" if code == 3 and not out
           and "an HPT of order 20, but --order is 22" in err else out + err)


def test_order_wrong(tool):
    """Where HPTEs are shows that the order is not as stated."""
    meanwhile = ": the guest has rebooted or resized its HPT meanwhile"
    for name, data, options, text in (
            ("QEMU's stream", qemu(22, [first_pass(kernel(20))]), [],
             "not 22 as its header says" + meanwhile),
            ("a stream as read with --order", raw(first_pass(kernel(20))),
             ["-O", 22], "not 22 as --order says"),
            ("debugfs with --order", hpt.debugfs(kernel(20), True), ["-O", 22],
             "not 22 as --order says")):
        refused(tool, f"the order is wrong, {name}", data,
                "its HPTEs are those of an HPT of order 20, " + text, options,
                commands=("dump", "map"))
        for command in (["diff", "file"], ["find", "-v", "1", "-e", "0"]):
            code, _, err = tool.run(*command, "file", *options)
            result(f"order wrong: {command[0]}, {name}", "" if code == 3 and
                   text in err else f"{code} {err}")


def few(order, nr):
    """HPTEs in an otherwise empty HPT."""
    table = Table(order)
    for n in range(nr):
        table.enter(Hpte(0x123456789 * (n + 3) & (1 << 37) - 1,
                         0x5a300000 * (n + 1) & (1 << 40) - 1, n << 16))
    return table


def test_order_few(tool):
    """With few HPTEs or none, the end of the first pass tells the order."""
    text = ("this is an HPT of order {}, not {} as its header says: the guest has "
            "rebooted or resized its HPT meanwhile")
    for stated, real in (22, 20), (20, 18), (36, 20):
        for nr in range(7):
            data = qemu(stated, [first_pass(few(real, nr))])
            code, found, _ = tool.json("check", tool.file("file", data))
            faults = [fault["fault"] for fault in found["faults"]]
            result(f"order wrong: check of {nr} HPTEs of order {real} in a stream of "
                   f"order {stated}", "" if code == 1 and len(faults) == 1 and
                   text.format(real, stated) in faults[0] and
                   faults[0].startswith("from here on" if nr else "up to here") else
                   found)
            refused(tool, f"{nr} HPTEs of order {real} in a stream of order {stated}",
                    data, f"an HPT of order {real}, not {stated} as its header says",
                    commands=("dump", "map"))
    for name, table, nr in (("many HPTEs", wide(22, 900), 1),
                            ("an HPTE that is damaged", few(22, 3), 2)):
        keep = [index for index in table.hptes if index < 1 << 16]
        table.hptes = {index: table.hptes[index] for index in keep}
        if nr == 2:
            table.hptes = {0x8000: Hpte(0x1234567, 0x12300000, 0),
                           **few(20, 0).hptes}
            for n in range(9):
                table.hptes[n * 8] = Hpte(n, 0, 0, base=24, seg=28)
        records = first_pass(table)
        end = next(i for i, record in enumerate(records) if record[0] >= 1 << 16)
        index, words, _ = records[end - 1]
        records[end - 1] = index, words, (1 << 16) - index - len(words)
        code, found, _ = tool.json("check", tool.file(
            "file", qemu(22, [records[:end]])))
        faults = [fault["fault"] for fault in found["faults"]]
        result(f"order wrong: not if the rest is missing behind {name}", "" if
               code == 1 and len(faults) == nr and "ends before the first pass" in
               faults[-1] else found)
    # The highest bit of two of many hashes
    table = wide(20, 50)
    for index in [index for index in table.hptes if index >> 14 == 1][:2]:
        v, r = table.words(index)
        table.damaged[index] = v ^ 1 << 12 + 40 - 16, r
    code, found, _ = tool.json("check", tool.file(
        "file", qemu(20, [first_pass(table)])))
    result("order wrong: not if two of many HPTEs are damaged", "" if code == 1 and
           [fault["fault"] for fault in found["faults"]] ==
           ["in a group that its address doesn't hash to"] * 2 else found)
    for stated, real in (24, 18), (22, 20):
        for nr in 1, 2, 3:
            table = few(real, nr)
            own = [(index, [table.words(index)], 0) for index in sorted(table.hptes)]
            data = qemu(stated, [own])
            code, found, _ = tool.json("check", tool.file("file", data))
            faults = [fault["fault"] for fault in found["faults"]]
            good = (code == 1 and len(faults) == 1 and
                    (text.format(real, stated) in faults[0] or nr == 1))
            # Some are where they would be with order 19 or 22 as well
            if stated == 22 and nr > 1:
                good = code == 1 and len(faults) == 2
            result(f"order wrong: check of {nr} HPTEs of QEMU's own HPT of order "
                   f"{real} in a stream of order {stated}", "" if good else found)
            refused(tool, f"{nr} HPTEs of QEMU's own HPT of order {real} in a stream "
                    f"of order {stated}", data, f"not {stated} as its header says",
                    commands=("dump", "map"))


def test_replaced_cut(tool):
    """Cut anywhere, it is never complete, and no order is made up."""
    table = Table(18)
    for n in range(3):
        table.enter(hpt.Hpte(0x123 + n, 0x10000 * n, 0x10000 * n))
    records = first_pass(table)
    stream = replace(Qemu().begin(20, ram=("zero",)).htab(
        4, first_pass(Table(20))), 18).htab(4, records, True)
    problem = ""
    for cut in range(stream.at["replaced"] - 20, len(stream.data)):
        file = tool.file("file", stream.data[:cut])
        codes = [tool.run(command, file)[0] for command in ("check", "dump")]
        if codes != [1, 3]:
            problem = problem or f"{cut}: {codes}"
    result("replaced: cut anywhere behind the first HPT", problem)


def test_replaced_appended(tool):
    """A second order does not begin another stream."""
    table = kernel(20)
    records = first_pass(table, most=20)
    whole = qemu(20, [records[:9], records[9:]])
    first = replace(Qemu().begin(22).htab(4, first_pass(sample(22))), 20)
    end = len(first.htab(4, records).data)
    problem = ""
    for cut in range(first.at["replaced"] - 30, end + 1, 3):
        file = tool.file("file", first.data[:cut] + whole)
        for command, want in ("check", 1), ("dump", 3):
            code, out, err = tool.run(command, file)
            if (code != want or f"byte {cut}" not in out + err or
                    "another QEMU stream begins here" not in out + err):
                problem = problem or f"{command} {cut}: {code} {out}{err}"
    result("replaced: another stream behind one that is cut", problem)
