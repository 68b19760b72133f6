// Fused attention by cuDNN, behind the interface of sdpa.h. Built by `cargo xtask cuda --cudnn`.
//
// NVIDIA's header-only frontend describes the operation as a graph; cuDNN picks a kernel for it. libcudnn.so.9,
// libcudart and libcuda are opened when first used, so the library builds and loads where there are none. The
// backward pass asks for the deterministic algorithm: runs resume bit for bit. No exception leaves this file.
#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING 1
#include <cudnn_frontend.h>

#include "sdpa.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace fe = cudnn_frontend;
namespace cudnn_frontend {
void *cudnn_dlhandle = nullptr; // the frontend looks its functions up here
}

namespace {
thread_local std::string last_error;

int32_t fail(std::string text) {
  last_error = std::move(text);
  return -1;
}

// Calls `f`, which gives an empty text or what went wrong.
template <typename F> int32_t guarded(F f) {
  try {
    std::string text = f();
    return text.empty() ? 0 : fail(std::move(text));
  } catch (const std::exception &e) {
    return fail(e.what());
  } catch (...) {
    return fail("an exception without a message");
  }
}

template <typename F> F *function(const char *name) {
  return reinterpret_cast<F *>(dlsym(fe::cudnn_dlhandle, name));
}

std::string status(const char *call, cudnnStatus_t code) {
  std::string text = std::string(call) + " failed";
  if (auto *name = function<decltype(cudnnGetErrorString)>("cudnnGetErrorString")) text += std::string(": ") + name(code);
  return text + " (status " + std::to_string(static_cast<int>(code)) + ")";
}

std::string message(fe::error_t e) {
  const std::string text = e.get_message();
  return text.empty() ? "cuDNN gives no reason" : text;
}

struct Plan {
  std::shared_ptr<fe::graph::Graph> graph;
  std::vector<int> tensors; // places in the table of addresses that this plan uses
};

using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

// Builds the graph of one pass.
struct Builder {
  const FbSdpaShape &shape;
  Plan &plan;

  std::vector<int64_t> dims(int place) const {
    const bool of_keys = place == FB_K || place == FB_V || place == FB_DK || place == FB_DV;
    return {shape.batch, shape.heads, of_keys ? shape.keys : shape.queries, shape.width};
  }
  std::vector<int64_t> strides(int place) const {
    const int64_t *s = shape.strides[place];
    return {s[0], s[1], s[2], 1};
  }
  std::vector<int64_t> stats_dims() const { return {shape.batch, shape.heads, shape.queries, 1}; }
  std::vector<int64_t> stats_strides() const { return {shape.heads * shape.queries, shape.queries, 1, 1}; }

  Tensor input(int place, const char *name) {
    plan.tensors.push_back(place);
    auto t = fe::graph::Tensor_attributes().set_name(name).set_uid(place + 1);
    if (place == FB_STATS)
      t.set_dim(stats_dims()).set_stride(stats_strides()).set_data_type(fe::DataType_t::FLOAT);
    else
      t.set_dim(dims(place)).set_stride(strides(place));
    return plan.graph->tensor(t);
  }
  void output(int place, const Tensor &t) {
    plan.tensors.push_back(place);
    t->set_output(true).set_uid(place + 1);
    if (place == FB_STATS)
      t->set_dim(stats_dims()).set_stride(stats_strides()).set_data_type(fe::DataType_t::FLOAT);
    else
      t->set_dim(dims(place)).set_stride(strides(place));
  }

