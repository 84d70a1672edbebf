# SPDX-License-Identifier: GPL-2.0
"""The command line, terminals, pipes, memory and the manual page."""
import fcntl
import os
import pty
import re
import resource
import shutil
import struct
import subprocess
import termios

import common
import hpt
from common import CLEAN, TOP, exit_codes, result
from hpt import Hpte, first_pass, later_pass, qemu, raw
from tables import kernel
from test_watch import READER, Proc, vms

MAN = os.path.join(TOP, "kvm-hpt.1")
UNPACK = os.path.join(TOP, "fuzz", "unpack")


def on_terminal(tool, args, env, columns=100):
    """The output on a terminal with this many columns."""
    pid, fd = pty.fork()
    if not pid:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        os.chdir(tool.directory)
        os.execvpe(tool.program, [tool.program, *map(str, args)],
                   {**CLEAN, **env})
    data = b""
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    os.waitpid(pid, 0)
    os.close(fd)
    return data.decode()


def test_terminal(tool):
    tool.file("a", raw(first_pass(kernel(18))))
    proc = Proc(tool).add(23, READER)
    commands = {"dump": ["dump", "a"], "check": ["check", "a"],
                "diff": ["diff", "a", "a"],
                "watch": ["watch", "-n", 2, "-t", 0, "123"]}
    color = re.compile("\033\\[[0-9;]*m")
    for name, args in commands.items():
        env = {"KVM_HPT_PROC": proc.root}
        plain = tool.run(*args, **env, TERM="xterm")[1]
        seen = {what: on_terminal(tool, args, {**env, **more})
                for what, more in (("xterm", {"TERM": "xterm"}),
                                   ("dumb", {"TERM": "dumb"}),
                                   ("none", {}),
                                   ("NO_COLOR", {"TERM": "xterm",
                                                 "NO_COLOR": "1"}),
                                   ("empty", {"TERM": "xterm",
                                              "NO_COLOR": ""}))}
        colored = {what for what, text in seen.items() if color.search(text)}
        problem = ""
        if "\033" in plain:
            problem = "escapes without a terminal"
        if colored != ({"xterm", "empty"} if name != "diff" else set()):
            problem = f"colours on {colored}"
        result(f"terminal: colours of {name}", problem)
    text = on_terminal(tool, commands["watch"], {"KVM_HPT_PROC": proc.root,
                                                 "TERM": "xterm"})
    result("terminal: watch writes over its line",
           "" if text.count("\033[1A") == 1 else repr(text))
    text = on_terminal(tool, commands["watch"], {
        "KVM_HPT_PROC": proc.root, "TERM": "xterm", "NO_COLOR": "1",
        **vms(tool, **{"123-4": 2})})
    line = "VM 123-4: 2 HPTs could not be allocated\033[K\r\n"
    result("terminal: watch writes over the lines of VMs as well", "" if
           text.count("\033[2A") == 1 and text.count(line) == 2 else repr(text))
    for name, columns, term in (("that is narrow", 79, "xterm"),
                                ("that is dumb", 100, "dumb")):
        text = on_terminal(tool, commands["watch"],
                           {"KVM_HPT_PROC": proc.root, "TERM": term,
                            "NO_COLOR": "1"}, columns)
        result(f"terminal: watch writes line after line on one {name}",
               "" if "\033" not in text and text.count("fd 23") == 2
               else repr(text))
    _, out, _ = tool.run("dump", "-c", "always", "a")
    result("terminal: colours always", "" if color.search(out) else out[:200])
    text = on_terminal(tool, ["dump", "-c", "never", "a"], {"TERM": "xterm"})
    result("terminal: colours never", text[:200] if color.search(text) else "")


