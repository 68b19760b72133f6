"""Decode, resize to 224 x 224 (bicubic), normalise with Pillow and NumPy: their side of run.py. Same protocol as ours.rs."""
import io
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

folder, threads, pixels = sys.argv[1], int(sys.argv[2]), sys.argv[3]
names = sorted(n for n in os.listdir(folder) if n.endswith(".jpg"))
files = [open(os.path.join(folder, n), "rb").read() for n in names]
mean = np.array([0.485, 0.456, 0.406], np.float32)
std = np.array([0.229, 0.224, 0.225], np.float32)
scale, shift = 1 / (255 * std), -mean / std


def small(data):
    return Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.BICUBIC)


def tensor(data):
    # one multiplication and one addition: the fastest of several ways to write it
    x = np.asarray(small(data)).astype(np.float32)
    x *= scale
    x += shift
    return np.ascontiguousarray(x.transpose(2, 0, 1)).reshape(-1)[7]


with open(pixels, "wb") as out:
    for f in files:
        out.write(small(f).tobytes())
with ThreadPoolExecutor(threads) as pool:
    for _ in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        total = sum(pool.map(tensor, files)) if threads > 1 else sum(map(tensor, files))
        print(time.perf_counter() - start, time.process_time() - processor, total, flush=True)
