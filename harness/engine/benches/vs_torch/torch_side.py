"""The PyTorch contestant: a process that is told over stdin what to run and answers with one JSON line each.

The networks are the plain ones a PyTorch user writes (nn.Linear, nn.LayerNorm, nn.GELU, scaled_dot_product_attention,
conv2d patch embedding), with the parameter names of the released checkpoints, so the state dictionary it exports is what
our side loads. `eager` is PyTorch as it comes; `best` adds what its documentation recommends on a CPU: torch.compile
(with frozen, prepacked weights for inference) and the fused AdamW. `run.py` tunes malloc for `best` from outside.
"""
import argparse
import copy
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

SIZES = {"small": (384, 12, 12), "base": (768, 12, 12), "large": (1024, 24, 16)}  # width, depth, heads (FS-VFM's)
PATCH, SIDE, GRID, PATCHES, KEPT = 16, 224, 14, 196, 49
LR, CLIP, WEIGHT_DECAY, MOMENTUM = 1e-4, 1.0, 0.05, 0.996
STEPS_OF_NOISE = 8  # different masks, used in turn


def norm(width, eps=1e-6):
    return nn.LayerNorm(width, eps=eps)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn = norm(width), Attention(width, heads)
        self.norm2, self.mlp = norm(width), Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, images):
        return self.proj(images).flatten(2).transpose(1, 2)


def gather(x, ids):
    return torch.gather(x, 1, ids.unsqueeze(-1).expand(-1, -1, x.shape[2]))


class Encoder(nn.Module):
    def __init__(self, width, depth, heads, fixed_positions):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + PATCHES, width), requires_grad=not fixed_positions)
        self.patch_embed = PatchEmbed(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def encode(self, images, keep=None):
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        if keep is not None:
            x = gather(x, keep)
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        x = torch.cat([cls, x], 1)
        for block in self.blocks:
            x = block(x)
        return x


class Classifier(Encoder):
    """Mean of the patch tokens, fc_norm, linear head: the fine-tuned detector."""

    def __init__(self, width, depth, heads):
        super().__init__(width, depth, heads, fixed_positions=False)
        self.fc_norm = norm(width)
        self.head = nn.Linear(width, 2)

    def forward(self, images):
        return self.head(self.fc_norm(self.encode(images)[:, 1:].mean(1)))


def projection(width, hidden, out):
    head = nn.Sequential(nn.Linear(width, hidden), norm(hidden, 1e-5), nn.ReLU(), nn.Linear(hidden, out))
    return nn.ModuleDict({"projection_head": head})


class Pretrainer(Encoder):
    """MAE when `similarity` is off; with it, the 3C objective with a moving-average target network."""

    def __init__(self, width, depth, heads, similarity):
        super().__init__(width, depth, heads, fixed_positions=True)
        inner = 512
        self.similarity = similarity
        self.norm = norm(width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width if similarity else inner))
        self.decoder_embed = nn.Linear(width, inner)
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, 1 + PATCHES, inner), requires_grad=False)
        self.decoder_blocks = nn.ModuleList(Block(inner, 16) for _ in range(8))
        self.decoder_norm = norm(inner)
        self.decoder_pred = nn.Linear(inner, PATCH * PATCH * 3)
        if similarity:
            self.rep_decoder_embed = nn.Linear(width, width)
            self.rep_decoder_pos_embed = nn.Parameter(torch.zeros(1, 1 + PATCHES, width), requires_grad=False)
            self.rep_decoder_blocks = nn.ModuleList(Block(width, 16) for _ in range(2))
            self.rep_decoder_norm = norm(width)
            self.rep_decoder_pred = nn.Linear(width, width)
            self.projector = projection(width, 4096, 256)
            self.predictor = projection(256, 4096, 256)

    def fill(self, x, restore):
        hidden = self.mask_token.expand(x.shape[0], PATCHES + 1 - x.shape[1], -1)
        patches = gather(torch.cat([x[:, 1:], hidden], 1), restore)
        return torch.cat([x[:, :1], patches], 1)

    def represent(self, x, restore=None):
        x = self.rep_decoder_embed(x)
        if restore is not None:
            x = self.fill(x, restore)
        x = x + self.rep_decoder_pos_embed
        for block in self.rep_decoder_blocks:
            x = block(x)
        return self.rep_decoder_pred(self.rep_decoder_norm(x)).mean(1)

    def project(self, images):
        x = self.norm(self.encode(images))
        return F.normalize(self.projector["projection_head"](self.represent(x)), dim=1)

    def decode(self, x, restore):
        if self.similarity:
            x = self.decoder_embed(self.fill(x, restore))
        else:
            x = self.fill(self.decoder_embed(x), restore)
        x = x + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]

    def forward(self, images, noise, target=None):
        order = noise.argsort(1)
        restore = order.argsort(1)
        mask = (restore >= KEPT).to(images.dtype)
        region = ((restore >= KEPT) & (restore < KEPT + 24)).to(images.dtype)  # a covered region of 24 patches
        encoded = self.norm(self.encode(images, order[:, :KEPT]))
        wanted = images.reshape(-1, 3, GRID, PATCH, GRID, PATCH).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
        error = (self.decode(encoded, restore) - wanted).square().mean(-1)
        loss = (error * mask).sum() / mask.sum()
        if self.similarity:
            loss = loss + 0.007 * ((error * region).sum() / region.sum())
            x = self.projector["projection_head"](self.represent(encoded, restore))
            online = F.normalize(self.predictor["projection_head"](x), dim=1)
            loss = loss + 0.1 * (-0.5 * (online * target).sum(1).mean())
        return loss