  void forward(bool with_stats) {
    auto q = input(FB_Q, "q"), k = input(FB_K, "k"), v = input(FB_V, "v");
    auto options =
        fe::graph::SDPA_attributes().set_name("attention").set_generate_stats(with_stats).set_attn_scale(shape.scale);
    auto [o, stats] = plan.graph->sdpa(q, k, v, options);
    output(FB_O, o);
    if (with_stats) output(FB_STATS, stats);
  }
  void backward() {
    auto q = input(FB_Q, "q"), k = input(FB_K, "k"), v = input(FB_V, "v");
    auto o = input(FB_O, "o"), d_o = input(FB_DO, "do"), stats = input(FB_STATS, "stats");
    auto options = fe::graph::SDPA_backward_attributes()
                       .set_name("attention_backward")
                       .set_attn_scale(shape.scale)
                       .set_deterministic_algorithm(true);
    auto [dq, dk, dv] = plan.graph->sdpa_backward(q, k, v, o, d_o, stats, options);
    output(FB_DQ, dq), output(FB_DK, dk), output(FB_DV, dv);
  }
};

// As the frontend's `build`, without kernels that say of themselves that they do not repeat their bits.
fe::error_t build(fe::graph::Graph &graph, cudnnHandle_t handle) {
  auto e = graph.validate();
  if (e.is_good()) e = graph.build_operation_graph(handle);
  if (e.is_good()) e = graph.create_execution_plans({fe::HeurMode_t::A});
  if (e.is_good()) graph.deselect_numeric_notes({fe::NumericalNote_t::NONDETERMINISTIC});
  if (e.is_good()) e = graph.check_support();
  if (e.is_good()) e = graph.build_plans();
  return e;
}
} // namespace

int32_t fb_sdpa_abi(void) { return FB_SDPA_ABI; }

const char *fb_sdpa_error(void) { return last_error.c_str(); }

int32_t fb_sdpa_open(void **handle, int64_t *version) {
  return guarded([&]() -> std::string {
    if (!fe::cudnn_dlhandle) {
      fe::cudnn_dlhandle = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
      if (!fe::cudnn_dlhandle) return std::string("cuDNN cannot be opened: ") + dlerror();
    }
    auto *get_version = function<decltype(cudnnGetVersion)>("cudnnGetVersion");
    auto *create = function<decltype(cudnnCreate)>("cudnnCreate");
    if (!get_version || !create) return "libcudnn.so.9 has no cudnnCreate or no cudnnGetVersion";
    int current = -1; // also opens libcudart, which is not cuDNN's and would be missed at the first plan
    if (auto code = fe::detail::cuda_get_device(&current); code != cudaSuccess)
      return "the CUDA runtime gives no device (error " + std::to_string(static_cast<int>(code)) + ")";
    cudnnHandle_t made = nullptr;
    if (auto code = create(&made); code != CUDNN_STATUS_SUCCESS) return status("cudnnCreate", code);
    *handle = made;
    *version = static_cast<int64_t>(get_version());
    return {};
  });
}

int32_t fb_sdpa_plan(void *handle, const FbSdpaShape *shape, void **plan, int64_t *workspace) {
  return guarded([&]() -> std::string {
    auto made = std::make_unique<Plan>();
    made->graph = std::make_shared<fe::graph::Graph>();
    made->graph->set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    Builder builder{*shape, *made};
    if (shape->pass == FB_BACKWARD) builder.backward();
    else builder.forward(shape->pass == FB_FORWARD_STATS);
    if (auto e = build(*made->graph, static_cast<cudnnHandle_t>(handle)); e.is_bad()) return message(e);
    if (auto e = made->graph->get_workspace_size(*workspace); e.is_bad()) return message(e);
    *plan = made.release();
    return {};
  });
}

int32_t fb_sdpa_run(void *handle, void *plan, void *stream, void *const *tensors, void *workspace) {
  return guarded([&]() -> std::string {
    auto *set_stream = function<decltype(cudnnSetStream)>("cudnnSetStream");
    if (!set_stream) return "libcudnn.so.9 has no cudnnSetStream";
    auto *cudnn = static_cast<cudnnHandle_t>(handle);
    if (auto code = set_stream(cudnn, static_cast<cudaStream_t>(stream)); code != CUDNN_STATUS_SUCCESS)
      return status("cudnnSetStream", code);
    const Plan &p = *static_cast<const Plan *>(plan);
    std::unordered_map<int64_t, void *> addresses;
    for (int place : p.tensors) addresses[place + 1] = tensors[place];
    if (auto e = p.graph->execute(cudnn, addresses, workspace); e.is_bad()) return message(e);
    return {};
  });
}
