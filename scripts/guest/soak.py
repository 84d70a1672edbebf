#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Repeatedly migrate a guest that works on its memory.

Runs inside an emulated host; scripts/test/soak-migrate boots it and explains
its output.  With a peer, the guest is migrated to QEMUs on another host and
back, where this program runs as well to serve them.
"""
import argparse
import contextlib
import functools
import itertools
import os
import pickle
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import hptdiff
import pseries
from pseries import Failure, MiB, Qmp, Stream, migrate_info, say

MEMORY = "256M"
SERVER_PORT = 7000
STREAM_PORT = 7001

# Otherwise the guest leaves QEMU little of the host's CPU, and a migration
# takes forever to send what changes meanwhile.
VCPU_NICE = 2

# With fewer entries than this, the guest does not do its work.
MIN_ENTRIES = 4096
# Lines of output after which a guest counts as alive.
LINES = 2
# How long to wait for anything: emulated machines may be slow.
LIMIT = 600
# How often to print what a migration is waiting for.
TELL_EVERY = 30
# Migrations of a guest before another one is booted.
LIFE = 25
# Give up after this many successive guests that did not come up.
GUESTS = 3

# What QEMU says at the source if the HPT was replaced while it migrated, and at
# a destination with an HPT of another order: Debian's, and ours.
REPLACED = re.compile(r"HTAB fd: Stale file handle|htab_load\(\) bad index|"
                      r"The stream has HPTEs .* that an HPT of order")
# In these hosts a reset leaves a guest its HPT, so that out of so many reboots
# at least one has to leave the migration alone.
KEEP_HPT = ("powernv8", "powernv9")
REBOOTS = 4

# The compatibility modes that each kind of host supports.
COMPAT = {
    "powernv8": ("", "power8"),
    "powernv9": ("", "power8", "power9"),
    "powernv10": ("", "power8", "power9", "power10"),
}

# How the output of each boot begins, and the lines of the guest.
BOOT = "\nSLOF"
LINE = re.compile("^guest: ", re.M)

# The guest kernel's address of its text.
KERNEL = 0xc000000000000000
TEXT = 0x10000
TEXT_BYTES = 0x1000

# The memory on which its processes work, see scripts/guest/guest.c.
WORKED_ON = ((0x1000000000, 8 * MiB), (0x1001000000, 2 * MiB))
PAGE = 0x10000

# Seconds between reads, in which the guest can work.
READ_EVERY = 0.05


class Readers(threading.Thread):
    """Read the guest's memory through its HPT, by way of the monitor.

    Each read opens the HPT file for a single group.
    """

    def __init__(self, machine, text_is_there):
        """Whether the text is mapped: not while the guest boots."""
        super().__init__(daemon=True)
        self.text_is_there = text_is_there
        self.process = machine.process
        self.qmp = Qmp(f"{machine.dir}/hmp", machine.process, machine.errors)
        self.file = f"{machine.dir}/memory"
        self.reads = self.texts = 0
        self.wrong = None
        self.enough = threading.Event()
        self.start()

    def run(self):
        rng = random.Random(0)
        try:
            while not self.enough.is_set() and not self.wrong:
                self.reads += len(self.qmp.hmp("x /8i $pc").splitlines()) == 8
                for start, size in WORKED_ON:
                    at = start + rng.randrange(0, size, PAGE)
                    self.reads += "0x" in self.qmp.hmp(f"x /1xg {at:#x}")
                # It can't be read while the CPU is in user space.
                with contextlib.suppress(Failure):
                    found = self.save("memsave", KERNEL + TEXT)
                    self.texts += 1
                    if found != self.save("pmemsave", TEXT) and \
                            self.text_is_there:
                        self.wrong = "memsave: not the kernel's text"
                time.sleep(READ_EVERY)
        except (Failure, OSError, ValueError) as e:
            try:
                # It was killed
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.wrong = f"the monitor fails: {e}"

    def save(self, command, address):
        """Save the kernel's text, and return it."""
        return self.qmp.memory(command, address, TEXT_BYTES, self.file)

    def end(self):
        self.enough.set()
        self.join()
        if self.wrong:
            raise Failure(self.wrong)
        return self.reads, self.texts


