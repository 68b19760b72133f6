// What every kernel uses: element types, reductions of a block, and the macro that exports a kernel for both types.
//
// Arithmetic is f32 whatever the storage; reductions have a fixed order, so the same inputs give the same bits on
// every run. The same sources compile as plain C++ (FB_EMULATE, see emulate.cpp), which is how indices, launch shapes
// and gradients are tested where there is no GPU.
#pragma once
#ifdef FB_EMULATE
#include "emulate.h"
#else
#include <cuda_bf16.h>
typedef __nv_bfloat16 bf16;
#define FB_SHARED(name) extern __shared__ float name[]
#define FB_REGISTER(name)
__device__ __forceinline__ float as_float(bf16 v) { return __bfloat162float(v); }
__device__ __forceinline__ void from_float(bf16 &to, float v) { to = __float2bfloat16_rn(v); }
#endif

typedef long long i64;
typedef unsigned int u32;
typedef unsigned long long u64;

__device__ __forceinline__ float as_float(float v) { return v; }
__device__ __forceinline__ void from_float(float &to, float v) { to = v; }

template <typename T> __device__ __forceinline__ float get(const T *p, i64 i) { return as_float(p[i]); }
template <typename T> __device__ __forceinline__ void put(T *p, i64 i, float v) { from_float(p[i], v); }

struct Sum {
  template <typename V> __device__ __forceinline__ V operator()(V a, V b) const { return a + b; }
};
struct Max {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Reduction over the 32 threads of a warp; all of them get the result.
template <typename V, typename F> __device__ __forceinline__ V warp_reduce(V v, F f) {
  for (int offset = 16; offset > 0; offset >>= 1) v = f(v, __shfl_xor_sync(0xffffffffu, v, offset));
  return v;
}

// Reduction over a block of whole warps; all threads get the result and must take part.
template <typename V, typename F> __device__ __forceinline__ V block_reduce(V v, V neutral, F f) {
  __shared__ V parts[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  v = warp_reduce(v, f);
  if (lane == 0) parts[warp] = v;
  __syncthreads();
  v = lane < (int)blockDim.x / 32 ? parts[lane] : neutral;
  v = warp_reduce(v, f);
  __syncthreads(); // `parts` is used again
  return v;
}

__device__ __forceinline__ float block_sum(float v) { return block_reduce(v, 0.f, Sum()); }
__device__ __forceinline__ float block_max(float v) { return block_reduce(v, -INFINITY, Max()); }

// One entry per element type, `NAME_f32` and `NAME_bf16`; PARAMETERS(T) is defined by the caller.
#define FB_EXPORT(name, arguments)                                                                                     \
  extern "C" __global__ void name##_f32 PARAMETERS(float) { name<float> arguments; }                                   \
  FB_REGISTER(name##_f32)                                                                                              \
  extern "C" __global__ void name##_bf16 PARAMETERS(bf16) { name<bf16> arguments; }                                    \
  FB_REGISTER(name##_bf16)

// Index of this thread in the grid, and the number of threads.
__device__ __forceinline__ i64 first() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ i64 stride() { return (i64)gridDim.x * blockDim.x; }
