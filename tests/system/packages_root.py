# SPDX-License-Identifier: Apache-2.0
"""A root to install packages in, for the tests of packages: this machine's own files under an overlay in memory, in mount and network
namespaces of the test's own. Nothing of the machine is changed, nothing is fetched, and what was written is seen apart from what was
there before.

    with Root() as root:
        root.run("dpkg", "-i", "/packages/x.deb")       # in the root, without a service manager
        root.changed()                                  # paths that were written or made since
        with root.booted():                             # systemd as the first process there
            root.run("systemctl", "start", "x")
"""
import contextlib, os, shutil, signal, subprocess, tempfile

from lab import unshare, wait_until

ADDRESS = "192.0.2.1"
# What systemd must not do to the machine below it, whatever a unit of it tries. Not CAP_SYS_ADMIN: it mounts.
WITHOUT = "sys_module,sys_time,sys_boot,sys_rawio,syslog,wake_alarm,mac_admin,mac_override,block_suspend,perfmon,bpf"
BOOT = """
set -eu
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
exec setpriv --bounding-set="$2" env -i container=other PATH="$PATH" chroot . /lib/systemd/systemd --system --unit=packages-test.target --log-target=journal
"""


def without_us(path, names):
    """Takes the lines of some accounts out of a file like /etc/passwd."""
    with open(path) as f:
        lines = [line for line in f if line.split(":")[0] not in names]
    with open(path, "w") as f:
        f.writelines(lines)


