# SPDX-License-Identifier: GPL-2.0
"""Make HPTEs and streams of all kinds. This follows the text of the architecture,
not the tool's code, so that the two can be compared."""
import struct

V, H, L, SW, BOLTED = 1, 2, 4, 8, 0x10
R, C = 0x100, 0x80
SIZE = {12: "4K", 16: "64K", 24: "16M", 34: "16G"}
SEGMENT = {28: 0, 40: 1}

# The LP field for base and actual page size; bits of the real address may be
# in the high half where that is None
LP = {(12, 16): (0x7, 4), (12, 24): (0x38, 8), (16, 16): (0x1, 4),
      (16, 24): (0x08, 8), (24, 24): (0x00, 8), (34, 34): (0x03, 8)}
PAGES = [(12, 12), *LP]


class Hpte:
    """The meaning of an HPTE."""

    def __init__(self, vsid, offset, real, base=16, actual=None, seg=40,
                 secondary=False, bolted=False, pp=2, wimg=0x10, key=0, rc=R,
                 noexec=False):
        self.vsid, self.offset, self.real = vsid, offset, real
        self.base, self.actual, self.seg = base, actual or base, seg
        self.secondary, self.bolted, self.pp = secondary, bolted, pp
        self.wimg, self.key, self.rc, self.noexec = wimg, key, rc, noexec

    def words(self):
        va = self.vsid << self.seg | self.offset
        v = SEGMENT[self.seg] << 62 | va >> 23 << 7 | V
        v |= H * self.secondary | BOLTED * self.bolted
        r = self.real | (self.pp >> 2) << 63 | self.pp & 3 | self.wimg
        r |= self.rc | 4 * self.noexec
        r |= (self.key >> 3) << 60 | (self.key & 7) << 9
        if (self.base, self.actual) != (12, 12):
            v |= L
            lp, bits = LP[self.base, self.actual]
            r = r & ~((1 << bits) - 1 << 12) | lp << 12
        return v, r

    def group(self, order):
        page = self.offset >> self.base
        value = self.vsid ^ page
        if self.seg == 40:
            value ^= self.vsid << 25
        value %= 1 << 39
        if self.secondary:
            value = ~value
        return value % (1 << order - 7)


class Table:
    """An HPT as {index: Hpte}."""

    def __init__(self, order):
        self.order = order
        self.nr = 1 << order - 4
        self.hptes = {}
        # Words that no guest would write, by index
        self.damaged = {}

    def enter(self, hpte, slot=None):
        first = hpte.group(self.order) * 8
        slots = range(8) if slot is None else [slot]
        for index in (first + slot for slot in slots):
            if index not in self.hptes:
                self.hptes[index] = hpte
                return index
        return None

    def words(self, index):
        return self.damaged.get(index) or self.hptes[index].words()


def run_of(values):
    """Lists of consecutive numbers."""
    runs = []
    for value in sorted(values):
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return runs


def first_pass(table, start=0, most=65535, only=lambda hpte: True):
    """Records of a first pass: (index, [(dword 0, dword 1)...], n_invalid)."""
    shown = {index for index, hpte in table.hptes.items() if only(hpte)}
    ahead = sorted(shown, reverse=True)
    records = []
    index = start
    while index < table.nr:
        first, words = index, []
        while index in shown and len(words) < most:
            words.append(table.words(index))
            index += 1
        while ahead and ahead[-1] < index:
            ahead.pop()
        invalid = min((ahead[-1] if ahead else table.nr) - index, 65535)
        index += invalid
        records.append((first, words, invalid))
    return records


def later_pass(table, changed):
    """Records of a later pass, for HPTEs that have changed."""
    return [(run[0], [table.words(i) for i in run if i in table.hptes],
             sum(i not in table.hptes for i in run))
            for valid in (True, False)
            for run in run_of(i for i in changed
                              if (i in table.hptes) == valid)]


def record(index, words, invalid, order="<"):
    return (struct.pack(order + "IHH", index, len(words), invalid) +
            b"".join(struct.pack(">QQ", v, r) for v, r in words))


