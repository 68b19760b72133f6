"""Image pipeline against Pillow + NumPy: python3 harness/data/benches/vs_pillow/run.py [--rounds 9] [--pillow 9.5.0]

Makes its own virtual environment and pictures below target/vs_pillow, builds our side, checks that the resized pictures are equal
byte for byte, then times both in turn (interleaved rounds) with 1 and 2 threads and prints medians and ratios (> 1: we are faster), by the
clock (for a quiet machine) and of processor time (which other work disturbs less).
The pictures are seeded noise with the spectrum of photographs (amplitude 1/f), 320 to 640 pixels a side, quality 75 to 95.
Pillow 9.5.0 is what published models were trained through; newer ones run the passes of some resizes in another order
and then differ: `--pillow 13.0.0` reports by how much.
"""
import argparse
import os
import platform
import statistics
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.abspath(os.path.join(here, "../../../.."))
MAKE = """
import os, sys
import numpy as np
from PIL import Image
folder, count = sys.argv[1], int(sys.argv[2])
os.makedirs(folder, exist_ok=True)
rng = np.random.default_rng(20)
for i in range(count):
    w, h = (int(v) for v in rng.integers(320, 641, 2))
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    f = np.sqrt(fy * fy + fx * fx); f[0, 0] = 1
    def noise():
        spectrum = (rng.normal(size=f.shape) + 1j * rng.normal(size=f.shape)) / f
        spectrum[0, 0] = 0
        plane = np.fft.irfft2(spectrum, (h, w))
        return plane / plane.std()
    luma = noise()
    rgb = np.stack([125 + 48 * luma + 12 * noise() for _ in range(3)], 2)
    Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(
        os.path.join(folder, f"{i:03}.jpg"), quality=int(rng.integers(75, 96)), subsampling=[2, 2, 2, 0][i % 4])
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--pillow", default="9.5.0")
    parser.add_argument("--threads", default="1,2")
    args = parser.parse_args()
    work = os.path.join(root, "target/vs_pillow")
    venv = os.path.join(work, f"venv-{args.pillow}")
    python = os.path.join(venv, "bin/python")
    if not os.path.exists(os.path.join(venv, "ready")):
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", f"pillow=={args.pillow}", "numpy"], check=True)
        open(os.path.join(venv, "ready"), "w").close()
    pictures = os.path.join(work, f"pictures-{args.images}")
    if not os.path.exists(pictures):
        subprocess.run([python, "-c", MAKE, pictures, str(args.images)], check=True)
    build = ["cargo", "build", "--release", "-q", "-p", "facebench-data", "--example", "vs_pillow"]
    subprocess.run(build, check=True, cwd=root)
    ours = os.path.join(root, "target/release/examples/vs_pillow")
    facts = "import PIL, PIL.features as f, numpy; print('Pillow', PIL.__version__, 'libjpeg-turbo', f.version('libjpeg_turbo'), 'NumPy', numpy.__version__)"
    print(subprocess.run([python, "-c", facts], check=True, capture_output=True, text=True).stdout.strip())
    print(platform.platform(), os.cpu_count(), "processors,", args.images, "pictures,", args.rounds, "rounds")

    for threads in args.threads.split(","):
        sides, dumps = [], []
        for name, command in [("ours", [ours]), ("theirs", [python, os.path.join(here, "theirs.py")])]:
            dumps.append(os.path.join(work, f"{name}.rgb"))
            sides.append(subprocess.Popen(command + [pictures, threads, dumps[-1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        def once(side):
            side.stdin.write("go\n")
            side.stdin.flush()
            return tuple(float(v) for v in side.stdout.readline().split())  # wall, processor, sum
        warm = [once(s) for s in sides]
        a, b = (open(d, "rb").read() for d in dumps)
        different = sum(x != y for x, y in zip(a, b)) if a != b else 0
        worst = max((abs(x - y) for x, y in zip(a, b)), default=0) if a != b else 0
        print(f"{threads} threads: {different} of {len(b)} bytes differ, by at most {worst}; tensors sum to {warm[0][2]:.4f} and {warm[1][2]:.4f}")
        rounds = [[once(s)[:2] for s in (sides if r % 2 == 0 else sides[::-1])][:: 1 if r % 2 == 0 else -1] for r in range(args.rounds)]
        for side in sides:
            side.stdin.close()
            side.wait()
        for clock, what in enumerate(["wall", "processor"]):
            pairs = [(mine[clock], theirs[clock]) for mine, theirs in rounds]
            mine, pil = (1e3 * statistics.median(t) / args.images for t in zip(*pairs))
            ratios = sorted(t[1] / t[0] for t in pairs)
            print(f"  {what} time: ours {mine:.2f} ms, Pillow + NumPy {pil:.2f} ms a picture: ratio {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
