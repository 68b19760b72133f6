// Functions of single elements: bias, GELU, random factors.
#pragma once
#include "common.cuh"

__device__ __forceinline__ float gelu_value(float x) { return 0.5f * x * erfcf(-0.70710678f * x); }
__device__ __forceinline__ float gelu_slope(float x) {
  return 0.5f * erfcf(-0.70710678f * x) + x * 0.39894228f * expf(-0.5f * x * x);
}

// y = x + bias, or gelu(x + bias). The bias has d values and may be null.
template <typename T> __device__ void bias_act(const T *x, const float *bias, T *y, i64 n, int d, int gelu) {
  for (i64 i = first(); i < n; i += stride()) {
    const float v = get(x, i) + (bias ? bias[i % d] : 0.f);
    put(y, i, gelu ? gelu_value(v) : v);
  }
}
#define PARAMETERS(T) (const T *x, const float *bias, T *y, i64 n, int d, int gelu)
FB_EXPORT(bias_act, (x, bias, y, n, d, gelu))
#undef PARAMETERS

// dx = dy * gelu'(x + bias)
template <typename T> __device__ void gelu_grad(const T *x, const float *bias, const T *dy, T *dx, i64 n, int d) {
  for (i64 i = first(); i < n; i += stride())
    put(dx, i, get(dy, i) * gelu_slope(get(x, i) + (bias ? bias[i % d] : 0.f)));
}
#define PARAMETERS(T) (const T *x, const float *bias, const T *dy, T *dx, i64 n, int d)
FB_EXPORT(gelu_grad, (x, bias, dy, dx, n, d))
#undef PARAMETERS

// y = x * factors[i / part]
template <typename T> __device__ void scale_parts(const T *x, const float *factors, T *y, i64 n, i64 part) {
  for (i64 i = first(); i < n; i += stride()) put(y, i, get(x, i) * factors[i / part]);
}
#define PARAMETERS(T) (const T *x, const float *factors, T *y, i64 n, i64 part)
FB_EXPORT(scale_parts, (x, factors, y, n, part))
#undef PARAMETERS

__device__ __forceinline__ u32 turn(u32 v, int by) { return (v << by) | (v >> (32 - by)); }
__device__ __forceinline__ void quarter(u32 &a, u32 &b, u32 &c, u32 &d) {
  a += b, d = turn(d ^ a, 16);
  c += d, b = turn(b ^ c, 12);
  a += b, d = turn(d ^ a, 8);
  c += d, b = turn(b ^ c, 7);
}

// out[i] = 0 with probability p, else keep: the numbers the processor would draw. ChaCha8 (Bernstein, 2008) with the
// 256-bit key k0..k3; draw i is words `at + 2 i` (low) and the next one of the key stream. `at` is even.
extern "C" __global__ void random_keep(float *out, i64 count, u64 at, u64 k0, u64 k1, u64 k2, u64 k3, double p,
                                       float keep) {
  const u64 keys[4] = {k0, k1, k2, k3};
  const u64 from = at / 16, blocks = (at + 2 * (u64)count + 15) / 16 - from;
  for (u64 b = first(); b < blocks; b += stride()) {
    u32 start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u}, s[16];
    for (int i = 0; i < 4; i++) start[4 + 2 * i] = (u32)keys[i], start[5 + 2 * i] = (u32)(keys[i] >> 32);
    start[12] = (u32)(from + b), start[13] = (u32)((from + b) >> 32), start[14] = start[15] = 0;
    for (int i = 0; i < 16; i++) s[i] = start[i];
    for (int round = 0; round < 4; round++) {
      for (int i = 0; i < 4; i++) quarter(s[i], s[4 + i], s[8 + i], s[12 + i]);
      for (int i = 0; i < 4; i++) quarter(s[i], s[4 + (i + 1) % 4], s[8 + (i + 2) % 4], s[12 + (i + 3) % 4]);
    }
    for (int i = 0; i < 16; i += 2) {
      const i64 draw = ((i64)((from + b) * 16) + i - (i64)at) / 2;
      if ((from + b) * 16 + i < at || draw >= count) continue;
      const u64 bits = (u64)(s[i] + start[i]) | (u64)(s[i + 1] + start[i + 1]) << 32;
      out[draw] = (double)(bits >> 11) / 9007199254740992.0 < p ? 0.f : keep;
    }
  }
}
FB_REGISTER(random_keep)
