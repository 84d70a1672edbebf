# SPDX-License-Identifier: GPL-2.0
"""The output."""
import json
import os
import re

import common
import hpt
from common import GOLDEN, hold_to_schema, jsonschema, result
from hpt import Hpte, Table, first_pass, later_pass, raw
from tables import kernel, numbers, sample


def golden(name, text):
    path = os.path.join(GOLDEN, name)
    if common.update:
        os.makedirs(GOLDEN, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        want = file.read()
    problem = ""
    if text != want:
        problem = "\n".join(
            f"{a!r} instead of {b!r}" for a, b in
            zip(text.splitlines(), want.splitlines()) if a != b)
        problem = problem or "another number of lines"
    if re.search(r" $", text, re.M):
        problem = problem or "blanks at the end of a line"
    wide = [line for line in text.splitlines() if len(line) > 80]
    if wide and not name.endswith(".json") and "raw" not in name:
        problem = problem or f"over 80 columns: {wide[0]}"
    result(f"output: {name}", problem)


def test_golden(tool):
    table = sample(18)
    tool.file("a", raw(first_pass(table)))
    changed = sample(18)
    victims = sorted(changed.hptes)[::4]
    changed.hptes[victims[0]].rc ^= 0x80
    changed.hptes[victims[1]].pp ^= 1
    changed.hptes[victims[2]].real ^= 1 << 40
    changed.hptes[victims[3]].bolted ^= True
    changed.hptes[victims[4]].vsid ^= 1 << 30
    del changed.hptes[victims[5]]
    changed.enter(Hpte(0x99999, 0x10000, 0x20000))
    tool.file("b", raw(first_pass(changed)))
    gone = sorted(changed.hptes)[3]
    del changed.hptes[gone]
    tool.file("passes", raw(first_pass(changed)) +
              raw(later_pass(changed, [gone, victims[0]])))
    bad = kernel(18)
    for n, bits in ((3, 0x20), (5, 0x4), (9, 0x2)):
        index = sorted(bad.hptes)[n]
        v, r = bad.words(index)
        bad.damaged[index] = (v ^ bits, r)
    tool.file("bad", raw(first_pass(bad)))
    tool.file("c", raw(first_pass(kernel(18))))
    tool.file("image", hpt.qcow2([("disk", b""), ("old", hpt.qemu(
        18, [first_pass(kernel(18))])), ("new", hpt.qemu(18, [first_pass(
            table)]))]))
    hexa = f"{sorted(table.hptes)[2]:#x}"
    for name, *args in (
            ("dump.txt", "dump", "a"), ("dump-raw.txt", "dump", "-x", "a"),
            ("dump-raw-v3.txt", "dump", "-3", "a"),
            ("dump.json", "dump", "-j", "a"),
            ("dump-index.txt", "dump", "-i", f"{hexa}-0x1000", "a"),
            ("dump-vsid.txt", "dump", "-v", "0x12345", "a"),
            ("dump-real.txt", "dump", "-r", "0x1b1234", "a"),
            ("dump-bolted.txt", "dump", "-b", "a"),
            ("decode.txt", "decode", "passes"),
            ("decode.json", "decode", "-j", "passes"),
            ("decode-index.txt", "decode", "-i", gone, "passes"),
            ("decode-bolted.txt", "decode", "-b", "passes"),
            ("check.txt", "check", "a"), ("check-bad.txt", "check", "bad"),
            ("check-bad.json", "check", "-j", "bad"),
            ("diff.txt", "diff", "a", "b"), ("diff.json", "diff", "-j", "a", "b"),
            ("diff-raw.txt", "diff", "-x", "a", "b"),
            ("diff-ignore-rc.txt", "diff", "-R", "a", "b"),
            ("diff-same.txt", "diff", "a", "a"),
            ("map.txt", "map", "a"), ("map.json", "map", "-j", "a"),
            ("map-picture.txt", "map", "a", "-o", "a.png"),
            ("map-before.txt", "map", "b", "-B", "a", "-o", "b.png"),
            ("map-changes.txt", "map", "b", "-B", "a"),
            ("map-changes.json", "map", "b", "-B", "a", "-j"),
            ("find.txt", "find", "-v", "0x777", "-e", "0x10000", "c"),
            ("find-none.txt", "find", "-v", "0x778", "-e", "0x10000", "c"),
            ("find-1t.txt", "find", "-v", "0x13a109c", "-e", "0xc000000000120000",
             "-1", "c"),
            ("find.json", "find", "-j", "-v", "0x777", "-e", "0x10000", "c"),
            ("list.txt", "list", "image"), ("list.json", "list", "-j", "image"),
            ("list-raw.txt", "list", "a"),
            ("help.txt", "--help"), ("help-check.txt", "help", "check"),
            ("help-watch.txt", "watch", "--help"), ("version.txt", "--version")):
        _, out, err = tool.run(*args)
        if name.endswith(".json"):
            hold_to_schema(args[0], json.loads(out))
        golden(name, out + err)


def test_schema(tool):
    """Anything that is not in the schema is an error."""
    name = "JSON has what kvm-hpt.schema.json says, and nothing else"
    if not jsonschema:
        result(f"{name} # SKIP no python3-jsonschema")
        return
    tool.file("schema", raw(first_pass(kernel(18))))
    wrong = []
    for command, *args in (["check"], ["dump"], ["decode"], ["map"], ["list"],
                           ["diff", "schema"],
                           ["find", "-v", "0x777", "-e", "0x10000"]):
        _, found, _ = tool.json(command, *args, "schema")
        for changed in ({**found, "more": 1},
                        {key: found[key] for key in list(found)[1:]}):
            try:
                hold_to_schema(command, changed)
                wrong.append(command)
            except jsonschema.ValidationError:
                pass
    result(name, wrong)


def test_numbers(tool):
    """Statistics: with the longest run in the middle, at the end, in front."""
    front, end = Table(18), Table(18)
    front.hptes = {index: Hpte(index, 0, 0) for index in range(9000, 16384, 50)}
    end.hptes = {index: Hpte(index, 0, 0) for index in range(0, 9000, 50)}
    for name, table in (("all kinds of pages", sample(18)),
                        ("a kernel", kernel(18)), ("nothing", Table(18)),
                        ("nothing in front", front), ("nothing behind", end)):
        tool.file("n", raw(first_pass(table)))
        _, found, err = tool.json("map", "n", "-O", 18)
        found.pop("file")
        want = numbers(table)
        result(f"numbers: {name}", err or next(
            (f"{key}: {found.get(key)}, not {want[key]}" for key in want
             if found.get(key) != want[key]), "" if len(found) == len(want)
            else sorted(found)))
