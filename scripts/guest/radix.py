#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate, save and restore a guest with a radix MMU, which has no HPT.

usage: radix.py [live]

Runs inside an emulated host, which scripts/test/radix boots.  There is no HPT
to send, and everything else must work as for a guest that has one.  Prints TAP.

The guest is stopped while it is migrated: in the emulator, some pages that a
running guest writes to meanwhile have old contents at the destination, with the
base's own kernel, too. series/qemu/tcg has the reason. "live" migrates a running
guest, and says what kind of doublewords differ.
"""
import collections
import struct
import subprocess
import sys
import time

from pseries import (Failure, Machine, MiB, Stream, migrated, say, tell,
                     unbroken)

LINES = 6
# Seconds to wait for them: several times the time it takes on two cores
LIMIT = 400
# How much of the guest's memory to compare at a time, and in total
CHUNK = 64 * MiB
MEMORY = 512 * MiB
PAGE = 64 * 1024
# In a PTE, which is big-endian: it is valid, it is a leaf, and R and C
PTE_VALID, PTE_LEAF, PTE_RC = 1 << 63, 1 << 62, 0x180
SNAPSHOT = "if=none,id=snapshots,format=qcow2,file=/tmp/radix.qcow2"

CHECKS = [
    "a guest with a radix MMU works",
    "debugfs and the migration have nothing of an HPT",
    "its memory is the same on the other side of a migration",
    "it goes on unbroken",
    "it goes on unbroken after savevm and loadvm",
]


def migrate(source, bandwidth=1 << 30):
    destination = Machine("destination", "-S", "-incoming",
                          "unix:/tmp/destination.in", "-drive", SNAPSHOT,
                          memory=f"{MEMORY // MiB}M", radix=True)
    stream = Stream("/tmp/destination.out", "/tmp/destination.in")
    source.call("migrate-set-parameters",
                **{"max-bandwidth": bandwidth, "downtime-limit": 10000})
    source.call("migrate", uri="unix:/tmp/destination.out")
    while not migrated(source):
        time.sleep(0.1)
    destination.wait_for_arrival()
    return destination, stream


def memory(machine, at):
    return machine.qmp.memory("pmemsave", at, CHUNK,
                              f"/tmp/{machine.name}.memory")


def kind(was, became):
    """What a doubleword of these values on the two sides may be."""
    if was & became & PTE_VALID and was & PTE_LEAF and \
            (was ^ became) & ~PTE_RC == 0:
        return "R or C of a PTE"
    return "other"


def differences(source, destination):
    """Count the doublewords that differ, by kind, and their pages."""
    kinds, pages = collections.Counter(), collections.defaultdict(set)
    for at in range(0, MEMORY, CHUNK):
        one, other = memory(source, at), memory(destination, at)
        for offset in range(0, CHUNK, PAGE):
            a, b = one[offset:offset + PAGE], other[offset:offset + PAGE]
            if a == b:
                continue
            for was, became in zip(struct.unpack(f">{PAGE // 8}Q", a),
                                   struct.unpack(f">{PAGE // 8}Q", b)):
                if was != became:
                    kinds[kind(was, became)] += 1
                    pages[kind(was, became)].add(at + offset)
    return kinds, pages


def live():
    """Migrate a running guest, and print what differs then."""
    source = Machine("source", memory=f"{MEMORY // MiB}M", radix=True)
    source.wait_for_lines(LINES, limit=LIMIT)
    destination, _ = migrate(source, 16 * MiB)
    kinds, pages = differences(source, destination)
    for name in sorted(kinds):
        print(f"{kinds[name]} doublewords in {len(pages[name])} pages: {name}")
        print(f"# {' '.join(map(hex, sorted(pages[name])[:16]))}")
    print(f"{sum(kinds.values())} doublewords differ")
    text = source.text()
    source.kill()
    destination.call("cont")
    destination.wait_for_lines(LINES, limit=LIMIT)
    return unbroken(text + destination.text())


def run():
    """The results of CHECKS, as (good, detail)."""
    say("starting the guest")
    source = Machine("source", memory=f"{MEMORY // MiB}M", radix=True)
    source.wait_for_lines(LINES, limit=LIMIT)
    yield unbroken(source.text())

    say("migration")
    source.call("stop")
    destination, stream = migrate(source)
    shown = len(source.dump_hpt("radix"))
    yield (shown == 0 and stream.hpt_shift == stream.NO_HPT and not stream.records,
           f"{shown} entries are shown, {stream.records} records were sent")
    other = [at // MiB for at in range(0, MEMORY, CHUNK)
             if memory(source, at) != memory(destination, at)]
    yield not other, (f"differs from {other[0]} MiB on" if other else
                      f"{MEMORY // MiB} MiB")
    text = source.text()
    source.kill()
    destination.call("cont")
    destination.wait_for_lines(LINES, limit=LIMIT)
    yield unbroken(text + destination.text())

    say("savevm and loadvm")
    destination.call("stop")
    saved_at = len(destination.text())
    text += destination.text()
    destination.hmp("savevm radix")
    destination.call("cont")
    destination.wait_for_lines(LINES, saved_at, LIMIT)
    destination.call("stop")
    loaded_at = len(destination.text())
    destination.hmp("loadvm radix")
    destination.call("cont")
    destination.wait_for_lines(LINES, loaded_at, LIMIT)
    destination.call("stop")
    yield unbroken(text + destination.text()[loaded_at:])
    destination.kill()


def main():
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                    "/tmp/radix.qcow2", "2G"], check=True)
    if sys.argv[1:2] == ["live"]:
        good, detail = live()
        print(f"it goes on{'' if good else ' broken'}: {detail}")
        return 0
    return tell(CHECKS, run())


if __name__ == "__main__":
    sys.exit(main())