def raw(records, order="<"):
    return b"".join(record(*rec, order) for rec in records)


def debugfs(table, v3):
    """The dump in debugfs: in the host's form, with another real address.
    Hardware sets R and C only in the host's word, and some pages are absent."""
    lines = []
    for index in sorted(table.hptes):
        v, r = table.words(index)
        guest, host = r & ~0x180, r ^ 0x5000000
        if index % 3 == 0:
            v ^= V | 0x20
            guest = r
            host &= ~0x180
        if index % 5 == 0:
            # KVM's mark, which some versions show
            guest |= 1 << 62
        if v3:
            host = host & ~(3 << 58) | v >> 62 << 58
            v &= (1 << 52) - 1
        lines.append(f"{index:6x} {v:016x} {host:016x} {guest:016x}\n")
    return "".join(lines).encode()


class Qemu:
    """QEMU's stream, built piece by piece; records the place of each."""

    # Data that looks like the end of the section of RAM
    LURE = b"\x7e\0\0\0\x02\x01"

    def __init__(self, configuration=b"", machine=b"pseries", footers=True,
                 endian=">"):
        self.built = bytearray(b"QEVM" + struct.pack(">I", 3))
        if machine:
            self.add(b"\x07" + struct.pack(">I", len(machine)) + machine)
        self.add(configuration)
        self.at = {}
        self.footers, self.endian = footers, endian

    @property
    def data(self):
        return bytes(self.built)

    @data.setter
    def data(self, data):
        self.built = bytearray(data)

    def mark(self, name):
        self.at[name] = len(self.built)

    def add(self, data):
        self.built += data
        return self

    def start(self, number, name, version=1):
        self.mark(f"start {name}")
        return self.add(b"\x01" + struct.pack(">IB", number, len(name)) +
                        name.encode() + struct.pack(">II", 0, version))

    def full(self, number, name, data):
        self.add(b"\x04" + struct.pack(">IB", number, len(name)) +
                 name.encode() + struct.pack(">II", 0, 1) + data)
        return self.footer(number)

    def more(self, number, end=False):
        self.mark("more")
        return self.add(struct.pack(">BI", 3 if end else 2, number))

    def footer(self, number):
        self.mark("footer")
        if not self.footers:
            return self
        return self.add(struct.pack(">BI", 0x7e, number))

    def command(self, number, data=b""):
        return self.add(struct.pack(">BHH", 8, number, len(data)) + data)

    def ram(self, *kinds):
        """Pages of these kinds, the first with the name of its block."""
        flag = 0
        for kind in kinds:
            name = b"" if flag else b"\x07ppc_ram"
            word = {"zero": 2, "page": 8, "xbzrle": 0x40, "compress": 0x100,
                    "flush": 0x200, "strange": 0x800}[kind]
            if kind in ("flush", "strange"):
                self.add(struct.pack(">Q", word))
                continue
            self.add(struct.pack(">Q", 0x1230000 | word | flag) + name)
            flag = 0x20
            self.add({"zero": b"\0", "page": (self.LURE * 683)[:4096],
                      "xbzrle": b"\x01\x00\x03abc",
                      "compress": b"\x00\x00\x00\x05abcde"}[kind])
        return self.add(struct.pack(">Q", 0x10))

    def records(self, records, end=bytes(8)):
        self.mark("records")
        self.add(raw(records, self.endian))
        self.mark("end of records")
        return self.add(end)

    def htab(self, number, records, end=False):
        self.more(number, end).add(bytes(4)).records(records)
        return self.footer(number)

    def blocks(self, blocks, end=(0x10,)):
        """The list of blocks of RAM: (name, size, following data)."""
        total = sum(size for _, size, _ in blocks)
        self.add(struct.pack(">Q", total | 4))
        for name, size, behind in blocks:
            self.add(bytes([len(name)]) + name + struct.pack(">Q", size))
            self.add(behind(self) if callable(behind) else behind)
        return self.add(struct.pack(f">{len(end)}Q", *end))

    BLOCKS = ((b"ppc_ram", 1 << 29, b""), (b"vram", 1 << 16, b""))

    def begin(self, order, ram=("zero", "page"), blocks=BLOCKS, end=(0x10,)):
        """The first sections: RAM is 2, the HPT is 4."""
        self.start(2, "ram", 4).blocks(blocks, end).footer(2)
        self.start(4, "spapr/htab")
        self.mark("order")
        self.add(struct.pack(">I", order)).footer(4)
        return self.more(2).ram(*ram).footer(2)

    def finish(self):
        self.full(5, "cpu", bytes(range(256)))
        return self.add(b"\0").data


