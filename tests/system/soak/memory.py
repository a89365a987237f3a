# SPDX-License-Identifier: Apache-2.0
"""The memory and descriptors of the daemons while they work, and whether they are flat."""
import os, threading, time

MIB = 1 << 20


def resident_bytes(pid):
    try:
        with open(f"/proc/{pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return None


def n_descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def growth(samples):
    """From the second quarter of the time to the last one, in the samples' unit; the first quarter warms up. By the lowest of each:
    what is in use for a moment, as connections of copies between regions, comes and goes by hundreds; what leaks stays."""
    n = len(samples)
    if n < 8:
        return 0
    return min(samples[3 * n // 4:]) - min(samples[n // 4:n // 2])


class Memory(threading.Thread):
    """Samples processes: {name: pid}."""

    def __init__(self, pids, every_s):
        super().__init__(name="memory", daemon=True)
        self.pids, self.every_s = pids, every_s
        self.resident = {name: [] for name in pids}
        self.descriptors = {name: [] for name in pids}
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(self.every_s):
            for name, pid in self.pids.items():
                resident, descriptors = resident_bytes(pid), n_descriptors(pid)
                if resident is not None:
                    self.resident[name].append(resident)
                if descriptors is not None:
                    self.descriptors[name].append(descriptors)

    def stop(self):
        self.over.set()
        self.join()

    def problems(self, most_bytes, most_descriptors):
        for name in self.pids:
            if len(self.resident[name]) < 4:
                yield f"{name} is not there any more"
            grown = growth(self.resident[name])
            if grown > most_bytes:
                yield f"{name} grew by {grown / MIB:.1f} MiB from the second quarter of the time to the last"
            grown = growth(self.descriptors[name])
            if grown > most_descriptors:
                yield f"{name} has {grown:.0f} more descriptors than in the second quarter of the time"

    def larger_than(self, most_bytes):
        for name, samples in self.resident.items():
            if len(samples) < 4:
                yield f"{name} is not there any more"
            elif max(samples) > most_bytes:
                yield f"{name} had {max(samples) / MIB:.0f} MiB"

    def summary(self):
        rows = []
        for name, samples in self.resident.items():
            if samples:
                rows.append(f"{name}: {samples[0] / MIB:.0f} MiB at first, {max(samples) / MIB:.0f} at most, {samples[-1] / MIB:.0f} "
                            f"at last, grew by {growth(samples) / MIB:+.1f}")
        return rows


def test():
    assert growth([1, 2, 3]) == 0 and growth([9] * 16) == 0
    assert growth(list(range(16))) == 8
    assert growth([0] * 4 + [10] * 12) == 0  # warming up is no growth
    assert growth([1, 1, 1, 1, 1, 90, 1, 90, 1, 90, 1, 90, 90, 90, 90, 1]) == 0  # nor is what comes and goes
    m = Memory({"self": os.getpid()}, 0.01)
    m.start()
    end = time.monotonic() + 10
    while len(m.resident["self"]) < 16 and time.monotonic() < end:
        time.sleep(0.01)
    m.stop()
    assert len(m.resident["self"]) >= 16
    assert not list(m.problems(64 * MIB, 20)) and m.summary()
    m.resident["self"] = [MIB * i for i in range(100)]
    assert len(list(m.problems(8 * MIB, 20))) == 1
    assert not list(m.larger_than(100 * MIB)) and len(list(m.larger_than(98 * MIB))) == 1


if __name__ == "__main__":
    test()
