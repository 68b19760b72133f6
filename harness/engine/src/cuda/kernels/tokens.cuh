// Selecting visible tokens and putting them back. One block per token.
#pragma once
#include "common.cuh"

// y[b, i] = x[b, keep[b, i]]; a position that does not exist gives NaN. Grid: B * n.
template <typename T> __device__ void gather_tokens(const T *x, const u32 *keep, T *y, int total, int n, int d) {
  const u32 position = keep[blockIdx.x];
  const i64 from = ((i64)(blockIdx.x / n) * total + position) * d, to = (i64)blockIdx.x * d;
  for (int c = threadIdx.x; c < d; c += blockDim.x)
    put(y, to + c, position < (u32)total ? get(x, from + c) : NAN);
}
#define PARAMETERS(T) (const T *x, const u32 *keep, T *y, int total, int n, int d)
FB_EXPORT(gather_tokens, (x, keep, y, total, n, d))
#undef PARAMETERS

// dx[b, p] = sum of dy[b, i] over all i with keep[b, i] = p, in order. Grid: B * total. Shared: n ints.
template <typename T>
__device__ void gather_tokens_grad(const T *dy, const u32 *keep, T *dx, int total, int n, int d) {
  FB_SHARED(shared);
  int *found = (int *)shared;
  __shared__ int count;
  const int b = blockIdx.x / total, position = blockIdx.x % total;
  for (int i = threadIdx.x; i < n; i += blockDim.x) found[i] = keep[(i64)b * n + i] == (u32)position;
  __syncthreads();
  if (threadIdx.x == 0) {
    count = 0;
    for (int i = 0; i < n; i++)
      if (found[i]) found[count++] = i; // count <= i: overwrites what was read
  }
  __syncthreads();
  for (int c = threadIdx.x; c < d; c += blockDim.x) {
    float sum = 0;
    for (int k = 0; k < count; k++) sum += get(dy, ((i64)b * n + found[k]) * d + c);
    put(dx, (i64)blockIdx.x * d + c, sum);
  }
}
#define PARAMETERS(T) (const T *dy, const u32 *keep, T *dx, int total, int n, int d)
FB_EXPORT(gather_tokens_grad, (dy, keep, dx, total, n, d))
#undef PARAMETERS

// y[b, p] = x[b, i] where keep[b, i] = p, else fill; empty[b, p] = 1 where it is fill. Grid: B * total.
template <typename T>
__device__ void scatter_tokens(const T *x, const u32 *keep, const T *fill, T *y, float *empty, int total, int n,
                               int d) {
  __shared__ int source;
  const int b = blockIdx.x / total, position = blockIdx.x % total;
  if (threadIdx.x == 0) source = -1;
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    if (keep[(i64)b * n + i] == (u32)position) source = i;
  __syncthreads();
  for (int c = threadIdx.x; c < d; c += blockDim.x)
    y[(i64)blockIdx.x * d + c] = source < 0 ? fill[c] : x[((i64)b * n + source) * d + c];
  if (threadIdx.x == 0) empty[blockIdx.x] = source < 0 ? 1.f : 0.f;
}
#define PARAMETERS(T) (const T *x, const u32 *keep, const T *fill, T *y, float *empty, int total, int n, int d)
FB_EXPORT(scatter_tokens, (x, keep, fill, y, empty, total, n, d))
#undef PARAMETERS