def test_usage(tool):
    tool.file("a", raw(first_pass(kernel(18))))
    tool.file("18", raw(first_pass(kernel(18))))
    tool.file("20", raw(first_pass(kernel(20))))
    for code, *args in (
            (2,), (2, "frob"), (2, "load", "a"),
            (2, "check"), (2, "check", "a", "a"), (2, "diff", "a"),
            (2, "check", "-O", "17", "a"), (2, "check", "-O", "47", "a"),
            (2, "check", "-O", "x", "a"), (2, "check", "-E", "middle", "a"),
            (2, "check", "-c", "perhaps", "a"), (2, "check", "-m", "-1", "a"),
            (2, "dump", "-i", "5-", "a"), (2, "dump", "-i", "9-8", "a"),
            (2, "dump", "-v", "", "a"), (2, "dump", "--nothing", "a"),
            (2, "check", "--raw", "a"), (2, "map", "-o", "a.gif", "a"),
            (2, "watch", "-t", "-1", "1"), (2, "watch", "-t", "soon", "1"),
            (2, "watch", "x"), (2, "watch", "1", "2"),
            (2, "watch", "-n", "1", "-t", "5", "1"), (2, "list", "a", "b"),
            (2, "find", "a"), (2, "find", "-v", "1", "a"),
            (2, "find", "-e", "1", "a"), (2, "find", "-v", "x", "-e", "1", "a"),
            (2, "find", "-v", "0x4000000000", "-e", "1", "-1", "a"),
            (2, "find", "-v", "1", "-e", "1", "-i", "1", "a"),
            (2, "save"), (2, "save", "x"), (2, "dump", "-F", "-1", "a"),
            (2, "help", "frob"), (3, "dump", "-S", "one", "a"),
            (3, "check", "-S", "one", "a"), (3, "list", "nothing-there"),
            (3, "find", "-v", "1", "-e", "1", "nothing-there"),
            (1, "find", "-v", "1", "-e", "1", "a"),
            (0, "find", "-v", "0x777", "-e", "0x10000", "a"),
            (0, "list", "a"), (0, "help", "find"), (0, "--version"),
            (0, "--help"), (0, "help"), (0, "check", "-h"),
            (3, "check", "nothing-there"), (3, "dump", "."),
            (3, "map", "a", "-o", "no/such/place.png"),
            (3, "map", "18", "-B", "20", "-o", "m.png"),
            (1, "diff", "18", "20"), (3, "diff", "18", "nothing-there"),
            (3, "diff", "nothing-there", "18")):
        got, out, err = tool.run(*args)
        problem = "" if got == code else f"{got}, not {code}: {out}{err}"
        if not problem and code >= 2 and (not err or (out and code == 2)):
            problem = f"{out!r} {err!r}"
        if not problem and code < 2 and err:
            problem = err
        result(f"usage: {' '.join(args) or 'no arguments'}", problem)
    for command in ("watch", "list", "dump", "decode", "check", "find", "diff",
                    "map", "save"):
        code, out, err = tool.run(command, "a", "b", "c")
        result(f"usage: errors of {command} name it", "" if code == 2 and
               err.startswith(f"kvm-hpt {command}: ") and
               f"\nusage: kvm-hpt {command} [OPTION]... " in err else err)
        code, out, err = tool.run(command, "--frob")
        result(f"usage: an unknown option of {command}", "" if code == 2 and
               err.startswith(f"kvm-hpt {command}: ") and
               f"\nusage: kvm-hpt {command} " in err else err)
        code, out, err = tool.run(command, "--help")
        result(f"usage: help of {command}", "" if not code and not err and
               out.startswith(f"usage: kvm-hpt {command} ") and
               "--help" in out and ("--no-hash" in out) == (command == "check")
               and out == tool.run("help", command)[1] else out + err)
    code, out, err = tool.run("check", "--progress", "a")
    result("usage: progress", "" if not code and "well-formed" in out and
           err == "\ra: 0 MiB\n" else err)
    tool.file("single", raw(first_pass(hpt.Table(18))))
    code, out, _ = tool.run("check", "single")
    result("usage: one record is no records", "" if "18 (deduced), 1 record, 1 "
           "pass\n" in out else out)
    _, _, err = tool.run("load", "a")
    for command in ("help", "-h", "--help"):
        _, out, err = tool.run(command)
        result(f"usage: {command} lists the commands", "" if not err and
               "--version" in out and "  save " in out else out + err)
    _, out, _ = tool.run("--version")
    result("usage: version", "" if re.fullmatch(r"kvm-hpt \d+\.\d+\n", out)
           else out)
    result("usage: -V is --version", "" if tool.run("-V")[1] == out else out)
    result("usage: load says who does that", "" if "QEMU" in err else err)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tool.program, "dump", "a"], stdout=full,
                              stderr=subprocess.PIPE, cwd=tool.directory,
                              env=CLEAN, check=False)
    result("usage: a full disk", "" if done.returncode == 3 and
           b"can't write" in done.stderr else done)


