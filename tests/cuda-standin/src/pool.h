// The OS threads that run blocks. Kernels never run on a thread of the host program, so a fault inside one is ours.
#pragma once
#include "block.h"
#include "module.h"

/// Runs a whole grid and waits for it.
LaunchError runGrid(const Launch &launch, Function &function);

/// Number of OS threads that run blocks.
int workerCount();
