# SPDX-License-Identifier: GPL-2.0
"""Files that are longer than their contents, as volumes are, and those that need
another program to be read."""
import contextlib
import gzip
import json
import os
import random
import shutil
import signal
import struct
import subprocess

import hpt
from common import CLEAN, hold_to_schema, result
from hpt import Qemu, first_pass, qemu
from tables import kernel
from test_file import COMMANDS, reads, refused


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


def sparse(tool, data):
    """A file with this data, and zeroes behind it that take minutes to read."""
    name = tool.file("sparse", data)
    os.truncate(os.path.join(tool.directory, name), 1 << 40)
    return name


def test_libvirt_volume(tool):
    table = kernel(20)
    stream = qemu(20, [first_pass(table)])
    for program, form in ("gzip", 1), ("bzip2", 2), ("xz", 3), ("zstd", 5):
        if not shutil.which(program):
            continue
        data = subprocess.run([program, "-c"], input=stream, capture_output=True,
                              check=True).stdout
        name = sparse(tool, hpt.libvirt(data, form=form))
        for command in "list", "dump", "check":
            code, out, err = tool.run(command, name)
            result(f"file: {command} of a libvirt image, {program}, in a sparse "
                   "file of 1 TiB", "" if not code and not err and len(out) > 60
                   else f"{code} {out[:300]} {err}")
    for form in 0, 6:
        refused(tool, f"an unfinished libvirt image in format {form} in a sparse "
                "file of 1 TiB", sparse(tool, hpt.libvirt(
                    b"", form=form, magic=b"LibvirtQemudPart")),
                "is a libvirt save image that is not finished, but its contents "
                "are zeroes, at least in its first 256 KiB")
    os.remove(os.path.join(tool.directory, "sparse"))
    refused(tool, "an unfinished libvirt image of zeroes",
            hpt.libvirt(bytes(9), magic=b"LibvirtQemudPart"),
            "that is not finished, but its contents are all zeroes")
    reads(tool, "libvirt, sparse, aligned to 32 MiB",
          hpt.libvirt(bytes(32 << 20) + stream, form=6), table)
    for name, data, text in (
            ("qcow2", hpt.qcow2([("one", stream)]), "a qcow2 image"),
            ("libvirt", hpt.libvirt(stream), "another libvirt save image"),
            ("unfinished libvirt", hpt.libvirt(stream, magic=b"LibvirtQemudPart"),
             "another libvirt save image")):
        refused(tool, f"{name} inside libvirt", hpt.libvirt(data),
                f"its contents are {text}: copy it to its own file\n")
    code, found, err = tool.json("list", tool.file(
        "file", hpt.libvirt(stream, magic=b"LibvirtQemudPart")))
    result("file: list of an unfinished libvirt image", "" if not code and
           found["in"] == "a libvirt save image that is not finished" and
           err.endswith("file is a libvirt save image that is not finished\n")
           else f"{code} {found} {err}")


def quiet(tool, name, file, code, text):
    """Only one message at most, even if the parent ignores SIGCHLD."""
    for how in signal.SIG_DFL, signal.SIG_IGN:
        done = subprocess.run(
            [tool.program, "dump", file], cwd=tool.directory, env=CLEAN,
            capture_output=True, check=False,
            preexec_fn=lambda how=how: signal.signal(signal.SIGCHLD, how))
        err = done.stderr.decode()
        result(f"file: {name}, {how.name} for SIGCHLD", "" if
               done.returncode == code and text in err and
               len(err.splitlines()) == bool(text) else
               f"{done.returncode} {err}")


