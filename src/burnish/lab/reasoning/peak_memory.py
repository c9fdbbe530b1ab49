"""The most memory that tensors take at once while something runs, counted by PyTorch's allocator."""

import os
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_tensor_bytes(action: Callable[[], object]) -> int:
    """Bytes beyond those that are there at the beginning; memory that tensors do not take is not counted.

    Far steadier than the process's resident memory, of which small models are a hundredth.
    """
    # The profiler's library says on the terminal when it starts.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    held = peak = 0
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda one: one.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