def build(kind, size):
    width, depth, heads = SIZES[size]
    if kind in ("infer", "tune", "frozen"):
        return Classifier(width, depth, heads)
    return Pretrainer(width, depth, heads, similarity=kind == "3c")


def sincos(width):
    """MAE's position table: half of the channels for the column, half for the row; a row of zeros for cls."""
    omega = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    axis = torch.arange(GRID, dtype=torch.float64)[:, None] * omega
    part = torch.cat([axis.sin(), axis.cos()], 1)  # (GRID, width / 2)
    table = torch.cat([part.repeat(GRID, 1), part.repeat_interleave(GRID, 0)], 1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table])[None].float()


def export(kind, size, batch, folder):
    """Weights, images, labels and mask noise for both sides."""
    torch.manual_seed(7)
    model = build(kind, size)
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith("pos_embed"):
            zero = name.startswith("rep_") or kind not in ("mae", "3c")
            state[name] = torch.zeros_like(value) if zero else sincos(value.shape[2])
        elif "norm" in name or ".projection_head.1." in name:
            state[name] = float(name.endswith("weight")) + 0.05 * torch.randn_like(value)
        else:
            state[name] = 0.02 * torch.randn_like(value)
    save_file(state, f"{folder}/weights.safetensors")
    inputs = {
        "images": torch.randn(batch, 3, SIDE, SIDE),
        "labels": (torch.arange(batch) % 2).to(torch.int64),
        "noise": torch.rand(STEPS_OF_NOISE, batch, PATCHES),
    }
    save_file(inputs, f"{folder}/inputs.safetensors")


class Work:
    """One workload, ready to run."""

    def __init__(self, kind, size, folder, best):
        self.kind, self.best, self.step = kind, best, 0
        self.model = build(kind, size)
        self.model.load_state_dict(load_file(f"{folder}/weights.safetensors"))
        inputs = load_file(f"{folder}/inputs.safetensors")
        self.images, self.labels, self.noise = inputs["images"], inputs["labels"], inputs["noise"]
        self.target = copy.deepcopy(self.model).requires_grad_(False) if kind == "3c" else None
        if kind == "infer":
            self.model.eval().requires_grad_(False)
        if kind == "frozen":
            for name, value in self.model.named_parameters():
                value.requires_grad_(name.startswith("head."))
        self.call = self.model
        self.project = self.target.project if self.target is not None else None
        if best:
            from torch._inductor import config

            config.freezing = kind == "infer"
            self.call = torch.compile(self.model)
            if self.project is not None:
                self.project = torch.compile(self.project)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if trained:
            matrices = [p for p in trained if p.ndim > 1]
            groups = [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
            ]
            groups = [g for g in groups if g["params"]]
            betas = (0.9, 0.95) if kind in ("mae", "3c") else (0.9, 0.999)
            self.optim = torch.optim.AdamW(groups, lr=LR, betas=betas, fused=True if best else None)
            self.trained = trained

    def once(self):
        """Returns the numbers to compare with the other side."""
        self.step += 1
        if self.kind == "infer":
            with torch.no_grad():
                return self.call(self.images).flatten().tolist()
        if self.kind in ("tune", "frozen"):
            loss = F.cross_entropy(self.call(self.images), self.labels)
        else:
            noise = self.noise[(self.step - 1) % STEPS_OF_NOISE]
            target = None
            if self.target is not None:
                with torch.no_grad():
                    target = self.project(self.images)
            loss = self.call(self.images, noise, target)
        self.optim.zero_grad(set_to_none=True)
        loss.backward()
        if self.kind in ("mae", "3c"):
            nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optim.step()
        if self.target is not None:
            with torch.no_grad():
                ours, theirs = list(self.target.parameters()), list(self.model.parameters())
                torch._foreach_mul_(ours, MOMENTUM)
                torch._foreach_add_(ours, theirs, alpha=1 - MOMENTUM)
        return [loss.item()]


def serve(args):
    torch.set_num_threads(args.threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    work = Work(args.kind, args.size, args.folder, args.best)
    print("ready", flush=True)
    for line in sys.stdin:
        repeats = int(line)
        if repeats == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"peak_mb": peak, "start_mb": before, "torch": torch.__version__}), flush=True)
            return
        values, wall, cpu = [], time.perf_counter(), time.process_time()
        for _ in range(repeats):
            values = work.once()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "values": values}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["export", "serve"])
    parser.add_argument("kind", choices=["infer", "tune", "frozen", "mae", "3c"])
    parser.add_argument("--size", choices=list(SIZES), default="base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--best", action="store_true")
    args = parser.parse_args()
    if args.mode == "export":
        export(args.kind, args.size, args.batch, args.folder)
    else:
        serve(args)


if __name__ == "__main__":
    main()
