"""How much memory there is for data: what the system, the process's limits and its control groups say, of which the least counts."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from lfads_core.data import memory

GB = 1 << 30
STATM = "100000 2500 300 40 0 600 0\n"


@pytest.fixture
def system(monkeypatch):
    """``system({"/proc/meminfo": "..."}, address=..., data=...)``: files that are there, and limits of the process; 4096 bytes a page."""
    real = Path.read_text

    def play(files, *, address=resource.RLIM_INFINITY, data=resource.RLIM_INFINITY, pages=1 << 21):
        def read_text(path, encoding=None, errors=None):
            name = str(path)
            if encoding is None and name.startswith(("/proc/", "/sys/")):
                raise LookupError("what is read must not depend on the user's language")
            if name in files:
                if isinstance(files[name], Exception):
                    raise files[name]
                return files[name]
            if name.startswith(("/proc/", "/sys/")):
                raise FileNotFoundError(2, "No such file or directory", name)
            return real(path, encoding=encoding, errors=errors)

        def sysconf(name):
            return {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": pages}[name]

        limits = {resource.RLIMIT_AS: (address, resource.RLIM_INFINITY), resource.RLIMIT_DATA: (data, resource.RLIM_INFINITY)}
        monkeypatch.setattr(Path, "read_text", read_text)
        monkeypatch.setattr(os, "sysconf", sysconf)
        monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)

    return play


def meminfo(kib):
    return f"MemTotal:       999999999 kB\nMemFree:        1 kB\nMemAvailable:   {kib} kB\nSwapFree: 3 kB\n"


def test_what_the_system_calls_available_counts_and_half_of_it_is_for_data(system):
    system({"/proc/meminfo": meminfo(3001)})
    assert memory.usable_memory() == 3001 * 1024
    assert memory.room_for_data() == 3001 * 512
    assert isinstance(memory.room_for_data(), int)


@pytest.mark.parametrize("files", [{}, {"/proc/meminfo": "MemTotal: 5 kB\n"}])
def test_a_system_that_does_not_say_what_is_available_has_what_it_was_built_with(system, files, monkeypatch):
    system(files, pages=1000)
    assert memory.usable_memory() == 1000 * 4096

    def unknown(_name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory.usable_memory() == 8 * GB
    monkeypatch.delattr(os, "sysconf")  # Windows
    assert memory.usable_memory() == 8 * GB


def test_limits_of_the_process_count_less_what_it_has_taken(system):
    taken = 100000 * 4096
    free = {"/proc/meminfo": meminfo(8 << 20), "/proc/self/statm": STATM}
    system(free, address=2 * GB)
    assert memory.usable_memory() == 2 * GB - taken
    system(free, data=3 * GB)
    assert memory.usable_memory() == 3 * GB - taken
    system(free, address=2 * GB, data=GB)
    assert memory.usable_memory() == GB - taken
    system(free, address=taken - 5)
    assert memory.usable_memory() == 1
    system(free, data=taken + 2)
    assert memory.usable_memory() == 2
    system({**free, "/proc/self/statm": "?"}, address=2 * GB)
    assert memory.usable_memory() == 2 * GB
    system({"/proc/meminfo": meminfo(8 << 20)}, address=2 * GB)
    assert memory.usable_memory() == 2 * GB


STAT = "anon 7\ninactive_file {}\nactive_file 11\nfile 13\n"


def group(folder, limit, used, cached):
    return {f"{folder}/memory.max": f"{limit}\n", f"{folder}/memory.current": f"{used}\n", f"{folder}/memory.stat": STAT.format(cached)}


def test_a_container_s_limit_counts_less_what_is_used_but_could_not_be_given_back(system):
    files = {"/proc/meminfo": meminfo(8 << 20), "/proc/self/cgroup": "0::/job/step\n"}
    system(files | group("/sys/fs/cgroup/job/step", 4 * GB, 3 * GB, GB // 2))
    assert memory.usable_memory() == GB + GB // 2
    system(files | group("/sys/fs/cgroup/job", 2 * GB, GB, 0))  # one above
    assert memory.usable_memory() == GB
    system(files | group("/sys/fs/cgroup", 2 * GB, GB, 100))
    assert memory.usable_memory() == GB + 100
    system(files | group("/sys/fs/cgroup/job/step", "max", GB, 0) | group("/sys/fs/cgroup/job", 5 * GB, GB, 0))
    assert memory.usable_memory() == 4 * GB
    system(files | group("/sys/fs/cgroup/job/step", GB, 2 * GB, 100))
    assert memory.usable_memory() == 1
    system(files | group("/sys/fs/cgroup/other", GB, 0, 0))
    assert memory.usable_memory() == 8 * GB


def test_control_groups_of_the_first_version_are_known_by_their_names(system):
    files = {
        "/proc/meminfo": meminfo(8 << 20),
        "/proc/self/cgroup": "12:cpu,cpuacct:/job\n4:memory:/slurm/uid_1\n1:name=systemd:/job\n",
        "/sys/fs/cgroup/memory/slurm/uid_1/memory.limit_in_bytes": f"{4 * GB}",
        "/sys/fs/cgroup/memory/slurm/uid_1/memory.usage_in_bytes": f"{3 * GB}",
        "/sys/fs/cgroup/memory/slurm/uid_1/memory.stat": f"cache 5\ninactive_file 3\ntotal_inactive_file {GB}\nactive_file 9\n",
        "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1000",
        "/sys/fs/cgroup/memory/job/memory.usage_in_bytes": "0",
        "/sys/fs/cgroup/memory/job/memory.stat": "cache 5\n",
    }
    system(files)
    assert memory.usable_memory() == 2 * GB + 3
    system({key: value for key, value in files.items() if not key.endswith("uid_1/memory.stat")})
    assert memory.usable_memory() == 8 * GB


def test_a_group_whose_files_cannot_be_read_gives_way_to_those_above_and_to_the_other_version(system):
    files = {
        "/proc/meminfo": meminfo(8 << 20),
        "/proc/self/cgroup": "0::/job\n4:memory:/job\n",
        "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{6 * GB}",
        "/sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{GB}",
        "/sys/fs/cgroup/memory/job/memory.stat": "",
    }
    broken = group("/sys/fs/cgroup/job", GB, 0, 0) | {"/sys/fs/cgroup/job/memory.current": PermissionError(13, "Permission denied")}
    system(files | broken)
    assert memory.usable_memory() == 5 * GB
    system(files | broken | group("/sys/fs/cgroup", 3 * GB, GB, 1))
    assert memory.usable_memory() == 2 * GB + 1


def test_evenly_spaced_rows_are_whole_and_once_each():
    for trials in range(1, 40):
        for wanted in range(1, 45):
            rows = memory.evenly(trials, wanted)
            assert rows.dtype.kind == "i"
            assert len(rows) == min(trials, wanted)
            steps = {int(step) for step in rows[1:] - rows[:-1]}
            assert max(steps, default=1) - min(steps, default=1) <= 1
            assert rows[0] == 0
            assert wanted == 1 or rows[-1] == trials - 1


def test_where_nothing_is_free_there_is_next_to_nothing_and_where_nothing_is_said_there_is_some(system):
    system({"/proc/meminfo": meminfo(0)})
    assert memory.usable_memory() == 1
    system({}, pages=-1)
    assert memory.usable_memory() == 8 * GB