def test_programs(tool):
    """Decompressors have no say in messages, except by their exit codes."""
    stream = qemu(20, [first_pass(kernel(20))])
    for program, form in ("gzip", 1), ("bzip2", 2), ("xz", 3), ("zstd", 5):
        if not shutil.which(program):
            continue
        data = subprocess.run([program, "-c"], input=stream, capture_output=True,
                              check=True).stdout
        damaged = f"its data, compressed by {program}, is damaged or cut off"
        for name, part, code, text in (
                ("cut off", data[:len(data) // 2], 3, damaged),
                ("of another kind", b"text\n" * 9, 3,
                 f"can't read the contents of file, a libvirt save image: {damaged}"),
                ("with data behind it", data + b"text\n" * 9, 0, "")):
            quiet(tool, f"libvirt, {program}, {name}", tool.file(
                "file", hpt.libvirt(part, form=form)), code, text)
    for form, program in enumerate(("gzip", "bzip2", "xz", "lzop", "zstd"), 1):
        refused(tool, f"libvirt, {program}, which is not installed",
                hpt.libvirt(gzip.compress(stream), form=form),
                f"can't read the contents of file, a libvirt save image: {program}, "
                "the program that decompresses it, is not installed",
                PATH="/nonexistent")


def test_open_pipe(tool):
    """What needs no more data doesn't wait for it."""
    stream = qemu(20, [first_pass(kernel(20))]) + random.Random(1).randbytes(
        320 << 10)
    for name, data in (("", stream), (" from libvirt, gzip",
                                      hpt.libvirt(gzip.compress(stream), form=1))):
        with subprocess.Popen([tool.program, "list", "-"], env=CLEAN,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(data)
                process.stdin.flush()
            problem = "it waits"
            with contextlib.suppress(subprocess.TimeoutExpired):
                problem = process.wait(30)
            # Nobody reads it any more
            try:
                process.stdin.write(b"x")
                process.stdin.flush()
                problem = problem or "a process is left"
            except BrokenPipeError:
                pass
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            result(f"pipe: list of a stream{name} before its writer ends", problem)


def test_offset(tool):
    """The stream begins with the --offset that a message names."""
    table = kernel(20)
    stream = qemu(20, [first_pass(table)])
    inside = ("is a libvirt save image, but its contents are unknown, but a QEMU "
              "stream begins in it: use --offset=")
    for name, data, text in (
            ("junk", b"\1" + b"junk" * 25 + stream, "use --offset="),
            ("much junk", b"\1" * 3 + b"ab" * 50000 + stream, "use --offset="),
            ("libvirt and junk", hpt.libvirt(b"\1\2\3" * 99 + stream), inside)):
        at = data.index(b"QEVM")
        for options in [], ["-F", "1"], ["-F", "50"]:
            if "libvirt" in name and options:
                continue
            for how in {}, {"stdin": data}:
                file = "-" if how else tool.file("file", data)
                pipe = ", from a pipe" if how else ""
                refused(tool, f"{name} before a stream {options}{pipe}", file,
                        f"{text}{at}\n", options, **how)
                reads(tool, f"{name} before a stream, --offset={at} {options}{pipe}",
                      data, table, ["--offset", at], **how)
        # Some of it was read before
        code = subprocess.run(
            ["sh", "-c", "{ head -c 9 >&2; \"$1\" check -; } < file", "sh",
             tool.program], cwd=tool.directory, env=CLEAN, capture_output=True,
            check=False)
        if "libvirt" not in name:
            result(f"no stream: {name}, of which the first bytes were read", "" if
                   code.returncode == 3 and
                   code.stderr.endswith(f"--offset={at - 9}\n".encode()) else code)
    junk = b"\1\2\3" * 99 + stream
    for name, data in (("qcow2", hpt.qcow2([("one", junk)])),
                       ("gzip", hpt.libvirt(gzip.compress(junk), form=1))):
        refused(tool, f"{name} with junk before a stream", data,
                "unknown, with a QEMU stream that begins at byte 297\n")
    for name, data, text in (
            ("zeroes, then a stream", bytes(100000) + stream, "--offset=100000"),
            ("1 MiB of zeroes", bytes(1 << 20), "zeroes, at least in its first 256 KiB"),
            ("few zeroes", bytes(262143), "all zeroes")):
        for how in {}, {"stdin": data}:
            refused(tool, f"{name}{', from a pipe' if how else ''}",
                    "-" if how else tool.file("file", data), text, **how)


def test_list_image(tool):
    """An image that can't be read, with its snapshots listed to find one that can."""
    stream = qemu(20, [first_pass(kernel(20))])
    one = ("one", stream)
    for name, states, options, text in (
            ("of the disk only", [("disk", b""), ("two", b"")], [],
             "it has no snapshot with the state of a VM"),
            ("without this one", [one, ("two", b"")], ["-S", "three"],
             "it has no snapshot of this name or number"),
            ("of which this is the disk's", [one, ("two", b"")], ["-S", "two"],
             "the snapshot has no state of a VM"),
            ("of which the last is text", [one, ("two", b"text\n" * 99)], [],
             "text")):
        tool.file("image", hpt.qcow2(states))
        for file, stdin in ("image", None), ("-", "image"):
            command = [tool.program, "list", *options, file]
            if stdin:
                stdin = os.path.join(tool.directory, stdin)
            outs = []
            for more in [], ["-j"]:
                with open(stdin or "/dev/null", "rb") as data:
                    done = subprocess.run(
                        command + more, cwd=tool.directory, env=CLEAN, check=False,
                        stdin=data, capture_output=True, text=True)
                outs.append(done)
            found = json.loads(outs[1].stdout)
            hold_to_schema("list", found)
            result(f"no stream: list of an image {name}, {file}", "" if
                   [done.returncode for done in outs] == [3, 3] and
                   all(done.stderr.endswith(text + "\n") and
                       done.stderr.count("\n") == 1 for done in outs) and
                   [snap["name"] for snap in found["snapshots"]] ==
                   [state[0] for state in states] and not found["hpt"] and
                   found["error"] == text and "two" in outs[0].stdout and
                   ("> " in outs[0].stdout) == (text == "text") and
                   any(snap["read"] for snap in found["snapshots"]) ==
                   (text == "text") else outs)
    code, out, err = tool.run("list", tool.file("image", hpt.qcow2([])))
    result("no stream: list of an image without snapshots", "" if code == 3 and
           not out and "no snapshot" in err else f"{code} {out} {err}")


NAMES = ("größe", "页", "\U0001f600", "a\x1b[31mb", "x\ny", "q\"\\", "\x7f", "\x9b",
         "\ud800")
SHOWN = ("größe", "页", "\U0001f600", "a?[31mb", "x?y", "q\"\\", "?", "??", "???")


def test_names(tool):
    """Names in files are printed without what controls a terminal, and in JSON as
    they are."""
    stream = qemu(20, [first_pass(kernel(20))])
    for name, shown in zip(NAMES, SHOWN):
        image = hpt.qcow2([("@" * len(name.encode("utf-8", "surrogatepass")), stream)])
        tool.file("image", image.replace(
            b"@" * len(name.encode("utf-8", "surrogatepass")),
            name.encode("utf-8", "surrogatepass")))
        code, out, err = tool.run("list", "image")
        result(f"names: a snapshot {name!a}", "" if not code and not err and
               f">    1  {shown:20} 1970" in out else f"{code} {out} {err}")
        code, found, err = tool.json("list", "image")
        result(f"names: a snapshot {name!a} in JSON", "" if not code and
               (found["snapshots"][0]["name"] == name or name in "\x9b\ud800")
               else f"{code} {found} {err}")
    name = "a\x1b[31mß"
    section = Qemu().begin(20)
    section.add(b"\1\0\0\0\x09" + bytes([len(name.encode())]) + name.encode() +
                bytes(7) + b"\1").footer(9)
    tool.file("file", section.htab(4, first_pass(kernel(20)), True).finish())
    code, out, _ = tool.run("list", "file")
    result("names: a section", "" if not code and
           f"  {'a?[31mß':24}          1 time  " in out else out)
    code, found, _ = tool.json("list", "file")
    result("names: a section in JSON", "" if not code and
           name in [section["name"] for section in found["sections"]] else found)
    code, out, err = tool.run("dump", "\x1b[31m")
    result("names: a message", "" if code == 3 and err ==
           "kvm-hpt dump: can't open ?[31m: No such file or directory\n" else err)
    cut = Qemu().begin(20).start(9, "a\x1b[31m").add(b"x" * 99).data
    code, out, err = tool.run("check", tool.file("file", cut + bytes(99999)))
    result("names: a fault", "" if code == 1 and "'a?[31m'" in out and
           "\x1b" not in out + err else out + err)
    shutil.copyfile(os.path.join(tool.directory, tool.file("a", stream)),
                    os.path.join(tool.directory, "größe"))
    os.rename(os.path.join(tool.directory, "a"),
              os.fsencode(tool.directory) + b"/\xc3(\xf8\x90\x80\x80\xff")
    for file, want in ("größe", "größe"), (b"\xc3(\xf8\x90\x80\x80\xff",
                                           "\xc3(\xf8\x90\x80\x80\xff"):
        done = subprocess.run([tool.program, "list", "-j", file], env=CLEAN,
                              cwd=tool.directory, capture_output=True, check=False)
        result(f"names: a file {file!a} in JSON", "" if
               json.loads(done.stdout)["file"] == want else done)


def test_long_names(tool):
    table = kernel(20)
    names = [b"capability-%03d" % n for n in range(100)]
    configuration = b"\x05\x1aconfiguration/capabilities" + struct.pack(
        ">II", 1, len(names)) + b"".join(bytes([len(n)]) + n for n in names)
    for length in 63, 64, 300, 60000:
        machine = b"pseries-".ljust(length, b"x")
        stream = Qemu(configuration, machine).begin(20).htab(
            4, first_pass(table), True).finish()
        reads(tool, f"a machine type of {length} characters", stream, table)
        _, found, _ = tool.json("list", "file")
        result(f"names: a machine type of {length} characters", "" if
               found["machine"] == machine.decode() and
               found["capabilities"] == b" ".join(names).decode() else found)
