// All kernels in one module: one file of PTX, translated once by the driver.
#include "losses.cuh"
#include "norm.cuh"
#include "optim.cuh"
#include "pointwise.cuh"
#include "softmax.cuh"
#include "tokens.cuh"
