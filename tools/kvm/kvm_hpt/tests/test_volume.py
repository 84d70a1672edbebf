# SPDX-License-Identifier: GPL-2.0
"""Files that are longer than their contents, as volumes are, and those that need
another program to be read."""
import os

from common import result
from hpt import Qemu, first_pass
from tables import kernel
from test_file import COMMANDS, reads


def test_not_written(tool):
    """A stream that is cut off, in a volume with zeroes behind it."""
    text = ("zeroes from here on, in section '%s': the stream was not written to "
            "its end")
    cut = Qemu().begin(20, ram=("zero",)).more(2).ram("zero")
    cut.data = cut.data[:-8]
    path = os.path.join(tool.directory, tool.file("sparse", cut.data))
    # To read all of it would take minutes
    os.truncate(path, 1 << 40)
    for command in COMMANDS:
        code, out, err = tool.run(command, "sparse")
        result(f"faulty: {command} of RAM that is cut in a sparse file of 1 TiB",
               "" if code == (1 if command == "check" else 3) and
               f"byte {len(cut.data)}" in out + err and text % "ram" in out + err
               else f"{code} {out[:300]} {err}")
    os.remove(path)
    for name, section, nr in (("RAM", None, 20), ("RAM", None, 300000),
                              ("a device", "vfio", 65600),
                              ("a device", "vfio", 1000000)):
        data = cut.data
        if section:
            data = Qemu().begin(20, ram=("zero",)).start(9, section).data
        data += b"".join(bytes(n) + b"x" for n in (9000, 70000, 400000)
                         if section)
        for how in {}, {"stdin": b""}:
            file = tool.file("file", data + bytes(nr))
            if how:
                how, file = {"stdin": data + bytes(nr)}, "-"
            _, found, _ = tool.json("check", file, **how)
            got = [(fault["byte"], fault["fault"]) for fault in found["faults"]]
            result(f"faulty: {name} that is cut, with {nr} zeroes behind it"
                   f"{', from a pipe' if how else ''}",
                   "" if got == [(len(data), text % (section or "ram"))] else got)
    table = kernel(20)
    stream = Qemu().begin(20).start(9, "vfio").add(bytes(500000)).footer(9)
    reads(tool, "a device of zeroes",
          stream.htab(4, first_pass(table), True).finish(), table)
    for name, data in (("zeroes", bytes([0] * 6 + [8, 0]) + bytes(500000)),
                       ("another form, from zeroes on", bytes(8) + b"x" * 99)):
        stream = Qemu().begin(20).more(2).add(data).footer(2)
        reads(tool, f"RAM of {name}",
              stream.htab(4, first_pass(table), True).finish(), table)
