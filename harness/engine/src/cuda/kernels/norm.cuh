// Layer norm (Ba et al., 2016) and column sums. One block per row; the row is kept in shared memory.
#pragma once
#include "common.cuh"

// y = (x - mean) / sqrt(variance + eps) [* w + b]; the variance divides by d - ddof. Grid: rows. Shared: d floats.
template <typename T>
__device__ void layer_norm(const T *x, const float *w, const float *b, T *y, int d, int ddof, float eps) {
  FB_SHARED(row);
  const i64 at = (i64)blockIdx.x * d;
  float sum = 0;
  for (int i = threadIdx.x; i < d; i += blockDim.x) {
    row[i] = get(x, at + i); // each thread reads back only what it wrote itself
    sum += row[i];
  }
  const float mean = block_sum(sum) / d;
  float square = 0;
  for (int i = threadIdx.x; i < d; i += blockDim.x) square += (row[i] - mean) * (row[i] - mean);
  const float scale = 1.f / sqrtf(block_sum(square) / (d - ddof) + eps);
  for (int i = threadIdx.x; i < d; i += blockDim.x) {
    const float v = (row[i] - mean) * scale;
    put(y, at + i, w ? v * w[i] + b[i] : v);
  }
}
#define PARAMETERS(T) (const T *x, const float *w, const float *b, T *y, int d, int ddof, float eps)
FB_EXPORT(layer_norm, (x, w, b, y, d, ddof, eps))
#undef PARAMETERS

// Gradients of layer_norm with ddof 0. Statistics are computed again. Block k takes rows k, k + blocks, ... and writes
// its sums of dy * xhat and dy to `parts` (blocks, 2, d). dx or parts may be null. Shared: 4 d floats.
template <typename T>
__device__ void layer_norm_grad(const T *x, const float *w, const T *dy, T *dx, float *parts, int rows, int d,
                                float eps) {
  FB_SHARED(shared);
  float *hat = shared, *slope = shared + d, *sum_w = shared + 2 * d, *sum_b = shared + 3 * d;
  for (int i = threadIdx.x; i < d; i += blockDim.x) sum_w[i] = sum_b[i] = 0;
  for (int r = blockIdx.x; r < rows; r += gridDim.x) {
    const i64 at = (i64)r * d;
    float sum = 0;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
      hat[i] = get(x, at + i);
      sum += hat[i];
    }
    const float mean = block_sum(sum) / d;
    float square = 0;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
      hat[i] -= mean;
      square += hat[i] * hat[i];
    }
    const float scale = 1.f / sqrtf(block_sum(square) / d + eps);
    float along_one = 0, along_hat = 0;
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
      const float g = get(dy, at + i);
      hat[i] *= scale;
      slope[i] = g * w[i];
      along_one += slope[i];
      along_hat += slope[i] * hat[i];
      sum_w[i] += g * hat[i];
      sum_b[i] += g;
    }
    along_one = block_sum(along_one) / d;
    along_hat = block_sum(along_hat) / d;
    if (dx)
      for (int i = threadIdx.x; i < d; i += blockDim.x)
        put(dx, at + i, scale * (slope[i] - along_one - hat[i] * along_hat));
  }
  if (parts)
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
      parts[(i64)blockIdx.x * 2 * d + i] = sum_w[i];
      parts[(i64)blockIdx.x * 2 * d + d + i] = sum_b[i];
    }
}
#define PARAMETERS(T) (const T *x, const float *w, const T *dy, T *dx, float *parts, int rows, int d, float eps)
FB_EXPORT(layer_norm_grad, (x, w, dy, dx, parts, rows, d, eps))
#undef PARAMETERS

// Sums over rows, of chunk blockIdx.y: out[blockIdx.y, c] = sum of x[r, c] (times mask[r]). Grid: columns, chunks.
template <typename T>
__device__ void column_sums(const T *x, const float *mask, float *out, int rows, int d, int chunk) {
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= d) return;
  const int from = blockIdx.y * chunk, to = min(rows, from + chunk);
  float sum = 0;
  for (int r = from; r < to; r++) {
    const float v = get(x, (i64)r * d + c);
    sum += mask ? mask[r] * v : v;
  }
  out[(i64)blockIdx.y * d + c] = sum;
}
#define PARAMETERS(T) (const T *x, const float *mask, float *out, int rows, int d, int chunk)
FB_EXPORT(column_sums, (x, mask, out, rows, d, chunk))
#undef PARAMETERS
