"""A second set of fixtures with other dimensions, steps, names and constants: python make.py (needs torch, numpy).

Written apart from this program: plain PyTorch layers, automatic differentiation, torch.optim.AdamW. Its purpose is to show
that the runners take everything from the files.
"""
import json
import math
import os

import numpy as np
import torch
from torch.nn.functional import gelu, layer_norm, linear, normalize, scaled_dot_product_attention

here = os.path.dirname(os.path.abspath(__file__))
C = dict(img=32, P=8, D=24, depth=1, heads=2, dD=16, ddepth=1, dheads=2, rdepth=1, rheads=3, hid=20, out=8, B=3, ratio=0.5)
LR, BETAS, EPS, WD, CLIP, M, WFR, WSIM, STEPS = 2e-3, (0.8, 0.9), 1e-7, 0.02, 0.5, 0.9, 0.05, 0.3, 3
N, GRID = (C["img"] // C["P"]) ** 2, C["img"] // C["P"]


def sincos(dim):
    omega = 1 / 10000 ** (np.arange(dim // 4) / (dim / 4))
    one = lambda pos: np.concatenate([np.sin(np.outer(pos, omega)), np.cos(np.outer(pos, omega))], 1)
    x, y = np.tile(np.arange(GRID), GRID), np.repeat(np.arange(GRID), GRID)
    return np.concatenate([np.zeros((1, dim)), np.concatenate([one(x), one(y)], 1)])[None]


def block_keys(name, d):
    for part, out, inp in [("norm1", d, 0), ("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("norm2", d, 0), ("mlp.fc1", 4 * d, d), ("mlp.fc2", d, 4 * d)]:
        yield f"{name}.{part}.weight", [out, inp] if inp else [out]
        yield f"{name}.{part}.bias", [out]


def keys():
    D, d, p = C["D"], C["dD"], C["P"]
    lin = lambda n, o, i: [(n + ".weight", [o, i] if i else [o]), (n + ".bias", [o])]
    out = [("mask_token", [1, 1, D]), ("cls_token", [1, 1, D]), ("pos_embed", [1, 1 + N, D])]
    out += [("patch_embed.proj.weight", [D, 3, p, p]), ("patch_embed.proj.bias", [D])]
    for i in range(C["depth"]):
        out += block_keys(f"blocks.{i}", D)
    out += lin("norm", D, 0) + lin("rep_decoder_embed", D, D) + [("rep_decoder_pos_embed", [1, 1 + N, D])]
    for i in range(C["rdepth"]):
        out += block_keys(f"rep_decoder_blocks.{i}", D)
    out += lin("rep_decoder_norm", D, 0) + lin("rep_decoder_pred", D, D)
    out += lin("projector.projection_head.0", C["hid"], D) + lin("projector.projection_head.1", C["hid"], 0) + lin("projector.projection_head.3", C["out"], C["hid"])
    out += lin("decoder_embed", d, D) + [("decoder_pos_embed", [1, 1 + N, d])]
    for i in range(C["ddepth"]):
        out += block_keys(f"decoder_blocks.{i}", d)
    out += lin("decoder_norm", d, 0) + lin("decoder_pred", p * p * 3, d)
    out += lin("predictor.projection_head.0", C["hid"], C["out"]) + lin("predictor.projection_head.1", C["hid"], 0) + lin("predictor.projection_head.3", C["out"], C["hid"])
    return out


def initial():
    w = {}
    for j, (name, shape) in enumerate(keys()):
        if name == "pos_embed" or name == "decoder_pos_embed":
            v = sincos(shape[-1])
        elif name == "rep_decoder_pos_embed":
            v = np.zeros(shape)
        else:
            i = np.arange(math.prod(shape), dtype=np.float64)
            norm = name.endswith("weight") and ("norm" in name or "projection_head.1." in name)
            v = (0.04 * np.cos(0.29 * i + 1.3 * j) + (1.0 if norm else 0.0)).reshape(shape)
        w[name] = torch.tensor(v.astype(np.float32).astype(np.float64))
    return w


def lin(w, n, x):
    return linear(x, w[n + ".weight"], w[n + ".bias"])


def ln(w, n, x, eps=1e-6):
    return layer_norm(x, x.shape[-1:], w[n + ".weight"], w[n + ".bias"], eps)


def blocks(w, name, depth, heads, x):
    for i in range(depth):
        n = f"{name}.{i}"
        b, t, d = x.shape
        qkv = lin(w, n + ".attn.qkv", ln(w, n + ".norm1", x)).reshape(b, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        a = scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(b, t, d)
        x = x + lin(w, n + ".attn.proj", a)
        x = x + lin(w, n + ".mlp.fc2", gelu(lin(w, n + ".mlp.fc1", ln(w, n + ".norm2", x))))
    return x


def encoder(w, images, keep):
    p, D = C["P"], C["D"]
    x = torch.nn.functional.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=p)
    x = x.flatten(2).transpose(1, 2) + w["pos_embed"][:, 1:]
    if keep is not None:
        x = torch.gather(x, 1, keep[..., None].expand(-1, -1, D))
    cls = (w["cls_token"] + w["pos_embed"][:, :1]).expand(len(x), 1, D)
    return ln(w, "norm", blocks(w, "blocks", C["depth"], C["heads"], torch.cat([cls, x], 1)))


def fill(w, x, keep):
    full = w["mask_token"].expand(len(x), N, x.shape[-1])
    full = full.scatter(1, keep[..., None].expand(-1, -1, x.shape[-1]), x[:, 1:])
    return torch.cat([x[:, :1], full], 1)


def head(w, n, x):
    return lin(w, n + ".projection_head.3", ln(w, n + ".projection_head.1", lin(w, n + ".projection_head.0", x), 1e-5).relu())


def represent(w, x, keep):
    x = lin(w, "rep_decoder_embed", x)
    x = (fill(w, x, keep) if keep is not None else x) + w["rep_decoder_pos_embed"]
    x = blocks(w, "rep_decoder_blocks", C["rdepth"], C["rheads"], x)
    return head(w, "projector", lin(w, "rep_decoder_pred", ln(w, "rep_decoder_norm", x)).mean(1))


def images(s):
    b, c, y, x = np.meshgrid(np.arange(C["B"]), np.arange(3), np.arange(C["img"]), np.arange(C["img"]), indexing="ij")
    v = 0.8 * np.cos(0.31 * x * (c + 1) - 0.17 * y + 0.4 * b + 0.2 * s)
    return torch.tensor(v.astype(np.float32).astype(np.float64))


def masks(s):
    mask = np.array([[(3 * p + 5 * q + 2 * s) % N >= N // 2 for p in range(N)] for q in range(C["B"])])
    region = mask & np.array([[(p // GRID) == (1 + s) % GRID for p in range(N)]] * C["B"])
    return mask, region


def hexed(bits):
    bits = list(bits) + [False] * (-len(bits) % 4)
    return "".join(f"{int(''.join('1' if b else '0' for b in bits[i:i + 4]), 2):x}" for i in range(0, len(bits), 4))


def run(variant):
    w = {k: v.clone() for k, v in initial().items()}
    target_keys = [k for k in w if not k.startswith(("predictor", "decoder"))]
    t = {k: w[k].clone() for k in target_keys}
    fixed = ("pos_embed", "decoder_pos_embed", "rep_decoder_pos_embed")
    trained = [k for k in w if k not in fixed]
    for k in trained:
        w[k].requires_grad_(True)
    groups = [dict(params=[w[k] for k in trained if w[k].ndim > 1], weight_decay=WD), dict(params=[w[k] for k in trained if w[k].ndim == 1], weight_decay=0.0)]
    adamw = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    steps = []
    for s in range(STEPS):
        x, (mask, region) = images(s), masks(s)
        keep = torch.tensor(np.array([np.flatnonzero(~m) for m in mask]))
        with torch.no_grad():
            zt = normalize(represent(t, encoder(t, x, None), None), dim=1)
        enc = encoder(w, x, keep)
        dec = lin(w, "decoder_embed", fill(w, enc, keep)) + w["decoder_pos_embed"]
        pred = lin(w, "decoder_pred", ln(w, "decoder_norm", blocks(w, "decoder_blocks", C["ddepth"], C["dheads"], dec)))[:, 1:]
        p, g = C["P"], GRID
        want = x.reshape(C["B"], 3, g, p, g, p).permute(0, 2, 4, 3, 5, 1).reshape(C["B"], N, p * p * 3)
        want = (want - want.mean(-1, keepdim=True)) / (want.var(-1, keepdim=True) + 1e-6).sqrt()
        per = ((pred - want) ** 2).mean(-1)
        m, r = torch.tensor(mask).double(), torch.tensor(region).double()
        rec, fr = (per * m).sum() / m.sum(), (per * r).sum() / r.sum()
        zo = normalize(head(w, "predictor", represent(w, enc, keep)), dim=1)
        cos = (zo * zt).sum(1)
        sim = (2 - 2 * cos).mean() if variant == "byol" else -0.5 * cos.mean()
        total = rec + WFR * fr + WSIM * sim
        adamw.zero_grad()
        total.backward()
        norm = math.sqrt(sum(float((w[k].grad ** 2).sum()) for k in trained))
        if variant != "no_clip":
            for k in trained:
                w[k].grad *= min(1.0, CLIP / (norm + 1e-6))
        adamw.step()
        with torch.no_grad():
            for k in target_keys:
                t[k] = M * t[k] + (1 - M) * w[k]
        steps.append(dict(loss_rec_all=float(rec), loss_rec_fr=float(fr), loss_sim=float(sim), total=float(total), grad_norm=norm))
    def summary(d):
        out = {}
        for k, v in d.items():
            v = v.detach().flatten()
            n = len(v)
            out[k] = dict(sum=float(v.sum()), l2=float(v.norm()), samples=[float(v[i]) for i in (0, n // 3, 2 * n // 3, n - 1)])
        return out
    return target_keys, dict(steps=steps, online_after_3=summary(w), target_after_3=summary(t))


target_keys, base = run("")
only_steps = lambda v: {"f64": {"steps": run(v)[1]["steps"]}}
about = dict(
    kind="pretrain_steps",
    what=f"{STEPS} steps: norm_pix reconstruction on all removed patches + {WFR} * reconstruction on the region patches + {WSIM} * SimSiam(online predictor, target projector). Global-norm clip at {CLIP}, AdamW, then EMA of every target tensor with m = {M}.",
    init="element i (flat, row-major, from 0) of tensor j (index in the listed key order, from 0) = 0.04*cos(0.29*i + 1.3*j), evaluated in float64, then rounded to float32; LayerNorm weights get +1 in float64 before the rounding. pos_embed and decoder_pos_embed hold the sin-cos table, rep_decoder_pos_embed is zero.",
    images="batch b=0..2, channel c, row y, column x, step s=0..2: 0.8*cos(0.31*x*(c+1) - 0.17*y + 0.4*b + 0.2*s), float64 then float32",
    optimizer=f"AdamW, lr {LR} constant, betas ({BETAS[0]}, {BETAS[1]}), eps {EPS}, decoupled weight decay {WD} on tensors with more than one dimension",
    tolerance={"f64": "losses and grad_norm 1e-9 relative; parameter samples 1e-8 absolute, l2 1e-8 relative",
               "f32_against_f64_values": "losses 1e-5 relative + 1e-6 absolute; grad_norm 2e-5 relative (step 0), 1e-4 (later); parameter samples 1e-4 absolute, l2 1e-4 relative"})
listed = [dict(step=s, mask_hex=[hexed(m) for m in masks(s)[0]], region_hex=[hexed(r) for r in masks(s)[1]]) for s in range(STEPS)]
file = dict(about=about, config=C, online_key_order=[list(k) for k in keys()], target_keys=target_keys, masks=listed, f64=base, variants={"byol": only_steps("byol"), "no_clip": only_steps("no_clip")})
json.dump(file, open(os.path.join(here, "small_network.json"), "w"))

lr = lambda e, T, W, peak, low: peak * e / W if e < W else low + (peak - low) * 0.5 * (1 + math.cos(math.pi * (e - W) / (T - W)))
epochs = [0, 0.3, 1.5, 2, 5.25, 7]
case = dict(name="short", peak_lr=0.3, min_lr=0.01, warmup_epochs=2, epochs=7, epoch=epochs, lr=[lr(e, 7, 2, 0.3, 0.01) for e in epochs])
ema = dict(base=0.95, final=1.0, epochs=2, iters_per_epoch=3, m=[1 - 0.05 * 0.5 * (1 + math.cos(math.pi * i / 6)) for i in range(6)])
decay = dict(model="tiny", depth=3, layer_decay=0.8, layer_scales_id_0_to_L_plus_1=[0.8 ** (4 - i) for i in range(5)])
json.dump(dict(about=dict(kind="schedules", tolerance="1e-12 relative (m: 1e-14 absolute)"), lr=[case], ema_full=[ema], layer_decay=[decay]), open(os.path.join(here, "rates.json"), "w"))