def test_no_room(tool):
    """A full disk, and a limit of the size of files."""
    tool.file("a", qemu(18, [first_pass(kernel(18))]))
    proc = Proc(tool).add(23, READER)
    for args in (["--version"], ["-V"], ["--help"], ["help"], ["help", "check"],
                 ["check", "--help"], ["list", "a"], ["dump", "a"], ["map", "a"],
                 ["watch", "-t", 0, 123]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [tool.program, *map(str, args)], stdout=full,
                stderr=subprocess.PIPE, cwd=tool.directory, check=False,
                env={**CLEAN, "KVM_HPT_PROC": proc.root}, timeout=60)
        text = b": can't write the output: No space left on device\n"
        result(f"usage: {' '.join(map(str, args))} on a full disk", "" if
               done.returncode == 3 and done.stderr.endswith(text) and
               done.stderr.count(b"\n") == 1 else done)
    for args, text in ((["dump", "a"], "the output"),
                       (["map", "a", "-o", "large.svg"], "large.svg"),
                       (["map", "a", "-o", "large.png"], "large.png")):
        with open(os.path.join(tool.directory, "large.txt"), "wb") as file:
            file.write(bytes(1000))
            file.flush()
            done = subprocess.run(
                [tool.program, *args], stdout=file, stderr=subprocess.PIPE,
                cwd=tool.directory, env=CLEAN, check=False, preexec_fn=lambda:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)))
        result(f"usage: {' '.join(args)} beyond the largest size of a file", "" if
               done.returncode == 3 and
               f"can't write {text}: File too large" in done.stderr.decode()
               else done)


def test_no_effect(tool):
    """Options that cannot apply are errors."""
    tool.file("a", raw(later_pass(kernel(18), kernel(18).hptes)))
    for option, *args in (["-O", "20"], ["-S", "one"], ["-E", "big"],
                          ["-F", "0"], ["--offset", "5"]):
        code, out, err = tool.run("list", option, *args)
        result(f"usage: list {option} {args[0]} without a file", "" if code == 2 and
               not out and err == f"kvm-hpt list: {option.replace('-offset', 'F')} "
               "has no effect without a file\n" else f"{code} {out} {err}")
    code, out, err = tool.run("list", "-F", "0", "-O", "18", "a")
    result("usage: list with options of a file", "" if not code and not err and
           "order 18" in out else f"{code} {out} {err}")
    code, out, err = tool.run("check", "-l", "-s", "0", "a")
    result("usage: check --start of a stream without a first pass", "" if
           code == 2 and not out and "no effect with --later" in err else
           f"{code} {out} {err}")


def test_progress(tool):
    """A file that is larger than the data between two reports, and has faults, for
    which it is read twice."""
    table = hpt.Table(18)
    changed = [(Hpte(0x100 + n, 0, n << 16).words()) for n in range(256)]
    again = b"".join(hpt.record(n * 256, [changed[n % 256]] * 255, 1)
                     for n in range(64))
    tool.file("large", raw(first_pass(table)) + again * 600)
    _, _, err = tool.run("check", "-P", "-m", "1", "large")
    seen = re.findall(r"\rlarge: (\d+)(?: of (\d+))? MiB", err)
    result("usage: progress of a large file", "" if len(seen) == 5 and
           err.endswith("MiB\n") and {of for _, of in seen[:-1]} ==
           {seen[-1][0]} else err)


def test_make(tool):
    """O= may name a new directory; everything is installed."""
    out = os.path.join(tool.directory, "made", "b")
    plan = subprocess.run(["make", "-n", "-C", TOP, f"O={out}"], text=True,
                          capture_output=True, check=False)
    result("make: O= is made before anything is", "" if not plan.returncode and
           0 <= plan.stdout.find(f"mkdir -p {out}") <
           plan.stdout.find(f"-o {out}/kvm-hpt") else plan)
    os.makedirs(out)
    shutil.copyfile(tool.static, os.path.join(out, "kvm-hpt"))
    done = subprocess.run(["make", "-s", "-C", TOP, f"O={out}", "install",
                           f"DESTDIR={out}/root"], capture_output=True,
                          check=False)
    files = {os.path.relpath(os.path.join(at, name), f"{out}/root/usr")
             for at, _, names in os.walk(f"{out}/root") for name in names}
    result("make: install", "" if not done.returncode and files == {
        "bin/kvm-hpt", "share/man/man1/kvm-hpt.1",
        "share/bash-completion/completions/kvm-hpt"} and
        os.access(f"{out}/root/usr/bin/kvm-hpt", os.X_OK) else (done, files))


