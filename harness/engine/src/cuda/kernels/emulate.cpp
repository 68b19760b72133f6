// Runs the kernels on the processor, one block at a time, so that they can be tested without a GPU.
//
// The threads of a block are coroutines; at a barrier each hands over to the next, so all reach it before any goes on.
// A barrier that some threads leave out ends in an error, not in a wrong result. Threads run in turn, upwards or
// downwards; a result that needs a barrier the kernel does not have differs between the two. Shuffles are barriers of
// the whole block here and memory is ordered, so not every race shows: what this proves is indices, launch shapes,
// argument order and arithmetic.
#define FB_EMULATE
#include "kernels.cu"

#include <algorithm>
#include <map>
#include <string>
#include <ucontext.h>
#include <vector>

Place threadIdx, blockIdx, blockDim, gridDim;
unsigned char *fb_shared;

namespace {
std::map<std::string, Caller> &kernels() {
  static std::map<std::string, Caller> all;
  return all;
}
struct Thread {
  ucontext_t context;
  std::vector<unsigned char> stack;
  bool done;
  long barriers, exchanges;
  unsigned char slots[2][8];
};
std::vector<Thread> threads;
ucontext_t scheduler;
Caller running;
void **arguments;

void body() {
  running(arguments);
  threads[threadIdx.x].done = true; // returns to the scheduler
}
} // namespace

Registration::Registration(const char *name, Caller caller) { kernels()[name] = caller; }

void __syncthreads() {
  Thread &me = threads[threadIdx.x];
  const int x = threadIdx.x;
  me.barriers++;
  swapcontext(&me.context, &scheduler);
  threadIdx.x = x;
}

const void *fb_exchange(const void *mine, unsigned bytes, int partner) {
  // two slots in turn: the next exchange but one comes after a barrier that all reach when they have read this one
  const int turn = threads[threadIdx.x].exchanges++ % 2;
  std::memcpy(threads[threadIdx.x].slots[turn], mine, bytes);
  __syncthreads();
  return threads[partner].slots[turn];
}

// 0, or 1: no such kernel, 2: more threads or shared memory than a GPU allows, 3: threads disagree about barriers.
// `down`: the last thread of a block goes first.
extern "C" int fb_emulate(const char *name, int grid_x, int grid_y, int block, int shared, int down, void **args) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) return 1;
  if (block < 1 || block > 1024 || block % 32 || shared > 48 * 1024 || grid_x < 1 || grid_y < 1 || grid_y > 65535)
    return 2;
  running = found->second, arguments = args;
  std::vector<unsigned char> memory(shared + 16);
  fb_shared = memory.data() + 16 - reinterpret_cast<uintptr_t>(memory.data()) % 16;
  threads.resize(block);
  blockDim = {block, 1, 1}, gridDim = {grid_x, grid_y, 1};
  for (int y = 0; y < grid_y; y++)
    for (int x = 0; x < grid_x; x++) {
      blockIdx = {x, y, 0};
      std::fill(memory.begin(), memory.end(), 0xff); // NaN: what a kernel forgets to write shows
      for (Thread &t : threads) {
        t.stack.resize(32 * 1024);
        t.done = false, t.barriers = t.exchanges = 0;
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = t.stack.data(), t.context.uc_stack.ss_size = t.stack.size();
        t.context.uc_link = &scheduler;
        makecontext(&t.context, body, 0);
      }
      for (bool open = true; open;) {
        open = false;
        for (int k = 0; k < block; k++) {
          const int i = down ? block - 1 - k : k;
          if (threads[i].done) continue;
          threadIdx = {i, 0, 0};
          swapcontext(&scheduler, &threads[i].context);
          open |= !threads[i].done;
        }
        // a thread that is done while others wait has left out a barrier
        for (const Thread &t : threads)
          if (open && (t.done || t.barriers != threads[0].barriers)) return 3;
      }
    }
  return 0;
}