class Machine(pseries.Machine):
    """A Machine that a peer can use, too: methods have plain arguments."""

    def __init__(self, name, *options, machine=""):
        super().__init__(
            name, "-qmp", f"unix:/tmp/{name}/hmp,server=on,wait=off",
            "-gdb", f"unix:/tmp/{name}/gdb,server=on,wait=off", *options,
            memory=MEMORY, machine=machine, results=f"/tmp/{name}")
        self.readers = None
        for cpu in self.call("query-cpus-fast"):
            os.setpriority(os.PRIO_PROCESS, cpu["thread-id"], VCPU_NICE)

    def type(self, text):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self.dir}/console")
            sock.sendall(text)

    def length(self):
        return len(self.text())

    def complaints(self, begin=0):
        return pseries.complaints(self.errors)[begin:]

    def start_readers(self, text_is_there):
        self.readers = Readers(self, text_is_there)

    def end_readers(self):
        readers, self.readers = self.readers, None
        return readers.end() if readers else (0, 0)

    def debug(self):
        """Read with gdb's protocol, which stops the guest meanwhile.

        In user space there may be nothing to read.
        """
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(LIMIT)
            sock.connect(f"{self.dir}/gdb")
            for request in f"m{KERNEL + TEXT:x},40", "D":
                check = sum(request.encode()) & 0xff
                sock.sendall(f"+${request}#{check:02x}".encode())
                answer = b""
                while not re.search(rb"\$[^#]*#..", answer):
                    data = sock.recv(4096)
                    if not data:
                        raise Failure("gdbstub: no answer")
                    answer += data

    def exit_status(self):
        """Wait for QEMU to exit by itself."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise Failure(f"QEMU ({self.name}) does not end") from None

    def keep(self, prefix):
        """Keep its output, to find the reason for a failure."""
        for name in os.listdir(self.dir):
            if name.endswith((".console", ".stderr", ".hpt")):
                shutil.copyfile(f"{self.dir}/{name}",
                                f"/results/{prefix}-{name}")
        with contextlib.suppress(Failure, OSError), \
                open(f"/results/{prefix}-{self.name}.state", "w",
                     encoding="ascii", errors="replace") as f:
            for command in "info status", "info registers -a":
                f.write(self.qmp.hmp(command) + "\n")

    def gone(self):
        self.kill()
        shutil.rmtree(self.dir)


class Peer:
    """The other host."""

    def __init__(self, address):
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                sock = socket.create_connection((address, SERVER_PORT), 5)
                break
            except OSError as e:
                if time.monotonic() > deadline:
                    raise Failure(f"no way to the peer: {e}") from None
                time.sleep(1)
        sock.settimeout(2 * LIMIT)
        self.address = address
        self.file = sock.makefile("rwb")

    def call(self, *request):
        try:
            pickle.dump(request, self.file)
            self.file.flush()
            good, answer = pickle.load(self.file)
        except (EOFError, OSError) as e:
            raise Failure("the peer's host gives no answer: "
                          f"{e or 'it ended'}") from None
        if not good:
            raise Failure(answer)
        return answer


class Remote:
    """A Machine on the other host."""

    def __init__(self, peer, name, *options, **more):
        self.peer = peer
        self.name = name
        peer.call("new", name, options, more)

    def __getattr__(self, method):
        return lambda *args, **more: self.peer.call(method, self.name, args,
                                                    more)


def serve():
    """Run the machines that a Peer asks for, until it has gone."""
    machines = {}
    with socket.create_server(("", SERVER_PORT)) as server:
        file = server.accept()[0].makefile("rwb")
    while True:
        try:
            method, name, args, more = pickle.load(file)
        except (EOFError, OSError):
            return
        try:
            if method == "new":
                answer = None
                machines[name] = Machine(name, *args, **more)
            else:
                answer = getattr(machines[name], method)(*args, **more)
            reply = (True, answer)
        except (Failure, OSError) as e:
            reply = (False, str(e))
        pickle.dump(reply, file)
        file.flush()


class Plan:
    """The parameters of a migration, all drawn before it begins."""

    def __init__(self, rng, scenario):
        self.scenario = scenario
        self.bandwidth = rng.choice((16, 32, 64, 1024)) * MiB
        self.passes = rng.randrange(1, 4)
        self.readers = rng.random() < 0.5
        self.points = [rng.choice((("ram", rng.uniform(0, 0.9)),
                                   ("hpt", rng.randrange(1, 3)),
                                   ("switchover", 0)))
                       for _ in range(rng.randrange(1, 3))]
        self.wait = rng.random() < 0.5


class Migration:
    """A migration that is under way."""

    # The monitor's reads of the kernel's text in all of them.
    all_texts = 0

    def __init__(self, guest, plan):
        self.source = guest.machine
        self.told = time.monotonic()
        self.readers = plan.readers
        self.reads = self.texts = 0
        self.live = 0
        self.why = self.numbers = ""
        # What it has said before is not about this migration.
        self.said = len(self.source.complaints())
        self.destination, to, port = guest.new(incoming=True)
        if isinstance(self.source, Remote):
            self.stream = Stream(("", port), to)
            uri = f"tcp:{guest.own_address}:{port}"
        else:
            path = f"/tmp/{self.destination.name}.out"
            self.stream = Stream(path, to)
            uri = f"unix:{path}"
        self.source.call("migrate-set-capabilities", capabilities=[
            {"capability": "pause-before-switchover", "state": True}])
        # It does not complete until it is allowed to stop the guest.
        self.source.call("migrate-set-parameters", **{
            "max-bandwidth": plan.bandwidth, "downtime-limit": 1})
        self.source.call("migrate", uri=uri)
        if self.readers:
            self.source.start_readers(plan.scenario != "reboot")

    def info(self, wanted):
        """Query QEMU, and sometimes print what is being waited for."""
        info = migrate_info(self.source)
        if time.monotonic() - self.told > TELL_EVERY:
            self.told = time.monotonic()
            ram = info[1]
            say(f"{wanted}? {info[0]}, {ram.get('remaining', 0) >> 20} MiB of "
                f"RAM to send, {ram.get('dirty-sync-count', 0)} passes over "
                f"it, {self.stream.hpt_passes} over the HPT, "
                f"{self.source.lines()} lines of the guest")
        return info

    def reached(self, point, ram):
        what, how_much = point
        if what == "ram":
            return ram and 1 - ram["remaining"] / ram["total"] > how_much
        return what == "hpt" and self.stream.hpt_passes > how_much

    def until(self, point):
        """Wait for a point, or for the guest to be stopped before it."""
        if point[0] == "switchover":
            return self.switchover()
        what, how_much = point
        deadline = time.monotonic() + LIMIT / 2
        while True:
            status, ram, _ = self.info(point)
            self.live = self.stream.valid
            if status not in ("setup", "active", "device"):
                return status
            if self.reached(point, ram):
                break
            if time.monotonic() > deadline:
                if what == "hpt":
                    raise Failure(f"no {how_much} passes in {LIMIT / 2:.0f} s")
                # The guest may change RAM as fast as it is sent
                break
            time.sleep(0.1)
        if self.readers:
            self.source.debug()
            self.reads += 1
        return migrate_info(self.source)[0]

    def until_lines(self, seen):
        """Wait for lines of the guest, or for it to be stopped before them."""
        deadline = time.monotonic() + LIMIT
        while (self.source.lines(seen) < LINES and
               migrate_info(self.source)[0] == "active"):
            if time.monotonic() > deadline:
                raise Failure("no sign of life from the guest")
            time.sleep(0.2)

    def end_readers(self):
        if self.readers:
            self.readers = False
            reads, texts = self.source.end_readers()
            self.reads += reads + texts
            self.texts += texts
            Migration.all_texts += texts

    def switchover(self):
        """Let QEMU stop the guest."""
        self.source.call("migrate-set-parameters",
                         **{"downtime-limit": 300000})
        return self.wait("pre-switchover")

    def wait(self, wanted):
        """Wait until the migration has this status, or fails."""
        deadline = time.monotonic() + LIMIT
        while True:
            status, _, info = self.info(wanted)
            if status in (wanted, "failed"):
                self.why = info.get("error-desc", "")
                return status
            if time.monotonic() > deadline:
                raise Failure(f"the migration stays {status}")
            time.sleep(0.05)

    def go_on(self):
        """Let the migration complete, for which the guest is stopped."""
        # A debugger may have left it running.
        self.source.call("stop")
        self.source.call("migrate-continue", state="pre-switchover")
        return self.wait("completed")

    def finish(self):
        status = self.switchover()
        if status == "pre-switchover":
            status = self.go_on()
        self.end_readers()
        return status

    def count(self):
        """Describe it in numbers, once it has completed."""
        info = migrate_info(self.source)[2]
        self.numbers = (
            f"{info['total-time'] / 1000:.1f} s, stood still "
            f"{info['downtime'] / 1000:.2f} s, {self.live} of "
            f"{self.stream.valid} valid HPTEs sent while it worked, "
            f"{self.stream.hpt_passes} passes")
        if self.reads:
            self.numbers += (f", {self.reads} reads by the monitor, "
                             f"{self.texts} of them of the kernel's text")


class Guest:
    """A guest, through all the QEMUs it lives in."""

    numbers = itertools.count(1)
    # Whether each migration completed during which a guest was reset
    reboots = []

    def __init__(self, rng, args, peer):
        self.peer = peer
        self.own_address = args.address
        compat = rng.choice(COMPAT[args.machine])
        cpus = rng.choice((1, 2))
        self.resizable = args.each or rng.random() < 0.5
        resize = "required" if self.resizable else "disabled"
        self.options = ("-smp", str(cpus))
        self.machine_options = f",resize-hpt={resize}"
        if compat:
            self.machine_options += f",max-cpu-compat={compat}"
        self.kind = f"{compat or 'host'} cpu x{cpus}, resize {resize}"
        # Its output in previous machines.
        self.text = ""
        self.machine = self.arriving = None
        self.saved = None

    def boot(self):
        self.new()
        self.machine, self.arriving = self.arriving, None
        self.machine.wait_for_lines(LINES, limit=LIMIT)
        entries = len(self.machine.dump_hpt("working"))
        if entries < MIN_ENTRIES:
            raise Failure(f"only {entries} entries in the HPT")

    def new(self, incoming=False, state=None):
        """Start a QEMU; for an incoming migration on the side without the guest.

        Returns it, the address for the stream and a port of its own.
        """
        number = next(self.numbers)
        name, port = f"g{number}", STREAM_PORT + number
        make, address = Machine, f"/tmp/g{number}.in"
        uri = state or f"unix:{address}"
        if self.peer and incoming and not isinstance(self.machine, Remote):
            make = functools.partial(Remote, self.peer)
            address = (self.peer.address, port)
            uri = f"tcp:0:{port}"
        arrival = ("-S", "-incoming", uri) if incoming or state else ()
        self.arriving = make(name, *self.options, *arrival,
                             machine=self.machine_options)
        return self.arriving, address, port

    def check_output(self):
        """Check that every line since each boot is there without complaints."""
        text = self.text + self.machine.text()
        boots = text.split(BOOT)
        for boot in boots:
            good, why = pseries.unbroken(boot)
            if not good and LINE.search(boot):
                raise Failure(f"the guest's output: {why}")
            if "GUEST FAIL" in boot:
                raise Failure("the guest's memory is not what it was")
        return why

    def resizes(self, before=False):
        """Its lines about resizes since it was booted, or only those before it was
        in this QEMU."""
        text = self.text + ("" if before else self.machine.text())
        return re.findall(r"^resize: (to [^\r\n]*)\r?\n",
                          text.split(BOOT)[-1], re.M)

    def lives(self):
        """Check that it prints, and that nothing was lost."""
        self.machine.wait_for_lines(LINES, self.machine.length(), LIMIT)
        return self.check_output()

    def compare(self, before, destination):
        after = destination.dump_hpt("after")
        # After a reset, a guest that could use radix has no HPT until it asks
        # for one.  Until then, the source's KVM keeps the old HPT.
        text = self.text + self.machine.text()
        if not after and not LINE.search(text.split(BOOT)[-1]):
            return "no HPT, it is booting"
        text = hptdiff.verdict(before, after)
        if hptdiff.diff(before, after):
            raise Failure(f"HPTs {text}")
        return text

    def move(self, migration):
        """The guest is in the destination now."""
        destination = migration.destination
        deadline = time.monotonic() + LIMIT
        while destination.status() == "inmigrate":
            if time.monotonic() > deadline:
                raise Failure("the destination stays inmigrate")
            time.sleep(0.1)
        migration.count()
        text = self.compare(self.machine.dump_hpt("before"), destination)
        return self.enter(destination, self.text + self.machine.text(), text)

    def enter(self, machine, text, equal):
        if self.machine:
            self.machine.gone()
        self.text = text
        self.machine, self.arriving = machine, None
        machine.call("cont")
        return f"{equal}; {self.lives()}"

    def stay(self, destination):
        """Check that the source lives on after a migration that failed."""
        destination.gone()
        self.arriving = None
        # The debugger had stopped it at the wrong moment, so QEMU did not
        # resume it.
        if self.machine.status() in ("paused", "postmigrate"):
            self.machine.call("cont")
        return self.lives()

    def end(self, keep=None):
        for machine in self.machine, self.arriving:
            if machine:
                if keep:
                    machine.keep(keep)
                machine.gone()


def live(guest, plan):
    """Migrate it."""
    migration = Migration(guest, plan)
    migration.until(("hpt", plan.passes))
    status = migration.finish()
    if status != "completed":
        raise Failure(f"the migration {status}: {migration.why}")
    text = guest.move(migration)
    return f"{migration.numbers}; {text}"


def cancelled(guest, plan):
    """Cancel migrations at some point, then migrate it."""
    for point in plan.points:
        migration = Migration(guest, plan)
        migration.until(point)
        migration.source.call("migrate_cancel")
        status = migration.wait("cancelled")
        migration.end_readers()
        if status != "cancelled":
            raise Failure(f"cancelled at {point}: {status}")
        guest.stay(migration.destination)
    return f"{len(plan.points)} times, then {live(guest, plan)}"


def destination_killed(guest, plan):
    """kill -9 the destination at some point; the source lives on."""
    point = plan.points[0]
    migration = Migration(guest, plan)
    status = migration.until(point)
    migration.destination.kill()
    migration.stream.cut()
    migration.stream.join(LIMIT)
    if status == "pre-switchover":
        migration.go_on()
    status = migration.wait("completed")
    migration.end_readers()
    if status != "failed":
        raise Failure(f"destination killed at {point}: {status}")
    return f"at {point[0]} {point[1]:.2g}; {guest.stay(migration.destination)}"


def source_killed(guest, plan):
    """kill -9 the source; the destination exits, a saved state lives on."""
    save(guest)
    point = plan.points[0]
    migration = Migration(guest, plan)
    migration.until(point)
    guest.machine.kill()
    status = migration.destination.exit_status()
    errors = (migration.destination.complaints() or [""])[-1]
    if status != 1 or not errors:
        raise Failure(f"source killed at {point}: the destination's exit "
                      f"status {status}, {errors or 'no message'}")
    migration.destination.gone()
    return f"at {point[0]} {point[1]:.2g}; {errors}; {restore(guest)}"


def save(guest):
    """Save the state to a file, and continue."""
    guest.machine.call("stop")
    guest.machine.call("migrate-set-capabilities", capabilities=[
        {"capability": "pause-before-switchover", "state": False}])
    guest.machine.call("migrate-set-parameters", **{
        "max-bandwidth": 1 << 40})
    guest.machine.call("migrate", uri="exec:cat >/tmp/state")
    while (status := migrate_info(guest.machine)[0]) != "completed":
        if status == "failed":
            raise Failure("the state can't be saved")
        time.sleep(0.1)
    guest.saved = (guest.machine.dump_hpt("saved"),
                   guest.text + guest.machine.text())
    guest.machine.call("cont")
    guest.lives()


def restore(guest):
    """Load the saved state into a new QEMU."""
    hpt, text = guest.saved
    machine, _, _ = guest.new(state="exec:cat /tmp/state")
    machine.wait_for_arrival()
    return guest.enter(machine, text, guest.compare(hpt, machine))


def saved_restored(guest, _plan):
    """Save it to a file, let it continue, load it again."""
    save(guest)
    return restore(guest)


def reboot(guest, plan):
    """Reset it meanwhile: completes correctly, or the source lives on."""
    # QEMU returns to the HPT's first order without telling the destination: no
    # kernel can make up for that.
    if sum(text.endswith("done") for text in guest.resizes()) % 2:
        resize_hpt(guest)
    good, text = disturbed(guest, plan,
                           lambda: guest.machine.call("system_reset"))
    Guest.reboots.append(good)
    return text if good else f"{text}; again: {live(guest, plan)}"


def resize(guest, plan):
    """Resize its HPT meanwhile, with the same outcomes."""
    count = len(guest.resizes())
    good, text = disturbed(guest, plan, lambda: guest.machine.type(b"r"))
    outcome = resized(guest, count)
    text = f"{outcome}; {text}"
    # An HPT that it has prepared at the source can't be committed at the
    # destination: the guest gets an error there, and keeps its HPT.
    if good and len(guest.resizes(before=True)) == count:
        return text
    if not outcome.endswith("done"):
        raise Failure(f"the guest can't resize its HPT {outcome}")
    return text if good else f"{text}; again: {live(guest, plan)}"


def resize_hpt(guest):
    count = len(guest.resizes())
    guest.machine.type(b"r")
    outcome = resized(guest, count)
    if not outcome.endswith("done"):
        raise Failure(f"the guest can't resize its HPT {outcome}")


def resized(guest, count):
    """Wait for one more resize than before."""
    deadline = time.monotonic() + LIMIT
    while len(guest.resizes()) == count:
        if time.monotonic() > deadline:
            raise Failure("the guest does not resize its HPT")
        time.sleep(0.1)
    return guest.resizes()[-1]


def disturbed(guest, plan, disturb):
    """Does a migration complete?  It may fail if the HPT was replaced."""
    migration = Migration(guest, plan)
    status = migration.until(("hpt", min(plan.passes, 1)))
    seen = guest.machine.length()
    disturb()
    if status == "active":
        if plan.wait:
            migration.until_lines(seen)
        migration.until(("hpt", migration.stream.hpt_passes + 1))
    status = migration.finish()
    if status == "completed":
        text = guest.move(migration)
        return True, f"{migration.numbers}; {text}"
    said = (guest.machine.complaints(migration.said) +
            migration.destination.complaints())
    why = next(filter(REPLACED.search, said), None)
    if not why:
        raise Failure(f"the migration {status}, not as the HPT was replaced: "
                      f"{'; '.join([migration.why, *said])}")
    return False, (f"fails ({why}), the source lives on; "
                   f"{guest.stay(migration.destination)}")


SCENARIOS = {
    "live": live,
    "cancelled": cancelled,
    "destination-killed": destination_killed,
    "source-killed": source_killed,
    "saved-restored": saved_restored,
    "resize": resize,
    "reboot": reboot,
}
# The weight of each.  A reboot takes as long as many migrations.
WEIGHTS = {"live": 10, "cancelled": 4, "resize": 3}


class Soak:
    """Guests and migrations until the time is up."""

    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.count = self.failed = 0
        self.peer = Peer(args.peer) if args.peer else None
        self.guest = None

    def result(self, good, text):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {text}",
              flush=True)

    def over(self):
        return time.monotonic() - pseries.start_time > self.args.seconds

    def possible(self):
        """The scenarios, each as often as its weight."""
        for name in SCENARIOS:
            # A state saved on one host can't be loaded on another.
            if self.peer and name in ("saved-restored", "source-killed"):
                continue
            if name != "resize" or self.guest.resizable:
                yield from [name] * WEIGHTS.get(name, 1)

    def boot(self):
        """Boot another guest.  Returns False if it does not come up."""
        self.guest = Guest(self.rng, self.args, self.peer)
        try:
            self.guest.boot()
        except Failure as e:
            self.result(False, f"a guest comes up: {e}")
            self.guest.end(keep=self.count)
            return False
        return True

    def one(self, scenario):
        """Return False if the guest can't be used any more."""
        plan = Plan(self.rng, scenario)
        say(str(vars(plan)))
        what = f"{plan.scenario}, {self.guest.kind}"
        if self.peer:
            remote = isinstance(self.guest.machine, Remote)
            what += f", {'from' if remote else 'to'} the peer"
        try:
            text = SCENARIOS[scenario](self.guest, plan)
        except (Failure, OSError) as e:
            self.result(False, f"{what}: {e}")
            self.guest.end(keep=self.count)
            return False
        self.result(True, f"{what}: {text}")
        return True

    def each(self):
        """Run every requested scenario once."""
        alive = False
        for scenario in self.args.only:
            alive = alive or self.boot()
            alive = alive and self.one(scenario)
        self.result(Migration.all_texts > 0,
                    "the monitor can read the kernel's text")

    def check_reboots(self):
        """A reboot that keeps the HPT must not fail each migration."""
        done = Guest.reboots
        if self.args.machine in KEEP_HPT and len(done) >= REBOOTS:
            self.result(any(done), f"{sum(done)} of {len(done)} migrations "
                        "complete in spite of a reboot")

    def run(self):
        dead = 0
        while not self.over() and dead < GUESTS:
            if not self.boot():
                dead += 1
                continue
            dead = 0
            for _ in range(LIFE):
                scenario = self.rng.choice(list(self.possible()))
                if not self.one(scenario):
                    break
                if self.over():
                    self.guest.end()
                    break
            else:
                self.guest.end()
        self.check_reboots()


def network(address):
    for words in f"addr add {address}/24 dev eth0", "link set eth0 up":
        subprocess.run(["busybox", "ip", *words.split()], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine", choices=COMPAT)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed")
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--only", type=lambda names: names.split(","),
                        default=list(SCENARIOS))
    parser.add_argument("--address", help="of this host")
    parser.add_argument("--peer", help="address of the other host")
    args = parser.parse_args()
    if args.address:
        network(args.address)
        if not args.peer:
            serve()
            return 0
    soak = Soak(args)
    if args.each:
        print(f"1..{len(args.only) + 1}", flush=True)
        soak.each()
    else:
        soak.run()
    return 1 if soak.failed or not soak.count else 0


if __name__ == "__main__":
    sys.exit(main())
