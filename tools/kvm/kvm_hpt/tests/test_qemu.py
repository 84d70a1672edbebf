# SPDX-License-Identifier: GPL-2.0
"""QEMU's streams."""
import hpt
from common import result
from hpt import first_pass, raw
from tables import kernel
from test_damaged import byte_of, expect

NOT_WRITTEN = "zeroes from here on: the stream was not written to its end"


def test_damaged_qemu(tool):
    table = kernel(20)
    records = first_pass(table, most=20)

    def build():
        return hpt.Qemu().begin(20)

    def found(name, data, byte, number, text, index=None):
        expect(tool, f"QEMU's stream: {name}", data,
               [(byte, number, index, text)])

    stream = build().htab(4, records, True)
    data = stream.finish()
    at = stream.at
    early = "QEMU's stream ends too early"
    for version in 0, 2, 4:
        found(f"version {version}", data[:7] + bytes([version]) + data[8:], 4,
              0, "QEMU's stream is not of version 3")
    for order in 1, 17, 47, 0x15000000, 0xfffffffe:
        bad = hpt.Qemu().begin(order).htab(4, records, True)
        found(f"order {order}", bad.finish(), bad.at["order"], 0,
              f"an HPT of order {order}")
    for version in 0, 2, 0x100:
        bad = hpt.Qemu()
        bad.start(4, "spapr/htab", version).add(b"\0\0\0\x14").footer(4)
        found(f"the HPT's section of version {version}",
              bad.htab(4, records, True).finish(), bad.at["start spapr/htab"], 0,
              f"section 'spapr/htab' is of version {version}, not 1")
    bad = hpt.Qemu()
    bad.start(4, "spapr/htab")
    where = len(bad.data)
    bad.add(bytes(4)).records(records)
    found("no order", bad.footer(4).finish(), where, 0,
          "HPT data before its order")
    bad = build().more(9)
    found("a section that never began", bad.finish(), bad.at["more"], 0,
          "section 9 continues, but never began")
    bad = build().start(4, "other")
    found("a number for two sections", bad.finish(), bad.at["start other"], 0,
          "section 4 is 'spapr/htab' and 'other'")
    names = "a" * 255, "b" * 255
    bad = build().start(7, names[0]).footer(7).start(7, names[1])
    found("two long names", bad.finish(), bad.at[f"start {names[1]}"], 0,
          f"section 7 is '{names[0]}' and '{names[1]}'")
    bad = build().more(4).add(bytes(4)).records(records)
    where = len(bad.data)
    found("no footer", bad.data + b"\0" * 9 + b"\1", where, len(records),
          "section 4 doesn't end where it should")
    found("zeroes instead of a footer", bad.data + b"\0" * 9, where, len(records),
          NOT_WRITTEN)
    found("another section's footer", bad.footer(5).finish(), where,
          len(records), "section 4 doesn't end where it should")
    for byte in 0x05, 0x09, 0x55, 0xff:
        bad = build()
        where = len(bad.data)
        found(f"0x{byte:02x} for a section", bad.add(bytes([byte])).data, where,
              0, f"no section begins with 0x{byte:02x}")
    bad = build().htab(4, records)
    found("the last section is missing", bad.add(b"\0").data, len(bad.data) - 1,
          len(records), "ends before the HPT is complete")
    found("the last section is zero", bad.data + bytes(2), len(bad.data) - 1,
          len(records), NOT_WRITTEN)
    bad = build().htab(4, records)
    found("cut between sections", bad.data, len(bad.data),
          len(records), "ends before the HPT is complete")
    bad = hpt.Qemu()
    bad.start(2, "ram").add(struct_ram()).footer(2)
    found("no HPT", bad.add(b"\0").data, len(bad.data) - 1, 0,
          "QEMU's stream has no HPT in it")
    # A page that is cut ends in another stream, which goes on as this one would
    other = hpt.Qemu().begin(20, ("zero",)).more(2)
    bad = build().more(2).ram("page")
    rest = 4096 - len(other.data)
    cut_off = bad.data[:-8 - 4096 + rest]
    other.ram("zero").footer(2).more(2).ram("zero").footer(2)
    found("another one in a page", cut_off + other.add(b"\x55").data,
          len(cut_off), 0, "another QEMU stream begins here: the previous one "
          "was cancelled or cut off")
    # Cut at any place
    for name, where, number, byte in (
            *((f"the magic, {nr} bytes", nr, 0, nr) for nr in range(4, 8)),
            ("the configuration", 12, 0, 12),
            ("RAM", at["start spapr/htab"] - 9, 0,
             at["start spapr/htab"] - 9),
            ("the head of a section", at["order"] - 3, 0, at["order"] - 3),
            ("the order", at["order"] + 2, 0, at["order"] + 2),
            ("a footer", at["end of records"] + 10, len(records),
             at["end of records"] + 8)):
        text = early
        if name == "RAM":
            byte = None
        cut(tool, name, data[:where], byte, number, text)
    for nr in range(4, 9):
        found(f"{nr} bytes before another one", data[:nr] + data, nr, 0,
              "another QEMU stream begins here: the previous one was cancelled or "
              "cut off")
    where = at["records"] + len(raw(records[:7])) + 3
    found("cut in a header", data[:where], where - 3, 8,
          "ends after 3 of the 8 bytes of a header")
    found("cut before the end of the records", data[:at["end of records"]],
          at["end of records"], len(records), early)
    # Faults in records are reported at the right place here, too
    worse = kernel(20)
    victim = sorted(worse.hptes)[7]
    worse.damaged[victim] = (worse.words(victim)[0] & ~1,
                             worse.words(victim)[1])
    bad = build().htab(4, first_pass(worse, most=20), True)
    byte, number = byte_of(first_pass(worse, most=20), victim)
    found("V is 0", bad.finish(), bad.at["records"] + byte, number,
          "V is 0 in an HPTE that is counted as valid", victim)
    lost = records[:3] + records[4:]
    bad = build().htab(4, lost, True)
    found("a record is lost", bad.finish(),
          bad.at["records"] + len(raw(lost[:3])), 4,
          f"the first pass leaves out HPTEs from {records[3][0]:#x}",
          lost[3][0])
    # If the first record has no invalid HPTE, a later one tells that it is KVM's
    full = hpt.Table(20)
    for index in (*range(8), *range(24, 80, 8)):
        full.hptes[index] = hpt.Hpte(index, 0, 0, base=12, seg=28)
    whole = first_pass(full, most=4)
    lost = whole[:4] + whole[5:]
    bad = build().htab(4, lost, True)
    found("a record is lost after one without invalid HPTEs", bad.finish(),
          bad.at["records"] + len(raw(lost[:4])), 5,
          f"the first pass leaves out HPTEs from {whole[4][0]:#x}", lost[4][0])
    good = b"     1 %016x %016x %016x\n" % (1, 2, 3)
    for name, line, text in (
            ("text without an end", b"     2 1 2 3", "has a line without an end"),
            ("a line that is no HPTE", good.replace(b"3\n", b"x\n"),
             "has a line that is not an HPTE"),
            ("a line that is too short", b"     2 1 2\n",
             "has a line that is not an HPTE"),
            ("a line that is too long", good.replace(b"\n", b" 1\n"),
             "has a line that is not an HPTE"),
            ("a dword without some digits", good.replace(b" 00", b" "),
             "has a line that is not an HPTE"),
            ("an index that is too large", b"100000000" + good[6:],
             "has a line that is not an HPTE"),
            ("the HPT twice", good,
             "goes back to index 0x1: this is another HPT")):
        expect(tool, f"debugfs: {name}", good + line,
               [(len(good), 2, None, text)], ["-O", 18])


