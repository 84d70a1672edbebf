#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measure the downtime of live migrations of a guest.

usage: downtime.py COUNT MIB:KIND..

Runs inside an emulated host, which scripts/bench/downtime boots.  For each MIB,
the size of the HPT, and KIND a guest is started and migrated COUNT times, from
QEMU to QEMU.  A KIND is

  work    four processes change their memory, as in the demo
  quiet   nothing but the guest's kernel, and a line of output every half second
  filled  quiet, and half of the HPT is in use

/results/downtime gets a line for each migration: MiB, KIND, QEMU's downtime in
milliseconds, total time in milliseconds, bytes of the HPT read during the
downtime, and milliseconds until the last of these were read. The last two need
a trace event that only some kernels have.
"""
import glob
import os
import re
import subprocess
import sys
import time

from pseries import Failure, MiB, Machine, migrated, say

TRACING = "/sys/kernel/debug/tracing"
EVENT = f"{TRACING}/events/kvm_hpt/kvm_hpt_read"
READ = re.compile(r" (\d+\.\d+): kvm_hpt_read: .* ret=(\d+)$", re.M)

# A migration that takes longer than this would never complete
LIMIT = 300
HPT_OF_MEMORY = 128
MEMORY = 512
OPTIONS = {"work": "", "quiet": "workers=0", "filled": "workers=0 fill={}"}


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Trace:
    """The reads of HPTs, with times."""

    def __init__(self):
        self.on = os.path.isdir(EVENT)
        if self.on:
            write(f"{TRACING}/trace_clock", "mono")
            write(f"{TRACING}/buffer_size_kb", "16384")

    def start(self):
        if self.on:
            write(f"{TRACING}/trace", "")
            write(f"{EVENT}/enable", "1")

    def since(self, when):
        """Bytes, and milliseconds to the last of them, or dashes."""
        if not self.on:
            return "-", "-"
        write(f"{EVENT}/enable", "0")
        with open(f"{TRACING}/trace", encoding="ascii") as file:
            reads = [(float(at) - when, int(size))
                     for at, size in READ.findall(file.read())]
        late = [(at, size) for at, size in reads if at >= 0 and size]
        return (sum(size for _, size in late),
                f"{1000 * max((at for at, _ in late), default=0):.0f}")


def stopped_at(machine):
    """When the guest was stopped, on the clock of time.monotonic()."""
    stops = [event["timestamp"] for event in machine.qmp.events
             if event["event"] == "STOP"]
    if not stops:
        raise Failure("QEMU has not reported that the guest was stopped")
    return (stops[-1]["seconds"] + stops[-1]["microseconds"] / 1e6 -
            time.time() + time.monotonic())


def machine(name, mib, kind, *options):
    half = mib * MiB // 16 // 2
    return Machine(name, *options, machine=",resize-hpt=disabled",
                   memory=f"{MEMORY}M,slots=1,maxmem={mib * HPT_OF_MEMORY}M",
                   append=OPTIONS[kind].format(half))


def migrate(trace, source, name, mib, kind):
    """Return the machine that the guest is in now, and the line."""
    uri = f"unix:/tmp/{name}.in"
    destination = machine(name, mib, kind, "-S", "-incoming", uri)
    source.call("migrate-set-parameters", **{"max-bandwidth": 1 << 30})
    trace.start()
    source.call("migrate", uri=uri)
    begin = time.monotonic()
    late = False
    while not (info := migrated(source)):
        if not late and time.monotonic() > begin + LIMIT:
            late = True
            say("the migration does not complete, allow a long downtime")
            source.call("migrate-set-parameters", **{"downtime-limit": 60000})
        time.sleep(0.2)
    size, last = trace.since(stopped_at(source))
    destination.wait_for_arrival()
    source.kill()
    destination.call("cont")
    destination.wait_for_lines(2)
    return destination, (mib, kind, "never" if late else info["downtime"],
                         info["total-time"], size, last)


def run(trace, count, mib, kind, results):
    say(f"an HPT of {mib} MiB, {kind}")
    current = machine("guest0", mib, kind)
    current.wait_for_lines(4, limit=900)
    for nr in range(1, count + 1):
        current, line = migrate(trace, current, f"guest{nr}", mib, kind)
        say(" ".join(map(str, line)))
        print(*line, sep="\t", file=results, flush=True)
    current.kill()
    for left in glob.glob("/tmp/*.in"):
        os.unlink(left)


def main():
    count = int(sys.argv[1])
    trace = Trace()
    failed = 0
    with open("/results/downtime", "w", encoding="ascii") as results:
        for what in sys.argv[2:]:
            mib, kind = what.split(":")
            try:
                run(trace, count, int(mib), kind, results)
            except Failure as why:
                say(f"FAILED: {what}: {why}")
                failed = 1
                subprocess.run(["busybox", "killall", "qemu-system-ppc64"],
                               check=False)
    return failed


if __name__ == "__main__":
    sys.exit(main())
