# SPDX-License-Identifier: Apache-2.0
"""System test: regions whose wall clocks differ, by daemons whose clock the test shifts."""
import datetime, json, time

from lab import Lab, wait_until


def replication(lab, region):
    return json.loads(lab.check("curl", "-sf", "--unix-socket", f"{lab.dir}/{region}/run/admin.sock",
                                "http://admin/v1/replication"))


def wall(lab, region):
    """The region's wall clock now, less this machine's, in seconds."""
    said = replication(lab, region)["time"]
    return datetime.datetime.fromisoformat(said.replace("Z", "+00:00")).timestamp() - time.time()


def test_clocks_are_shifted(lab):
    assert abs(wall(lab, "eastus")) < 3
    lab.shift_clock("eastus", 3_600_000)
    assert abs(wall(lab, "eastus") - 3600) < 3
    assert abs(wall(lab, "westeurope")) < 3  # one process alone
    lab.shift_clock("eastus", -3_600_000)
    end = lab.log_end("eastus")
    lab.kill("eastus")
    lab.start("eastus", wait=False)
    lab.wait_said("eastus", "stamp eus-1 is up", since=end)
    assert abs(wall(lab, "eastus") + 3600) < 3
    lab.shift_clock("eastus", 0)
    assert abs(wall(lab, "eastus")) < 3
    lab.wait_up("eastus")


def main():
    with Lab(clocks=True) as lab:
        test_clocks_are_shifted(lab)


main()
