// Optimiser steps in place. Parameters and moments are f32 (the master copy); gradients may be bf16.
#pragma once
#include "common.cuh"

// Adam (arXiv 1412.6980) and AdamW (1711.05101) in the form of the CPU kernel: bias corrections folded into `rate`
// and `root`, decoupled decay in `keep`, coupled decay added to the gradient.
template <typename T>
__device__ void adam(float *p, const T *g, float *m, float *v, i64 n, float beta1, float beta2, float eps, float rate,
                     float root, float keep, float coupled) {
  for (i64 i = first(); i < n; i += stride()) {
    const float slope = get(g, i) + coupled * p[i];
    const float one = m[i] + (slope - m[i]) * (1.f - beta1), two = v[i] * beta2 + slope * slope * (1.f - beta2);
    m[i] = one;
    v[i] = two;
    p[i] = p[i] * keep - rate * one / (sqrtf(two) * root + eps);
  }
}
#define PARAMETERS(T)                                                                                                  \
  (float *p, const T *g, float *m, float *v, i64 n, float beta1, float beta2, float eps, float rate, float root,       \
   float keep, float coupled)
FB_EXPORT(adam, (p, g, m, v, n, beta1, beta2, eps, rate, root, keep, coupled))
#undef PARAMETERS

// t = m t + (1 - m) x
template <typename T> __device__ void average(T *t, const T *x, i64 n, float m) {
  for (i64 i = first(); i < n; i += stride()) put(t, i, m * get(t, i) + (1.f - m) * get(x, i));
}
#define PARAMETERS(T) (T *t, const T *x, i64 n, float m)
FB_EXPORT(average, (t, x, n, m))
#undef PARAMETERS

// a += x
template <typename T> __device__ void add(float *a, const T *x, i64 n) {
  for (i64 i = first(); i < n; i += stride()) a[i] += get(x, i);
}
#define PARAMETERS(T) (float *a, const T *x, i64 n)
FB_EXPORT(add, (a, x, n))
#undef PARAMETERS

// x *= factor
template <typename T> __device__ void scale(T *x, i64 n, float factor) {
  for (i64 i = first(); i < n; i += stride()) put(x, i, get(x, i) * factor);
}
#define PARAMETERS(T) (T *x, i64 n, float factor)
FB_EXPORT(scale, (x, n, factor))
#undef PARAMETERS

// out[blockIdx.x] = this block's part of sum(x^2), in f64
template <typename T> __device__ void square_sum(const T *x, double *out, i64 n) {
  double sum = 0;
  for (i64 i = first(); i < n; i += stride()) {
    const double v = get(x, i);
    sum += v * v;
  }
  sum = block_reduce(sum, 0.0, Sum());
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}
#define PARAMETERS(T) (const T *x, double *out, i64 n)
FB_EXPORT(square_sum, (x, out, n))
#undef PARAMETERS
