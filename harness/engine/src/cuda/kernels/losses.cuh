// Losses: mean squared error of patches, cross entropy with soft targets. One block per row, results in f32.
#pragma once
#include "common.cuh"

// out[r] = mean((x - t)^2) where mask[r] is not 0, else 0
template <typename T>
__device__ void row_mse(const T *x, const float *t, const float *mask, float *out, int d) {
  const i64 at = (i64)blockIdx.x * d;
  float sum = 0;
  if (mask[blockIdx.x] != 0)
    for (int i = threadIdx.x; i < d; i += blockDim.x) {
      const float e = get(x, at + i) - t[at + i];
      sum += e * e;
    }
  sum = block_sum(sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum / d;
}
#define PARAMETERS(T) (const T *x, const float *t, const float *mask, float *out, int d)
FB_EXPORT(row_mse, (x, t, mask, out, d))
#undef PARAMETERS

// dx = g[r] * 2 (x - t) / d where mask[r] is not 0, else 0
template <typename T>
__device__ void row_mse_grad(const T *x, const float *t, const float *mask, const float *g, T *dx, int d) {
  const i64 at = (i64)blockIdx.x * d;
  const bool counts = mask[blockIdx.x] != 0;
  const float factor = 2.f * g[blockIdx.x] / d;
  for (int i = threadIdx.x; i < d; i += blockDim.x)
    put(dx, at + i, counts ? factor * (get(x, at + i) - t[at + i]) : 0.f);
}
#define PARAMETERS(T) (const T *x, const float *t, const float *mask, const float *g, T *dx, int d)
FB_EXPORT(row_mse_grad, (x, t, mask, g, dx, d))
#undef PARAMETERS

// out[r] = -sum(t * log softmax(x)); terms with t = 0 are 0 even where the logarithm is infinite
template <typename T> __device__ void cross_entropy(const T *x, const float *t, float *out, int d) {
  const i64 at = (i64)blockIdx.x * d;
  float top = -INFINITY, sum = 0, loss = 0;
  for (int i = threadIdx.x; i < d; i += blockDim.x) top = fmaxf(top, get(x, at + i));
  top = block_max(top);
  for (int i = threadIdx.x; i < d; i += blockDim.x) sum += expf(get(x, at + i) - top);
  const float log_sum = logf(block_sum(sum));
  for (int i = threadIdx.x; i < d; i += blockDim.x)
    if (t[at + i] != 0) loss -= t[at + i] * (get(x, at + i) - top - log_sum);
  loss = block_sum(loss);
  if (threadIdx.x == 0) out[blockIdx.x] = loss;
}
#define PARAMETERS(T) (const T *x, const float *t, float *out, int d)
FB_EXPORT(cross_entropy, (x, t, out, d))
#undef PARAMETERS

// dx = g[r] * (softmax(x) * sum(t) - t)
template <typename T>
__device__ void cross_entropy_grad(const T *x, const float *t, const float *g, T *dx, int d) {
  const i64 at = (i64)blockIdx.x * d;
  float top = -INFINITY, sum = 0, weight = 0;
  for (int i = threadIdx.x; i < d; i += blockDim.x) top = fmaxf(top, get(x, at + i));
  top = block_max(top);
  for (int i = threadIdx.x; i < d; i += blockDim.x) {
    sum += expf(get(x, at + i) - top);
    weight += t[at + i];
  }
  sum = block_sum(sum);
  weight = block_sum(weight);
  for (int i = threadIdx.x; i < d; i += blockDim.x)
    put(dx, at + i, g[blockIdx.x] * (expf(get(x, at + i) - top) / sum * weight - t[at + i]));
}
#define PARAMETERS(T) (const T *x, const float *t, const float *g, T *dx, int d)
FB_EXPORT(cross_entropy_grad, (x, t, g, dx, d))
#undef PARAMETERS
