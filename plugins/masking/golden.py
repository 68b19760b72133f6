#!/usr/bin/env python3
"""Golden masks of the strategies that no published code contains: frp, crfr-r, fasking-i.

An implementation of their definitions that shares nothing with the plugins (sets and exact halves instead of byte slices),
with "the first k in ascending order" for every random choice. Writes NAME/tests/data/masks.json. Standard library only:

    python3 plugins/masking/golden.py
"""
import json, struct
from pathlib import Path

PUBLISHED = [(10, 16, 80, 40, 184), (1, 60, 200, 56, 168), (2, 84, 92, 66, 100), (3, 84, 92, 124, 158),
             (4, 98, 108, 70, 96), (5, 98, 108, 128, 154), (6, 100, 140, 104, 120), (7, 152, 158, 90, 134),
             (8, 158, 162, 90, 134), (9, 162, 170, 92, 132)]
COVERED = ["eyebrows", "eyes", "nose", "mouth", "boundary", "hair"]


def label_map(name):
    if name == "checker":
        return [[(x // 9 + y // 7) % 11 for x in range(224)] for y in range(224)]
    back, rects = (0, PUBLISHED) if name == "published" else (10, [(1, 64, 160, 64, 160)])
    rows = [[back] * 224 for _ in range(224)]
    for label, y0, y1, x0, x1 in rects:
        for y in range(y0, y1):
            rows[y][x0:x1] = [label] * (x1 - x0)
    return rows


def patch_sets(rows, grid):
    side = 224 // grid
    return [{rows[y][x] for y in range(r * side, (r + 1) * side) for x in range(c * side, (c + 1) * side)}
            for r in range(grid) for c in range(grid)]


def is_region(j, s):
    return [bool(s & {2, 3}), bool(s & {4, 5}), 6 in s, bool(s & {7, 8, 9}), bool(s & {0, 10}) and 1 in s,
            10 in s, 1 in s, 0 in s][j]


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def settle(masked, budget, n, protected):
    free = [p for p in range(n) if p not in masked]
    masked |= set(free[:max(0, budget - len(masked))])
    over = [p for p in sorted(masked) if p not in protected][:max(0, len(masked) - budget)]
    return masked - set(over)


def frp(sets, budget, _):
    n, masked, owned = len(sets), set(), set()
    rho = f32(f32(budget) / f32(n))
    for j in range(8):
        group = [p for p in range(n) if p not in owned and is_region(j, sets[p])]
        masked |= set(group[:round(f32(len(group) * rho))])  # Python rounds halves to even
        owned |= set(group)
    return settle(masked, budget, n, set()), set()


def crfr_r(sets, budget, covered):
    n = len(sets)
    region = [p for p in range(n) if is_region(COVERED.index(covered), sets[p])]
    region = set(region[max(0, len(region) - budget):])
    return settle(set(region), budget, n, region), region


def fasking_i(sets, budget, _):
    n, visible = len(sets), set()
    for step in [{0}, {1}, {2, 4}, {3, 5}, {6}, {7, 8, 9}, {10}]:
        if len(visible) >= n - budget:
            break
        visible |= {p for p in range(n) if sets[p] & step}
    return settle(set(range(n)) - visible, budget, n, set()), set()


def hexed(patches, n):
    bits = "".join("1" if p in patches else "0" for p in range(n)).ljust(-(-n // 4) * 4, "0")
    return "".join(f"{int(bits[i:i + 4], 2):x}" for i in range(0, len(bits), 4))


for name, strategy, choices in [("frp", frp, [None]), ("crfr-r", crfr_r, COVERED), ("fasking-i", fasking_i, [None])]:
    cases = []
    for map_name in ["published", "checker", "hair"]:
        for grid, ratio in [(14, 0.75), (14, 0.6), (16, 0.75), (14, 0.1)]:
            sets = patch_sets(label_map(map_name), grid)
            for covered in choices:
                budget = int(ratio * grid * grid + 0.5)
                mask, region = strategy(sets, budget, covered)
                assert len(mask) == budget and region <= mask
                settings = {"choice": "identity"} | ({"covered": covered} if covered else {})
                cases.append({"map": map_name, "grid": grid, "ratio": ratio, "settings": settings,
                              "mask": hexed(mask, grid * grid), "region": hexed(region, grid * grid)})
    out = Path(__file__).parent / name / "tests/data/masks.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(f"{out}: {len(cases)} masks")