def test_pipes(tool):
    table = kernel(20)
    for name, data in (("raw", raw(first_pass(table))),
                       ("QEMU", qemu(20, [first_pass(table)]))):
        code, out, err = tool.run("check", "-", stdin=data)
        result(f"pipe: {name}", "" if not code and "order 20" in out
               else out + err)


def test_corpus(tool):
    """The fuzzer's corpus."""
    corpus = os.path.join(tool.directory, "corpus")
    subprocess.run([UNPACK, corpus], check=True)
    names = sorted(os.listdir(corpus))
    problem = "" if names else "there is none"
    for name in names:
        path = os.path.join(corpus, name)
        for command in ("check", "decode", "dump", "map"):
            try:
                code, _, err = tool.run(command, path)
                if code == 2:
                    problem = problem or f"{name}: {command}: {err}"
            except (AssertionError, subprocess.TimeoutExpired) as e:
                problem = problem or f"{name}: {command}: {e}"
    result("the fuzzer's corpus is read without trouble", problem)


def test_memory(tool):
    """The amount of memory is not taken from a header."""
    data = b"".join(hpt.record(i * 0x1000000, [], 65535) for i in range(1, 255))
    data += hpt.record(0xfffff000, [Hpte(
        0x1ffffe00, 0, 0, base=12, seg=28).words()], 0)
    tool.file("wide", data)
    done = subprocess.run(
        ["sh", "-c", "ulimit -v 40000; exec \"$@\"", "sh", tool.static, "dump", "-O",
         "46", "wide"], cwd=tool.directory, env=CLEAN, capture_output=True,
        check=False)
    result("memory is not what a header says", "" if not done.returncode and
           b"fffff000" in done.stdout else done)


def test_man(tool):
    with open(MAN, encoding="utf-8") as file:
        text = file.read()
    section = text.partition(".SH EXIT STATUS")[2].partition(".SH ")[0]
    listed = {int(code) for code in re.findall(r"^\.B (\d+)$", section, re.M)}
    result("the man page lists the exit codes that were seen",
           "" if listed == exit_codes or
           (common.only and listed > exit_codes) else f"{listed} {exit_codes}")
    _, out, _ = tool.run("--help")
    commands = re.findall(r"^  ([a-z]+) ", out, re.M)
    out += "".join(tool.run("help", command)[1] for command in commands)
    options = set(re.findall(r"--([a-z0-9-]+)", out))
    missing = {c for c in commands if f"\n.B {c}\n" not in text}
    result("the man page has all commands", missing or
           ("" if len(commands) == 9 else commands))
    missing = {o for o in options
               if "\\-\\-" + o.replace("-", "\\-") not in text}
    result("the man page has all options", missing or "")
    with open(os.path.join(TOP, "kvm-hpt.bash"), encoding="utf-8") as f:
        text = f.read()
    missing = {o for o in options if f"--{o}" not in text}
    result("the completion has all options", missing or "")
    complete = subprocess.run(
        ["bash", "-c", "source kvm-hpt.bash; "
         "COMP_WORDS=(kvm-hpt d); COMP_CWORD=1; _kvm_hpt; "
         "echo ${COMPREPLY[@]}; "
         "COMP_WORDS=(kvm-hpt check --no); COMP_CWORD=2; _kvm_hpt; "
         "echo ${COMPREPLY[@]}"], cwd=TOP, text=True,
        capture_output=True, check=False)
    result("bash completes", "" if complete.stdout ==
           "dump decode diff\n--no-hash\n" else complete)
    if shutil.which("groff"):
        groff = subprocess.run(
            ["groff", "-man", "-ww", "-Tutf8", "-z", MAN], text=True,
            capture_output=True, check=False)
        result("groff has no complaints of the man page",
               groff.stderr or groff.returncode or "")
    else:
        result("groff has no complaints of the man page # SKIP no groff")
