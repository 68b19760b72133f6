// The CUDA words the kernels use, for a plain C++ compiler. See emulate.cpp.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static // one block at a time
#define FB_SHARED(name) float *name = reinterpret_cast<float *>(fb_shared)

struct Place {
  int x, y, z;
};
extern Place threadIdx, blockIdx, blockDim, gridDim;
extern unsigned char *fb_shared;

void __syncthreads();
const void *fb_exchange(const void *mine, unsigned bytes, int partner);

template <typename V> V __shfl_xor_sync(unsigned, V v, int offset) {
  V other;
  std::memcpy(&other, fb_exchange(&v, sizeof v, threadIdx.x ^ offset), sizeof v);
  return other;
}

inline int min(int a, int b) { return a < b ? a : b; }

// bfloat16: the upper half of an f32, rounded to nearest even
struct bf16 {
  uint16_t bits;
};
inline float as_float(bf16 v) {
  const uint32_t wide = (uint32_t)v.bits << 16;
  float f;
  std::memcpy(&f, &wide, 4);
  return f;
}
inline void from_float(bf16 &to, float v) {
  uint32_t wide;
  std::memcpy(&wide, &v, 4);
  if (v != v) to.bits = (uint16_t)(wide >> 16 | 0x40);
  else to.bits = (uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
}

// Kernels by name, called with an array of pointers to their arguments, as cuLaunchKernel does.
typedef void (*Caller)(void **);
struct Registration {
  Registration(const char *name, Caller caller);
};
template <auto kernel> struct Call;
template <typename... A, void (*kernel)(A...)> struct Call<kernel> {
  template <int N, int... I> struct Make : Make<N - 1, N - 1, I...> {};
  template <int... I> struct Make<0, I...> {
    static void run(void **p) { kernel(*reinterpret_cast<A *>(p[I])...); }
  };
  static void run(void **p) { Make<sizeof...(A)>::run(p); }
};
#define FB_REGISTER(name) static Registration register_##name(#name, Call<name>::run);
