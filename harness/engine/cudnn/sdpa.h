// Fused attention: the C interface between the program and libfacebench_cudnn.so.
//
// softmax(q kT * scale) v in bf16 with f32 inside, and its gradients. Two implementations: sdpa.cpp (cuDNN) and
// double.cpp (plain loops over CPU memory, for tests). The Rust side is ../src/cuda/cudnn.rs, which repeats these
// declarations; whatever changes here raises FB_SDPA_ABI, and another version is refused.
//
// Functions give 0, or -1 with a text in fb_sdpa_error. Handles and plans live as long as the process. Calls with the
// same handle come one at a time, with the device's context current on the calling thread.
#pragma once
#include <stdint.h>

#define FB_SDPA_ABI 1

// What a plan does. The stats are the log-sum-exp of the scaled scores, which the backward pass needs.
enum { FB_FORWARD, FB_FORWARD_STATS, FB_BACKWARD };

// Tensors by their place in the tables of strides and addresses. Those up to FB_DV are bf16 of shape (batch, heads,
// queries or keys, width) at any strides with adjacent values along the width; the stats are f32 (batch, heads,
// queries), contiguous. Forward: reads Q K V, writes O (and STATS). Backward: reads Q K V O DO STATS, writes DQ DK DV.
// Addresses are multiples of 16 bytes. Places a pass does not use are ignored.
enum { FB_Q, FB_K, FB_V, FB_O, FB_DO, FB_DQ, FB_DK, FB_DV, FB_STATS, FB_TENSORS };

struct FbSdpaShape {
  int64_t batch, heads, queries, keys, width;
  int64_t strides[FB_STATS][3]; // of batch, head, token; in values
  float scale;
  int32_t pass;
};

#ifdef __cplusplus
extern "C" {
#endif
// The version of this interface.
int32_t fb_sdpa_abi(void);
// What the last call on this thread that gave -1 had to say.
const char *fb_sdpa_error(void);
// Opens the implementation on the current device. `version`: 10000 * major + 100 * minor + patch.
int32_t fb_sdpa_open(void **handle, int64_t *version);
// A plan for these sizes, or why there is none. `workspace`: bytes that each run needs.
int32_t fb_sdpa_plan(void *handle, const struct FbSdpaShape *shape, void **plan, int64_t *workspace);
// Puts one run on the stream. `tensors`: FB_TENSORS addresses on the device.
int32_t fb_sdpa_run(void *handle, void *plan, void *stream, void *const *tensors, void *workspace);
#ifdef __cplusplus
}
#endif
