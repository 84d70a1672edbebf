#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate, save and restore an HPT guest, and see that nothing is lost.

Runs inside an emulated host (scripts/demo boots it).  Starts a guest that
works on its memory; cancels a first migration halfway; live-migrates it to a
second QEMU; saves it and loads it again, there and in a third QEMU.  Each time
both sides are stopped, the guest's view of the hash page table is compared
entry by entry; each time the guest is let go, its output must go on where it
was.  Progress goes to the output as comments, results as TAP, a summary to
/results/summary, all that was compared to /results.
"""
import glob
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import hptdiff

CHECKS = [
    "a guest with a hash MMU works on the source",
    "it goes on after a migration cancelled halfway",
    "it is live-migrated while it works",
    "both sides' HPTs are equal after the migration",
    "its output goes on unbroken on the destination",
    "its HPT is equal after savevm and loadvm",
    "its output goes on unbroken after loadvm",
    "its HPT is equal when the snapshot is loaded by a new QEMU",
    "its output goes on unbroken in the new QEMU",
]

MEMORY = "512M"
# Fewer entries than this and the guest did not do what it is there for.
MIN_ENTRIES = 4096
# Lines of output to see before the guest counts as working.
LINES = 6

# Passes over the HPT to see while the guest runs, and how long to wait for
# them: a slow emulator may not get there.
PASSES = 3
PASSES_LIMIT = 120

MiB = 1 << 20
HPTE_SHIFT = 4
start_time = time.monotonic()


class Failure(Exception):
    """Something that ends the run, told in one line."""


def say(text):
    print(f"# {time.monotonic() - start_time:6.1f} s  {text}", flush=True)


class Report:
    """Results in the order of CHECKS, as TAP."""

    def __init__(self):
        self.done = 0
        self.failed = 0
        print(f"1..{len(CHECKS)}", flush=True)

    def result(self, good, detail):
        self.done += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.done} - "
              f"{CHECKS[self.done - 1]}", flush=True)
        say(f"  {detail}")

    def give_up(self, why):
        while self.done < len(CHECKS):
            self.result(False, why)


class Stream(threading.Thread):
    """Pass a migration stream on and count what it has of the HPT.

    Knows just enough of the stream to follow RAM and HPT sections, which all
    come before the devices' state; from there on it only passes bytes on.
    """

    SECTION_START, SECTION_PART, SECTION_END = 1, 2, 3
    CONFIGURATION, COMMAND, FOOTER = 0x07, 0x08, 0x7e
    RAM_ZERO, RAM_MEM_SIZE, RAM_PAGE = 0x02, 0x04, 0x08
    RAM_EOS, RAM_CONTINUE = 0x10, 0x20
    RAM_PAGE_BYTES = 4096

    def __init__(self, listen, to):
        super().__init__(daemon=True)
        self.to = to
        self.hpt_bytes = self.records = self.valid = 0
        self.hpt_passes = self.hpt_next = 0
        self.hpt_shift = None
        self.source = self.destination = None
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(listen)
        self.server.listen(1)
        self.start()

    def run(self):
        source, _ = self.server.accept()
        self.server.close()
        destination = socket.socket(socket.AF_UNIX)
        try:
            destination.connect(self.to)
            self.source = source.makefile("rb", MiB)
            self.destination = destination.makefile("wb", MiB)
            self.follow()
            self.destination.flush()
            while data := self.source.read1():
                self.destination.write(data)
                self.destination.flush()
        except (EOFError, OSError):
            # A cancelled migration ends like this.
            pass
        source.close()
        destination.close()

    def take(self, count):
        data = self.source.read(count)
        if len(data) < count:
            raise EOFError
        self.destination.write(data)
        return data

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def follow(self):
        names = {}
        self.take(8)
        while True:
            kind = self.number("B")
            if kind == self.CONFIGURATION:
                self.take(self.number(">I"))
            elif kind == self.COMMAND:
                self.number(">H")
                self.take(self.number(">H"))
            elif kind == self.FOOTER:
                self.number(">I")
                self.destination.flush()
            elif kind in (self.SECTION_START, self.SECTION_PART,
                          self.SECTION_END):
                section = self.number(">I")
                if kind == self.SECTION_START:
                    names[section] = self.take(self.number("B"))
                    self.take(8)
                if names.get(section) == b"ram":
                    self.follow_ram()
                elif names.get(section) == b"spapr/htab":
                    self.follow_hpt(kind == self.SECTION_START)
                else:
                    return
            else:
                return

    def follow_ram(self):
        while True:
            word = self.number(">Q")
            if word & self.RAM_EOS:
                return
            if word & self.RAM_MEM_SIZE:
                left = word & -self.RAM_PAGE_BYTES
                while left > 0:
                    self.take(self.number("B"))
                    left -= self.number(">Q")
                continue
            if not word & self.RAM_CONTINUE:
                self.take(self.number("B"))
            self.take(self.RAM_PAGE_BYTES if word & self.RAM_PAGE else 1)

    def follow_hpt(self, first):
        shift = self.number(">I")
        if first:
            self.hpt_shift = shift
            return
        while True:
            index = self.number(">I")
            valid = self.number(">H")
            invalid = self.number(">H")
            if not valid and not invalid:
                return
            if index < self.hpt_next or not self.records:
                self.hpt_passes += 1
            self.hpt_next = index + valid + invalid
            self.take(16 * valid)
            self.records += 1
            self.valid += valid
            self.hpt_bytes += 8 + 16 * valid


class Qmp:
    """QEMU's control socket."""

    def __init__(self, path, process):
        self.sock = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure("QEMU did not come up") from None
                time.sleep(0.1)
        self.sock.settimeout(120)
        self.file = self.sock.makefile("rw", encoding="utf-8")
        self.file.readline()
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        self.file.write(json.dumps({"execute": command,
                                    "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise Failure(f"QEMU went away at {command}")
            reply = json.loads(line)
            if "error" in reply:
                raise Failure(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def hmp(self, line):
        answer = self.call("human-monitor-command", **{"command-line": line})
        if answer.strip():
            raise Failure(f"{line}: {answer.strip().splitlines()[-1]}")


class Machine:
    """A QEMU with the guest, or waiting for it."""

    def __init__(self, name, *options):
        self.name = name
        self.dir = f"/tmp/{name}"
        os.mkdir(self.dir)
        self.console = f"/results/{name}.console"
        open(self.console, "w", encoding="ascii").close()
        self.errors = open(f"/results/{name}.stderr", "wb")
        self.process = subprocess.Popen(
            ["qemu-system-ppc64", "-M", "pseries,accel=kvm,kvm-type=HV,"
             "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,"
             "cap-ccf-assist=off", "-m", MEMORY, "-nodefaults",
             "-display", "none", "-serial", f"file:{self.console}",
             "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
             "-kernel", "/guest/vmlinux", "-initrd", "/guest.cpio",
             "-append", "console=hvc0 disable_radix loglevel=1 panic=-1",
             *options], stdin=subprocess.DEVNULL, stdout=self.errors,
            stderr=self.errors)
        self.qmp = Qmp(f"{self.dir}/qmp", self.process)

    def end(self):
        self.process.kill()
        self.process.wait()

    def text(self):
        with open(self.console, encoding="ascii", errors="replace") as f:
            return f.read()

    def status(self):
        return self.qmp.call("query-status")["status"]

    def lines(self, offset=0):
        return len(re.findall(r"^guest: .*$\n", self.text()[offset:], re.M))

    def wait_for_lines(self, count, offset=0, limit=180):
        """Wait until the guest has printed so many lines more."""
        deadline = time.monotonic() + limit
        wanted = self.lines(offset) + count
        while self.lines(offset) < wanted:
            if self.process.poll() is not None:
                raise Failure(f"QEMU ({self.name}) ended")
            if time.monotonic() > deadline:
                raise Failure(f"no sign of life from the guest ({self.name})")
            time.sleep(0.2)

    def dump_hpt(self, when):
        """Keep the guest's view of the HPT as it is now, and give it."""
        shown = glob.glob(f"/sys/kernel/debug/kvm/{self.process.pid}-*/htab")
        if len(shown) != 1:
            raise Failure(f"KVM shows no HPT for QEMU ({self.name})")
        copy = f"/results/{when}.hpt"
        shutil.copyfile(shown[0], copy)
        return hptdiff.load(copy)


def migrate_info(machine):
    info = machine.qmp.call("query-migrate")
    return info["status"], info.get("ram", {}), info


def show_progress(ram, stream):
    hpt = "not yet"
    if stream.hpt_passes:
        done = stream.hpt_next / (1 << stream.hpt_shift - HPTE_SHIFT)
        hpt = (f"pass {stream.hpt_passes} at {done:4.0%}, "
               f"{stream.hpt_bytes / MiB:.2f} MiB sent")
    say(f"  RAM: {ram['remaining'] / MiB:3.0f} of {ram['total'] / MiB:.0f} MiB"
        f" left, {ram['transferred'] / MiB:5.1f} MiB sent   HPT: {hpt}")


def start_migration(source, name, bandwidth):
    """Start a destination that will stay stopped, and the migration to it.

    The downtime allowed is so short that the migration goes on and on until
    it is cancelled or allowed more.
    """
    destination = Machine(
        name, "-S", "-incoming", f"unix:/tmp/{name}.in",
        "-drive", "if=none,id=snapshots,format=qcow2,"
        f"file=/tmp/{name}.qcow2")
    stream = Stream(f"/tmp/{name}.out", f"/tmp/{name}.in")
    source.qmp.call("migrate-set-parameters", **{
        "max-bandwidth": bandwidth, "downtime-limit": 1})
    source.qmp.call("migrate", uri=f"unix:/tmp/{name}.out")
    return destination, stream


def cancel_halfway(source):
    say("migration that will be cancelled halfway")
    destination, stream = start_migration(source, "cancelled", 16 * MiB)
    sent = 0
    while True:
        status, ram, _ = migrate_info(source)
        if status not in ("setup", "active"):
            raise Failure(f"the migration to be cancelled: {status}")
        if status == "active":
            show_progress(ram, stream)
            sent = 1 - ram["remaining"] / ram["total"]
            if sent > 0.5:
                break
        time.sleep(0.5)
    source.qmp.call("migrate_cancel")
    while migrate_info(source)[0] == "cancelling":
        time.sleep(0.1)
    status = migrate_info(source)[0]
    destination.end()
    if status != "cancelled":
        raise Failure(f"cancelling the migration: {status}")
    return sent


def migrate(source):
    say("live migration")
    destination, stream = start_migration(source, "destination", 1 << 30)
    deadline = time.monotonic() + PASSES_LIMIT
    shown = 0
    ending = False
    live = (0, 0)
    while True:
        status, ram, info = migrate_info(source)
        if status == "completed":
            break
        if not ending and (stream.hpt_passes > PASSES or
                           time.monotonic() > deadline):
            show_progress(ram, stream)
            say("  the guest may be stopped now")
            source.qmp.call("migrate-set-parameters",
                            **{"downtime-limit": 10000})
            ending = True
            live = (stream.valid, stream.hpt_passes)
        if status not in ("setup", "active", "device"):
            raise Failure(f"the migration: {status} "
                          f"{info.get('error-desc', '')}")
        if status == "active" and time.monotonic() > shown + 1:
            show_progress(ram, stream)
            shown = time.monotonic()
        time.sleep(0.1)
    while destination.status() == "inmigrate":
        time.sleep(0.1)
    if destination.status() != "paused":
        raise Failure(f"the destination: {destination.status()}")
    show_progress(ram, stream)
    return destination, stream, info, live


def unbroken(text):
    """Whether a guest's output has every line, and none that complains."""
    lines = re.findall(r"^guest: (\d+) (\w+) rounds (\d+) at .*$", text, re.M)
    if "GUEST FAIL" in text or any(state != "ok" for _, state, _ in lines):
        return False, "the guest's memory is not what it was"
    if [int(n) for n, _, _ in lines] != list(range(1, len(lines) + 1)):
        return False, "a line is missing or came twice"
    if not lines:
        return False, "there is none"
    return True, (f"lines 1 to {len(lines)}, memory checked in "
                  f"{lines[-1][2]} rounds")


def same(report, a, b):
    equal = not hptdiff.diff(a, b)
    text = hptdiff.verdict(a, b)
    if equal and len(a) < MIN_ENTRIES:
        equal, text = False, f"only {len(a)} entries, too few to tell"
    report.result(equal, text)
    return text


def run(report, summary):
    say("starting the guest")
    source = Machine("source")
    source.wait_for_lines(LINES)
    entries = len(source.dump_hpt("working"))
    if entries < MIN_ENTRIES:
        raise Failure(f"only {entries} entries in the HPT: a radix guest?")
    report.result(True, f"line {source.lines()}, {entries} entries in its HPT")

    sent = cancel_halfway(source)
    source.wait_for_lines(LINES)
    report.result(*unbroken(source.text()))
    summary["cancelled migration"] = f"at {sent:.0%} of RAM, the guest went on"

    destination, stream, info, live = migrate(source)
    hpt = 1 << stream.hpt_shift
    summary["HPT"] = f"{hpt / MiB:g} MiB, {hpt >> HPTE_SHIFT} entries"
    summary["live migration"] = (
        f"{info['total-time'] / 1000:.1f} s, the guest stood still for "
        f"{info['downtime'] / 1000:.2f} s")
    summary["sent"] = (
        f"{info['ram']['transferred'] / MiB:.0f} MiB of RAM, "
        f"{stream.hpt_bytes / MiB:.2f} MiB of HPT "
        f"({stream.valid} valid entries in {stream.records} records)")
    summary["sent while it worked"] = (
        f"{live[0]} valid entries, in {live[1]} passes over the HPT")
    report.result(live[0] > 0, summary["sent while it worked"])

    before = source.dump_hpt("source")
    after = destination.dump_hpt("destination")
    summary["source, destination"] = same(report, before, after)

    destination.qmp.call("cont")
    destination.wait_for_lines(LINES)
    text = source.text()
    source.end()
    result = unbroken(text + destination.text())
    summary["guest's output there"] = result[1]
    report.result(*result)

    say("savevm")
    destination.qmp.call("stop")
    saved_at = len(destination.text())
    text += destination.text()
    before = destination.dump_hpt("saved")
    destination.qmp.hmp("savevm demo")
    destination.qmp.call("cont")
    destination.wait_for_lines(LINES, saved_at)
    destination.qmp.call("stop")

    say("loadvm")
    loaded_at = len(destination.text())
    destination.qmp.hmp("loadvm demo")
    after = destination.dump_hpt("loaded")
    summary["savevm, loadvm"] = same(report, before, after)
    destination.qmp.call("cont")
    destination.wait_for_lines(LINES, loaded_at)
    destination.qmp.call("stop")
    report.result(*unbroken(text + destination.text()[loaded_at:]))
    destination.end()

    say("the snapshot in a new QEMU")
    restored = Machine(
        "restored", "-S", "-loadvm", "demo", "-drive",
        "if=none,id=snapshots,format=qcow2,file=/tmp/destination.qcow2")
    after = restored.dump_hpt("restored")
    summary["savevm, new QEMU"] = same(report, before, after)
    restored.qmp.call("cont")
    restored.wait_for_lines(LINES)
    result = unbroken(text + restored.text())
    summary["guest's output there"] = result[1]
    report.result(*result)
    restored.end()


def main():
    report = Report()
    summary = {}
    for name in "cancelled", "destination":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                        f"/tmp/{name}.qcow2", "2G"], check=True)
    try:
        run(report, summary)
    except Exception as e:  # whatever it is, the rest did not happen
        report.give_up(str(e) or type(e).__name__)
    summary["time"] = f"{time.monotonic() - start_time:.0f} s in the host"
    with open("/results/summary", "w", encoding="ascii") as f:
        for what, text in summary.items():
            f.write(f"{what:22}{text}\n")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
