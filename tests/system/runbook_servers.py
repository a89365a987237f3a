# SPDX-License-Identifier: Apache-2.0
"""The machines that the runbooks are run on. Each is a root of its own (packages_root.py) with systemd as its first process, in a network
namespace of its own with the address that the pages write. Packages lie in /root of each, those of a later version in /root/new.
Nothing of Meridian is installed until a page does it."""
import contextlib, os, shutil, subprocess, threading

from lab import unshare, wait_until
from packages_root import Root

DOMAIN = "example.io"
# What pages call a machine, its address, and whether it is a server. Clients ask the servers for names, as if a resolver did.
MACHINES = {"one": "192.0.2.1", "two": "192.0.2.2", "three": "192.0.2.3", "client": "192.0.2.100"}
SERVERS = [name for name in MACHINES if name != "client"]


class Machine(Root):
    def __init__(self, name, packages):
        super().__init__()
        self.name, self.packages = name, packages
        self.within = ["nsenter", f"--net=/run/netns/{name}", "--"]

    def _network(self):
        """Servers made it."""

    def _as_new(self):
        super()._as_new()
        for path in ("/root", "/var/lib/containers"):  # podman's images cannot lie on an overlay
            os.makedirs(self.file(path), exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", self.file(path)], check=True)
        shutil.copytree(self.packages, self.file("/root"), dirs_exist_ok=True)
        os.chmod(self.file("/root"), 0o700)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file("/etc/resolv.conf"))
        self.write("/etc/resolv.conf", "".join(f"nameserver {MACHINES[s]}\n" for s in SERVERS[:2]) + "options timeout:1 attempts:3\n")
        self.write("/etc/hostname", self.name + "\n")
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")

    def shell(self, text, timeout):
        """What a person types, in root's home. A command that fails ends it, and so does the time, with 124. Output and errors as one."""
        words = self._words(["timeout", "-k", "5", str(timeout), "bash", "-e", "-o", "pipefail", "-c", f"cd /root\n{text}"])
        return subprocess.run(words, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


class Servers:
    """with Servers(packages) as servers: servers["one"].shell("…", 60). `packages` is the folder that becomes /root."""

    def __init__(self, packages):
        self.packages = packages
        self.machines, self.stacks = {}, {}

    def __enter__(self):
        unshare()
        sh = lambda *words: subprocess.run(words, check=True)
        sh("mount", "--make-rprivate", "/")
        os.makedirs("/run/netns", exist_ok=True)
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "br0", "type", "bridge")
        sh("ip", "link", "set", "br0", "up")
        for i, (name, address) in enumerate(MACHINES.items()):
            sh("ip", "netns", "add", name)
            sh("ip", "link", "add", f"v{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", "link", "set", f"v{i}", "master", "br0", "up")
            for words in (("link", "set", "lo", "up"), ("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
                sh("ip", "-n", name, *words)
        return self

    def __exit__(self, *_):
        for name in list(self.stacks):
            self.lose(name)

    def __getitem__(self, name):
        return self.machines[name]

    def begin(self, name):
        """A new machine, with nothing on it."""
        stack = contextlib.ExitStack()
        self.stacks[name] = stack
        machine = stack.enter_context(Machine(name, self.packages))
        stack.enter_context(machine.booted())
        self.machines[name] = machine

    def begin_all(self):
        failed = []

        def one(name):
            try:
                self.begin(name)
            except BaseException as e:
                failed.append((name, e))
        threads = [threading.Thread(target=one, args=(name,)) for name in MACHINES]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if failed:
            raise AssertionError(f"these did not begin: {failed}")

    def lose(self, name):
        """The machine and its disk are gone, from one moment to the next."""
        self.machines.pop(name, None)
        self.stacks.pop(name).close()
