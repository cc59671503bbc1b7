"""CUDA graphs as :class:`lfads_core.train.graphs.Graph` wants them."""

from __future__ import annotations

from collections.abc import Callable

import torch


class CUDAGraphs:
    """Makes graphs of one device, which run one at a time and so share a stream and a pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self.stream, self.pool = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    def __call__(self) -> CUDAGraph:
        """A graph that has seen nothing yet."""
        return CUDAGraph(self)


class CUDAGraph:
    """One captured step."""

    def __init__(self, shared: CUDAGraphs) -> None:
        self._shared, self._graph = shared, torch.cuda.CUDAGraph()

    def rehearse(self, step: Callable[[], None]) -> None:
        """Take a step on the stream that it will be captured on: what autograd and cuBLAS set up belongs to a stream."""
        here, aside = torch.cuda.current_stream(self._shared.stream.device), self._shared.stream
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            step()
        here.wait_stream(aside)

    def capture(self, step: Callable[[], None]) -> None:
        """Record the launches of a step without running them.

        Other threads may go on with their own work, such as reading the next trials (``thread_local``).
        """
        raised: list[Exception] = []
        try:
            with torch.cuda.graph(self._graph, pool=self._shared.pool, stream=self._shared.stream, capture_error_mode="thread_local"):
                try:
                    step()
                except Exception as error:
                    raised.append(error)
                    raise
        except Exception:
            if raised:
                raise raised[0] from None  # what broke the capture says more than that it is broken
            raise

    def replay(self) -> None:
        """Launch all of it on the current stream."""
        self._graph.replay()
