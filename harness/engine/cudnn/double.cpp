// A stand-in for sdpa.cpp on CPU memory, so that the Rust side can be tested without a GPU.
//
// The same interface by plain loops over f32 copies of the strided operands. It is stricter than a GPU would show: what
// cuDNN requires (addresses, widths, the null stream that stands for the CPU) is an error with a text, memory that only
// the other pass has is never read, and the workspace is overwritten.
#include "sdpa.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {
thread_local std::string last_error;

int32_t fail(const std::string &text) {
  last_error = text;
  return -1;
}

float widened(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

uint16_t rounded(float value) {
  uint32_t wide;
  std::memcpy(&wide, &value, sizeof wide);
  if (value != value) return static_cast<uint16_t>(wide >> 16 | 0x40);
  return static_cast<uint16_t>((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
}

constexpr int64_t WORKSPACE = 1000; // bytes; what it is does not matter, only that it is there

// One run: rows of one head of one image at a time.
struct Run {
  const FbSdpaShape &s;
  void *const *tensors;

  int64_t count(int place) const {
    return place == FB_K || place == FB_V || place == FB_DK || place == FB_DV ? s.keys : s.queries;
  }
  uint16_t *row(int place, int64_t b, int64_t h, int64_t token) const {
    const int64_t *strides = s.strides[place];
    return static_cast<uint16_t *>(tensors[place]) + b * strides[0] + h * strides[1] + token * strides[2];
  }
  std::vector<float> read(int place, int64_t b, int64_t h) const {
    std::vector<float> values;
    for (int64_t t = 0; t < count(place); t++)
      for (int64_t i = 0; i < s.width; i++) values.push_back(widened(row(place, b, h, t)[i]));
    return values;
  }
  void write(int place, int64_t b, int64_t h, const std::vector<float> &values) const {
    for (int64_t t = 0; t < count(place); t++)
      for (int64_t i = 0; i < s.width; i++) row(place, b, h, t)[i] = rounded(values[t * s.width + i]);
  }
  float *stats(int64_t b, int64_t h) const {
    return static_cast<float *>(tensors[FB_STATS]) + (b * s.heads + h) * s.queries;
  }
  float dot(const float *x, const float *y) const {
    float sum = 0;
    for (int64_t i = 0; i < s.width; i++) sum += x[i] * y[i];
    return sum;
  }

  void forward(int64_t b, int64_t h) const {
    const auto q = read(FB_Q, b, h), k = read(FB_K, b, h), v = read(FB_V, b, h);
    std::vector<float> o(s.queries * s.width, 0), scores(s.keys);
    for (int64_t i = 0; i < s.queries; i++) {
      float most = -std::numeric_limits<float>::infinity(), sum = 0;
      for (int64_t j = 0; j < s.keys; j++) {
        scores[j] = s.scale * dot(&q[i * s.width], &k[j * s.width]);
        most = std::fmax(most, scores[j]);
      }
      for (int64_t j = 0; j < s.keys; j++) sum += std::exp(scores[j] - most);
      const float stat = most + std::log(sum);
      for (int64_t j = 0; j < s.keys; j++)
        for (int64_t c = 0; c < s.width; c++) o[i * s.width + c] += std::exp(scores[j] - stat) * v[j * s.width + c];
      if (s.pass == FB_FORWARD_STATS) stats(b, h)[i] = stat;
    }
    write(FB_O, b, h, o);
  }

  void backward(int64_t b, int64_t h) const {
    const auto q = read(FB_Q, b, h), k = read(FB_K, b, h), v = read(FB_V, b, h);
    const auto o = read(FB_O, b, h), d_o = read(FB_DO, b, h);
    std::vector<float> dq(q.size(), 0), dk(k.size(), 0), dv(v.size(), 0);
    for (int64_t i = 0; i < s.queries; i++) {
      const float *qi = &q[i * s.width], *gi = &d_o[i * s.width];
      const float delta = dot(gi, &o[i * s.width]);
      for (int64_t j = 0; j < s.keys; j++) {
        const float *kj = &k[j * s.width];
        const float p = std::exp(s.scale * dot(qi, kj) - stats(b, h)[i]);
        const float ds = s.scale * p * (dot(gi, &v[j * s.width]) - delta);
        for (int64_t c = 0; c < s.width; c++) {
          dq[i * s.width + c] += ds * kj[c];
          dk[j * s.width + c] += ds * qi[c];
          dv[j * s.width + c] += p * gi[c];
        }
      }
    }
    write(FB_DQ, b, h, dq), write(FB_DK, b, h, dk), write(FB_DV, b, h, dv);
  }
};

bool used(int32_t pass, int place) {
  if (place <= FB_O) return true;
  if (place == FB_STATS) return pass != FB_FORWARD;
  return pass == FB_BACKWARD;
}

int device; // what the handle points to
} // namespace

int32_t fb_sdpa_abi(void) { return FB_SDPA_ABI; }

const char *fb_sdpa_error(void) { return last_error.c_str(); }

int32_t fb_sdpa_open(void **handle, int64_t *version) {
  *handle = &device, *version = 10203;
  return 0;
}

int32_t fb_sdpa_plan(void *handle, const FbSdpaShape *shape, void **plan, int64_t *workspace) {
  if (handle != &device) return fail("another handle");
  if (shape->batch < 1 || shape->heads < 1 || shape->queries < 1 || shape->keys < 1) return fail("empty");
  if (shape->pass < FB_FORWARD || shape->pass > FB_BACKWARD) return fail("no such pass");
  if (shape->width % 8 || shape->width > 256) return fail("the width is no multiple of 8 up to 256");
  if (shape->pass == FB_BACKWARD && shape->queries == 1 && shape->keys == 1) return fail("one token has no gradient");
  *plan = new FbSdpaShape(*shape), *workspace = WORKSPACE;
  return 0;
}

int32_t fb_sdpa_run(void *handle, void *plan, void *stream, void *const *tensors, void *workspace) {
  if (handle != &device) return fail("another handle");
#ifndef FB_ANY_STREAM // on the software GPU streams have addresses
  if (stream) return fail("another stream");
#endif
  const Run run{*static_cast<const FbSdpaShape *>(plan), tensors};
  for (int place = 0; place < FB_TENSORS; place++) {
    if (used(run.s.pass, place) != (tensors[place] != nullptr)) return fail("tensor " + std::to_string(place));
    if (reinterpret_cast<uintptr_t>(tensors[place]) % 16) return fail("address of tensor " + std::to_string(place));
  }
  if (!workspace) return fail("no workspace");
  std::memset(workspace, 0xff, WORKSPACE);
  for (int64_t b = 0; b < run.s.batch; b++)
    for (int64_t h = 0; h < run.s.heads; h++)
      if (run.s.pass == FB_BACKWARD) run.backward(b, h);
      else run.forward(b, h);
  return 0;
}