def qemu(order, passes, **how):
    stream = Qemu(how.pop("configuration", b"")).begin(order, **how)
    for records in passes[:-1]:
        stream.htab(4, records)
    stream.htab(4, passes[-1], True)
    return stream.finish()


def mapped(size, page=4096, gap=0):
    """The header of mapped-ram after a block, and its pages."""
    def make(stream):
        bitmap = len(stream.data) + 28 + gap
        pages = -(-(bitmap + size // page // 8) // 0x100000) * 0x100000
        return (struct.pack(">IQQQ", 1, page, bitmap, pages) +
                b"\x7e" * (pages - bitmap + size))
    return make


def libvirt(stream, order="<", version=2, form=0, magic=b"LibvirtQemudSave",
            xml=b"<domain type='kvm'><name>vm</name></domain>\0", cookie=0):
    return (magic + struct.pack(order + "5I", version, len(xml), 1, form,
                                cookie) + bytes(56) + xml + stream)


def qcow2(states, cluster_bits=16, version=3, disk=1 << 20, zero=(),
          now=None, extended=False, extra_bytes=16, incompatible=0,
          disk_clusters=0, old_extra=0):
    """An image with a snapshot for each (name, state), taken when the disk had
    the size @disk; it has @now. Some clusters in front belong to the disk."""
    size = 1 << cluster_bits
    entries = size // (16 if extended else 8)
    # Where an address is in the level 1 table
    covers = 2 * cluster_bits - 3 - extended
    base = -(-disk // (1 << covers))
    incompatible |= 16 * extended
    clusters = [b""]
    snapshots = b""

    def add(data):
        clusters.append(data)
        return (len(clusters) - 1) * size

    for _ in range(disk_clusters):
        add(b"disk")
    for number, (name, state) in enumerate(states, 1):
        data = [add(state[at:at + size]) for at in range(0, len(state), size)]
        data = [1 if i in zero else at | 1 << 63 for i, at in enumerate(data)]
        if extended:
            # All parts of a cluster are allocated
            words = [word for at in data for word in (at, (1 << 32) - 1)]
        else:
            words = data
        per = size // 8
        level2 = [add(struct.pack(f">{len(words[at:at + per])}Q",
                                  *words[at:at + per])) | 1 << 63
                  for at in range(0, len(words), per)]
        table = [0] * base + level2
        level1 = add(struct.pack(f">{len(table)}Q", *table))
        extra = struct.pack(">QQQ", len(state), disk, 0)[:extra_bytes]
        if version == 2:
            extra = extra[:old_extra]
        snapshots += struct.pack(">QIHHIIQII", level1, len(table),
                                 len(b"%d" % number),
                                 len(name), 0, 0, 0,
                                 0 if len(extra) >= 8 else len(state), len(extra))
        snapshots += extra + b"%d" % number + name.encode()
        snapshots += bytes(-len(snapshots) % 8)
    where = add(snapshots)
    header = b"QFI\xfb" + struct.pack(
        ">IQIIQIIQQIIQQ", version, 0, 0, cluster_bits, now or disk, 0, 0, 0, 0,
        0, len(states), where, incompatible)
    clusters[0] = header
    return b"".join(cluster.ljust(-(-len(cluster) // size) * size, b"\0")
                    for cluster in clusters)