def test_zeroes_qemu(tool):
    """A stream that was not written to its end is zero from some byte on."""
    table = hpt.Table(18)
    for n in range(6):
        table.enter(hpt.Hpte(n * 77, n << 20, n << 16))
    records = first_pass(table, most=2)
    zeroes = "zeroes from here on instead of records"
    stream = hpt.Qemu().begin(18, ram=("zero",)).htab(4, records[:3])
    stream.htab(4, records[3:], True)
    data = stream.finish()
    problem = ""
    for cut in range(stream.at["records"], stream.at["end of records"]):
        code, found, _ = tool.json("check", tool.file(
            "file", data[:cut] + bytes(3000)))
        faults = found["faults"]
        if (code != 1 or len(faults) != 1 or tool.run("dump", "file")[0] != 3 or
                faults[0]["fault"] not in (zeroes, NOT_WRITTEN)):
            problem = problem or f"{cut}: {code} {faults}"
        # In a header, where its record begins
        byte = faults[0]["byte"]
        if faults[0]["fault"] == zeroes and (
                byte > cut + 8 or cut - byte >= 8 and data[byte:cut].strip(b"\0")):
            problem = problem or f"{cut}: {faults}"
    result("damaged: QEMU's stream: zeroes from any byte on", problem)
    stream = hpt.Qemu(footers=False, machine=b"").begin(18).htab(4, records)
    data = stream.data[:stream.at["records"] + len(raw(records[:1])) + 8]
    code, out, _ = tool.run("check", tool.file("file", data + bytes(3000)))
    result("damaged: QEMU's stream: zeroes, without footers", "" if code == 1 and
           zeroes in out and "1 fault\n" in out else out)
    stream = hpt.Qemu(footers=False, machine=b"").begin(18).htab(4, [
        (0, [(5 << 7 | 1, 0)], 0)], True)
    code, out, _ = tool.run("check", "-H", tool.file("file", stream.data + bytes(99)))
    result("damaged: QEMU's stream: not by zeroes behind its end", "" if
           not code else out)


def struct_ram():
    return (1 << 20 | 4).to_bytes(8, "big") + b"\x03ram" + \
        (1 << 20).to_bytes(8, "big") + (0x10).to_bytes(8, "big")


def cut(tool, name, data, byte, number, text):
    """As expect(), for a fault at the end of the data."""
    file = tool.file("damaged", data)
    code, found, _ = tool.json("check", file)
    got = [(f["record"], f["fault"]) for f in found["faults"]]
    problem = ""
    if code != 1 or got != [(number, text)]:
        problem = f"exit code {code}, found {found['faults']}"
    elif byte is not None and found["faults"][0]["byte"] != byte:
        problem = f"byte {found['faults'][0]['byte']}, not {byte}"
    result(f"damaged: QEMU's stream: cut in {name}", problem)
