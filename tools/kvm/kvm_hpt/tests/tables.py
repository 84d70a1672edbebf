# SPDX-License-Identifier: GPL-2.0
"""Tables that tests use."""
import collections

from hpt import PAGES, Hpte, Table


def sample(order, seed=1):
    """HPTEs of all kinds."""
    table = Table(order)
    for number, (base, actual) in enumerate(PAGES):
        for seg in 28, 40:
            if actual > seg:
                continue
            for k in range(4):
                n = seed + number * 8 + k
                table.enter(Hpte(
                    vsid=0x12345 * n, seg=seg, base=base, actual=actual,
                    offset=n << base & (1 << seg) - 1,
                    real=(n << actual) % (1 << 46), secondary=k == 1,
                    bolted=k == 2, pp=[0, 1, 2, 3, 6][n % 5], key=n % 32,
                    wimg=[0x10, 0x28, 0x70, 0x18][k], noexec=bool(n & 2),
                    rc=[0, 0x100, 0x180, 0x80][n % 4]))
    return table


def kernel(order):
    """The mapping of a guest's kernel, and two full groups."""
    table = Table(order)
    for page in range(100):
        table.enter(Hpte(0x13a109c, page << 16, page << 16, bolted=True))
    for vsid in range(8):
        # The same hash: only bits above those that are used differ
        table.enter(Hpte(0x777 + (vsid << order), 0x10000, 0x900000, seg=28))
        table.enter(Hpte(0x777 + (vsid + 8 << order), 0x10000, 0xa00000, seg=28,
                         secondary=True))
    return table


def as_json(table, index, hpte):
    """An HPTE as the tool must show it."""
    v, r = hpte.words()
    return {
        "index": index, "group": index // 8, "slot": index % 8,
        "dword0": f"{v:#018x}", "dword1": f"{r:#018x}",
        "v3_dword0": f"{v & (1 << 52) - 1:#018x}",
        "v3_dword1": f"{r & ~(3 << 58) | v >> 62 << 58:#018x}",
        "valid": True, "secondary": hpte.secondary, "bolted": hpte.bolted,
        "segment_size": 1 << hpte.seg, "vsid": f"{hpte.vsid:#x}",
        "avpn": f"{(hpte.vsid << hpte.seg | hpte.offset) >> 23:#x}",
        "offset": f"{hpte.offset:#x}", "base_page_size": 1 << hpte.base,
        "page_size": 1 << hpte.actual, "real": f"{hpte.real:#x}",
        "pp": hpte.pp,
        "kernel": {3: "r-", 6: "r-"}.get(hpte.pp, "rw"),
        "user": {0: "--", 1: "r-", 2: "rw", 3: "r-", 6: "--"}[hpte.pp],
        "execute": not hpte.noexec,
        "wimg": "".join(name if hpte.wimg & bit else "-" for name, bit in
                        zip("WIMG", (0x40, 0x20, 0x10, 8))),
        "key": hpte.key, "referenced": bool(hpte.rc & 0x100),
        "changed": bool(hpte.rc & 0x80)}


def numbers(table):
    """The output of map for a table."""
    hptes = table.hptes
    pages = [(12, 12), (12, 16), (12, 24), (16, 16), (16, 24), (24, 24),
             (34, 34)]
    used = collections.Counter(index // 8 for index in hptes)
    groups = collections.Counter(used.values())
    groups[0] = table.nr // 8 - len(used)
    ends = [-1, *sorted(hptes), table.nr]
    runs = [(b - a - 1, -a - 1) for a, b in zip(ends, ends[1:])]
    run, at = max(runs)
    return {
        "order": table.order, "groups": table.nr // 8, "hptes": table.nr,
        "used": len(hptes), "bolted": sum(h.bolted for h in hptes.values()),
        "secondary": sum(h.secondary for h in hptes.values()),
        "segments_1t": sum(h.seg == 40 for h in hptes.values()),
        "longest_empty_run": run, "longest_empty_run_index": -at,
        "groups_with": [groups[n] for n in range(9)],
        "page_sizes": [
            {"base": base and 1 << base, "actual": actual and 1 << actual,
             "hptes": sum((h.base, h.actual) == (base, actual)
                          for h in hptes.values())}
            for base, actual in [*pages, (0, 0)]]}