class Root:
    within = ()  # the words that lead a command into the root's network, where that is not this process's own

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="meridian-root.")
        self.path = f"{self.dir}/root"
        self.systemd = None

    # ---- life ----
    def __enter__(self):
        self._network()
        mount = lambda *words: subprocess.run(["mount", *words], check=True)
        mount("-t", "tmpfs", "tmpfs", self.dir)
        for name in ("upper", "work", "root"):
            os.mkdir(f"{self.dir}/{name}")
        mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={self.dir}/upper,workdir={self.dir}/work", "overlay", self.path)
        self._as_new()
        self.note()
        self._mounts = ("proc", "dev", "run", "tmp")
        mount("-t", "proc", "proc", f"{self.path}/proc")
        mount("--rbind", "/dev", f"{self.path}/dev")
        mount("-t", "tmpfs", "tmpfs", f"{self.path}/run")
        mount("-t", "tmpfs", "tmpfs", f"{self.path}/tmp")
        return self

    def __exit__(self, *_):
        for name in reversed(self._mounts):
            subprocess.run(["umount", "-l", f"{self.path}/{name}"])
        subprocess.run(["umount", "-l", self.path])
        subprocess.run(["umount", "-l", self.dir])
        os.rmdir(self.dir)

    def _network(self):
        """Namespaces for this process and for the root."""
        unshare()
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)

    def _as_new(self):
        """As a machine on which nobody had this program yet, with systemd, and without the services of this machine."""
        for name in ("passwd", "shadow", "group", "gshadow"):
            without_us(f"{self.path}/etc/{name}", ("meridian", "meridian-edge"))
        for name in ("etc/meridian", "var/lib/meridian"):
            shutil.rmtree(f"{self.path}/{name}", ignore_errors=True)
        units = f"{self.path}/etc/systemd/system"
        for name in os.listdir(units):
            if name.endswith((".wants", ".requires")):
                shutil.rmtree(f"{units}/{name}")
        # policy-rc.d of a build machine would forbid what is tried here
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}/usr/sbin/policy-rc.d")
        # and an index of manual pages is made anew at each installation, for a minute
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.path}/var/lib/man-db/auto-update")
        with open(f"{units}/packages-test.target", "w") as f:
            f.write("[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n")
        with open(f"{self.path}/etc/machine-id", "w"):
            pass
        os.makedirs(f"{self.path}/packages", exist_ok=True)

    # ---- commands ----
    def _words(self, words):
        if self.systemd:
            return ["nsenter", "-t", str(self.systemd), "-m", "-n", "-p", "-C", "-u", "-i", "--root", "--wd", "--", *words]
        return [*self.within, "chroot", self.path, *words]

    def environment(self, more=None):
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root", **(more or {})}

    def start(self, *words, env=None, **more):
        return subprocess.Popen(self._words(words), env=self.environment(env), **more)

    def run(self, *words, check=True, env=None, input=None, timeout=120):
        r = subprocess.run(self._words(words), env=self.environment(env), capture_output=True, text=True, input=input, timeout=timeout)
        if check and r.returncode:
            raise AssertionError(f"{' '.join(words)}: exit {r.returncode}\n{r.stdout}{r.stderr}")
        return r

    def check(self, *words, **more):
        return self.run(*words, **more).stdout

    # ---- files ----
    def file(self, path):
        return f"{self.path}{path}"

    def read(self, path):
        with open(self.file(path)) as f:
            return f.read()

    def write(self, path, text, mode=0o644):
        with open(self.file(path), "w") as f:
            f.write(text)
        os.chmod(self.file(path), mode)

    def lies_there(self, path):
        return os.path.lexists(self.file(path))

    def changed(self):
        """Every path but directories that was written since the root was made; what was deleted counts where it was there."""
        upper, out = f"{self.dir}/upper", []
        for at, folders, files in os.walk(upper):
            for name in files + [f for f in folders if os.path.islink(f"{at}/{f}")]:
                out.append(f"{at}/{name}"[len(upper):])
            if not folders and not files and not os.path.isdir(at[len(upper):] or "/"):
                out.append(at[len(upper):])  # an empty folder that the machine has not got
        return sorted(out)

    def note(self):
        """What has changed up to now is how this root was before."""
        self.before = set(self.changed())

    def left(self):
        """What came since, but for what dpkg and systemd note of themselves, and accounts."""
        noted = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/packages", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid",
                 "/etc/subgid", "/etc/.pwd.lock", "/etc/ld.so.cache", "/var/lib/systemd/", "/root/")
        return [p for p in self.changed() if p not in self.before and not p.startswith(noted)]

    # ---- a service manager ----
    @contextlib.contextmanager
    def booted(self, limit_s=60):
        group = self._cgroup()
        child = subprocess.Popen(
            [*self.within, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--uts", "--ipc", "--propagation", "private",
             "sh", "-c", BOOT, "sh", self.path, ",".join("-" + c for c in WITHOUT.split(","))],
            stdin=subprocess.DEVNULL, preexec_fn=lambda: self._join(group))
        try:
            wait_until(limit_s, lambda: self._find(child), "the first process is there")
            wait_until(limit_s, lambda: self.run("systemctl", "is-active", "packages-test.target", check=False).stdout == "active\n",
                       "systemd has started what is asked of it")
            yield
        finally:
            self.systemd = None
            child.send_signal(signal.SIGKILL)  # its first child is killed with it, and with that all of the namespace
            child.wait()
            wait_until(20, lambda: self._leave(group), "nothing of it is left")

    def _find(self, child):
        if child.poll() is not None:
            raise AssertionError(f"systemd did not start: {child.returncode}")
        with open(f"/proc/{child.pid}/task/{child.pid}/children") as f:
            pids = f.read().split()
        if not pids:
            return False
        with open(f"/proc/{pids[0]}/comm") as f:
            if f.read() != "systemd\n":
                return False
        self.systemd = int(pids[0])
        return True

    def _cgroup(self):
        with open("/proc/self/mounts") as f:
            at = next((line.split()[1] for line in f if line.split()[2] == "cgroup2"), None)
        if not at:
            raise AssertionError("no cgroup2 is mounted here, which systemd needs")
        group = f"{at}/{os.path.basename(self.dir)}"
        os.mkdir(group)
        return group

    @staticmethod
    def _join(group):
        with open(f"{group}/cgroup.procs", "w") as f:
            f.write("0")

    @staticmethod
    def _leave(group):
        for at, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(at)
            except OSError:
                return False
        return True
