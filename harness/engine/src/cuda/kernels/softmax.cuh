// Softmax over rows, and the reordering of attention heads. One warp per row, four rows per block.
#pragma once
#include "common.cuh"

// y = softmax(scale * x). `rows` rows of d values.
template <typename T> __device__ void softmax(const T *x, T *y, int rows, int d, float scale) {
  const int row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
  const bool there = row < rows;
  const i64 at = (i64)(there ? row : 0) * d;
  float top = -INFINITY;
  for (int i = lane; i < d; i += 32) top = fmaxf(top, scale * get(x, at + i));
  top = warp_reduce(top, Max());
  float sum = 0;
  for (int i = lane; i < d; i += 32) sum += expf(scale * get(x, at + i) - top);
  sum = 1.f / warp_reduce(sum, Sum());
  if (there)
    for (int i = lane; i < d; i += 32) put(y, at + i, expf(scale * get(x, at + i) - top) * sum);
}
#define PARAMETERS(T) (const T *x, T *y, int rows, int d, float scale)
FB_EXPORT(softmax, (x, y, rows, d, scale))
#undef PARAMETERS

// dx = scale * y * (dy - sum(y * dy))
template <typename T> __device__ void softmax_grad(const T *y, const T *dy, T *dx, int rows, int d, float scale) {
  const int row = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
  const bool there = row < rows;
  const i64 at = (i64)(there ? row : 0) * d;
  float dot = 0;
  for (int i = lane; i < d; i += 32) dot += get(y, at + i) * get(dy, at + i);
  dot = warp_reduce(dot, Sum());
  if (there)
    for (int i = lane; i < d; i += 32) put(dx, at + i, scale * get(y, at + i) * (get(dy, at + i) - dot));
}
#define PARAMETERS(T) (const T *y, const T *dy, T *dx, int rows, int d, float scale)
FB_EXPORT(softmax_grad, (y, dy, dx, rows, d, scale))
#undef PARAMETERS

// Parts from .. from + count of a packed (B, N, S, H, d) to (count, B, H, N, d), or back. Grid: B * N, one token each.
template <typename T>
__device__ void heads(const T *x, T *y, int batch, int tokens, int s, int from, int count, int h, int d, int back) {
  const int b = blockIdx.x / tokens, n = blockIdx.x % tokens;
  for (int c = threadIdx.x; c < count * h * d; c += blockDim.x) {
    const int part = c / (h * d), head = c / d % h, e = c % d;
    const i64 apart = ((((i64)part * batch + b) * h + head) * tokens + n) * d + e;
    const i64 packed = ((i64)blockIdx.x * s + from) * h * d + c;
    if (back) y[packed] = x[apart];
    else y[apart] = x[packed];
  }
}
#define PARAMETERS(T) (const T *x, T *y, int batch, int tokens, int s, int from, int count, int h, int d, int back)
FB_EXPORT(heads, (x, y, batch, tokens, s, from, count, h, d, back))
#undef PARAMETERS
