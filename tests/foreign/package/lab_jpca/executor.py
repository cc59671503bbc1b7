"""An executor: members one after another, the last one first."""

from lfads_plugins_tune.executors import make_executor
from lfads_plugins_tune.search.executor import AbstractExecutor


class Backwards(AbstractExecutor):
    """What trains is the serial one."""

    name = "mine"

    def __init__(self, base, patterns, registry, options):
        self.inner = make_executor("serial", base, patterns, registry, options)

    def generation(self, tasks, report, should_stop):
        """One generation."""
        yield from self.inner.generation(list(tasks)[::-1], report, should_stop)

    def close(self):
        """Let go."""
        self.inner.close()
