# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: what is in them, installed, run, upgraded, removed and purged, in a root of its own; first without a service
manager, then under systemd, with the unit's own confinement. The programs are those of this build."""
import glob, hashlib, json, os, re, signal, socket, subprocess, sys, tempfile, threading, time, unittest

from lab import BUILD, MERIDIAN, SOURCE, need_root, wait_until
from packages_root import ADDRESS, Root

NODE, CLIENT = "meridian-registry", "meridian-registry-client"
OLD, NEW = "0.0.9", "0.1.0~test2"
DOMAIN, REGION, STAMP = "packages.test", "eastus", "eus-1"
UNIT = "/lib/systemd/system/meridiand.service"
SETTINGS, DATA = "/etc/meridian/meridiand.yaml", "/var/lib/meridian"
ADMIN = f"{DATA}/run/admin.sock"


def out_of(*words, **more):
    r = subprocess.run(words, capture_output=True, text=True, **more)
    assert r.returncode == 0, (words, r.stdout, r.stderr)
    return r.stdout


class Unit:
    """The settings of a unit file that a start by hand needs."""

    def __init__(self, text):
        self.rows = [line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")]

    def all(self, key):
        return [value for k, value in self.rows if k == key]

    def one(self, key):
        values = self.all(key)
        assert len(values) == 1, (key, values)
        return values[0]


class Manager:
    """The socket of a service manager, in the root."""

    def __init__(self, root):
        self.name = "/run/manager"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(root.file(self.name))
        self.got = []

    def close(self):
        self.socket.close()

    def wait(self, line, limit_s=60):
        end = time.monotonic() + limit_s
        while not any(line in m.split("\n") for m in self.got):
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.got.append(self.socket.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"the service manager did not hear {line}, but {self.got}") from None


def repacked(package, folder, version):
    """The same package as another version."""
    tree = f"{folder}/tree"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    with open(f"{tree}/DEBIAN/control") as f:
        text = f.read()
    text = re.sub(r"(?m)^Version: .*$", f"Version: {version}", text)
    text = re.sub(rf"{CLIENT} \(= [^)]*\)", f"{CLIENT} (= {version})", text)
    with open(f"{tree}/DEBIAN/control", "w") as f:
        f.write(text)
    out = f"{folder}/{os.path.basename(package).split('_')[0]}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", tree, out], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", tree], check=True)
    return out


class Packages(unittest.TestCase):
    """In this order: each goes on where the one before it ended."""

    @classmethod
    def setUpClass(cls):
        cls.root = cls.enterClassContext(Root())
        cls.folder = cls.root.file("/packages")
        made = out_of(f"{SOURCE}/tools/build-deb", cls.folder, "--programs", BUILD, "--version", NEW).split()
        cls.new = {name: next(p for p in made if os.path.basename(p).startswith(f"{name}_") and p.endswith(".deb")) for name in (NODE, CLIENT)}
        cls.changes = next(p for p in made if p.endswith(".changes"))
        os.makedirs(f"{cls.folder}/old")
        cls.old = {name: repacked(path, f"{cls.folder}/old", OLD) for name, path in cls.new.items()}

    def install(self, packages):
        names = [p[len(self.root.path):] for p in packages]
        return self.root.run("dpkg", "--force-confold", "-i", *names)

    def version(self, name=NODE):
        return self.root.check("dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", name, check=False)

    def fleet_create(self):
        return self.root.check("meridian", "fleet", "create", "--domain", DOMAIN, "--region", REGION, "--stamp", STAMP, "--address", ADDRESS,
                               "--no-start")

    def healthy(self):
        r = subprocess.run(["curl", "-s", "--cacert", self.root.file(f"{DATA}/certs/ca.pem"), "--resolve",
                            f"{STAMP}.{REGION}.fe.{DOMAIN}:443:{ADDRESS}", f"https://{STAMP}.{REGION}.fe.{DOMAIN}/healthz"],
                           capture_output=True, text=True)
        return r.returncode == 0 and '"up"' in r.stdout

    def named(self):
        return out_of("dig", "+short", "+tries=1", "+time=2", f"@{ADDRESS}", f"{STAMP}.{REGION}.fe.{DOMAIN}", "A").split() == [ADDRESS]

    # ---- what is in them ----
    def test_01_what_is_in_the_packages(self):
        fields = {name: dict(re.findall(r"(?m)^([A-Za-z-]+): (.*)$", out_of("dpkg-deb", "-f", path))) for name, path in self.new.items()}
        depends = {name: [re.split(r"[ (|]", d.strip())[0] for d in f["Depends"].split(",")] for name, f in fields.items()}
        self.assertIn(CLIENT, depends[NODE])
        self.assertIn("nginx", depends[NODE])
        self.assertIn("libmicrohttpd12", depends[NODE])
        self.assertNotIn("nginx", depends[CLIENT])
        self.assertNotIn("libmicrohttpd12", depends[CLIENT], "a client links no server")
        for path in self.new.values():
            for line in out_of("dpkg-deb", "-c", path).splitlines():
                mode, owner, _, _, _, name = line.split(None, 5)
                self.assertEqual(owner, "root/root", line)
                self.assertFalse(mode[5] == "w" or mode[8] == "w" or "s" in mode, line)
                self.assertNotIn("/usr/local", name)
        listed = out_of("dpkg-deb", "-c", self.new[CLIENT])
        for path in ("bin/meridian", "share/man/man1/meridian.1.gz", "share/man/man5/meridian-topology.5.gz",
                     "share/bash-completion/completions/meridian", "share/zsh/vendor-completions/_meridian",
                     "share/fish/vendor_completions.d/meridian.fish"):
            self.assertIn(f"./usr/{path}\n", listed + "\n")

    def test_02_lintian_has_nothing_to_say(self):
        r = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--info", self.changes], capture_output=True, text=True)
        self.assertEqual((r.returncode, r.stdout), (0, ""), r.stderr)

    # ---- without a service manager ----
    def test_03_installed(self):
        self.install([self.old[CLIENT]])  # alone, as on a machine that runs no region
        self.assertEqual(self.root.check("meridian", "version").split()[-1], "0.1.0")
        self.assertFalse(self.root.run("getent", "passwd", "meridian", check=False).stdout)
        self.assertFalse(self.root.lies_there("/etc/meridian"))
        self.install([self.old[NODE]])
        self.assertEqual(self.version(), f"{OLD} installed")
        for user in ("meridian", "meridian-edge"):
            account = self.root.check("getent", "passwd", user).strip().split(":")
            self.assertLess(int(account[2]), 1000, account)
            self.assertTrue(account[6].endswith("nologin"), account)
        owner = lambda path: self.root.check("stat", "-c", "%U:%G %a", path).strip()
        self.assertEqual(owner(DATA), "root:root 711")
        self.assertEqual(owner("/run/meridian"), "root:meridian 1771")
        self.assertEqual(self.root.check("readlink", f"{DATA}/run").strip(), "/run/meridian")
        self.assertEqual(owner("/etc/meridian"), "root:root 755")
        for page in ("meridiand.8", "meridiand.yaml.5", "meridian.1", "meridian.7", "meridian-topology.5"):
            self.assertTrue(self.root.lies_there(f"/usr/share/man/man{page[-1]}/{page}.gz"), page)
        completed = self.root.check("bash", "-c", ". /usr/share/bash-completion/completions/meridian; COMP_WORDS=(meridian fle); COMP_CWORD=1; "
                                    "COMP_LINE='meridian fle'; COMP_POINT=12; $(complete -p meridian | sed 's/.*-F \\([^ ]*\\).*/\\1/'); echo ${COMPREPLY[*]}")
        self.assertEqual(completed.split(), ["fleet"])

    def test_04_the_unit_is_one(self):
        self.root.run("systemd-analyze", "verify", UNIT)
        self.assertTrue(self.root.check("systemctl", "is-enabled", "meridiand").startswith("enabled"))
        said = self.root.check("systemd-analyze", "security", "--offline=true", UNIT)
        exposure = re.search(r"exposure level for meridiand.service: ([0-9.]+)", said)[1]
        with open(f"{SOURCE}/docs/install.md") as f:
            self.assertIn(f"says **{exposure}**", f.read(), "the document's figure is another one")

    def test_05_the_samples_are_good(self):
        text = self.root.check("meridian", "topology", "check", "/etc/meridian/topology.yaml.sample")
        self.assertIn("good", text)
        self.root.run("mkdir", "/tmp/sample")
        self.root.run("meridian", "init", "--topology", "/etc/meridian/topology.yaml.sample", "--out", "/tmp/sample", "--owner", "meridian")
        self.root.run("sh", "-c", "chown root: /tmp/sample/eastus && chmod 711 /tmp/sample/eastus")  # as data_dir is
        sample = self.root.read("/etc/meridian/meridiand.yaml.sample")
        self.assertIn("topology: /etc/meridian/topology.yaml\n", sample)
        self.assertIn(f"data_dir: {DATA}\n", sample)
        self.root.write("/tmp/sample/meridiand.yaml", sample.replace("/etc/meridian/", "/tmp/sample/").replace(DATA, "/tmp/sample/eastus"))
        self.assertIn("good", self.root.check("meridiand", "--config", "/tmp/sample/meridiand.yaml", "--check"))
        self.root.run("rm", "-r", "/tmp/sample")

    def test_06_it_starts_as_the_unit_says(self):
        unit = Unit(self.root.read(UNIT))
        self.assertEqual(unit.one("Type"), "notify")
        self.assertEqual(unit.one("ConditionPathExists"), SETTINGS)
        self.assertFalse(self.root.lies_there(SETTINGS))
        self.assertIn(SETTINGS, self.fleet_create())
        type(self).fleet = {name: self.root.read(f"/etc/meridian/{name}") for name in ("meridiand.yaml", "topology.yaml", "ca/ca.pem")}
        manager = Manager(self.root)
        caps = ",".join("+" + c[len("CAP_"):].lower() for c in unit.one("CapabilityBoundingSet").split())
        log = open(self.root.file("/var/log/meridiand.by-hand"), "w+")
        d = self.root.start("setpriv", f"--bounding-set=-all,{caps}", "--no-new-privs", *unit.one("ExecStart").split(),
                            env={"NOTIFY_SOCKET": manager.name}, stderr=log, stdin=subprocess.DEVNULL)
        try:
            manager.wait("READY=1")
            self.assertTrue(self.named())
            self.assertTrue(self.healthy())
            reload = unit.one("ExecReload").replace("$MAINPID", str(d.pid)).split()
            manager.got.clear()
            self.root.run(*reload)
            manager.wait("READY=1")
            self.assertTrue(manager.got[0].startswith("RELOADING=1\n"), manager.got)
        finally:
            d.terminate()
            status = d.wait(60)
        manager.wait("STOPPING=1")
        manager.close()
        log.seek(0)
        said = log.read()
        log.close()
        self.assertEqual(status, 0, said)
        self.assertNotIn("was refused", said)
        os.unlink(log.name)

    def content(self, *skip):
        """What the operator has: path -> digest."""
        out = {}
        for top in ("/etc/meridian", DATA):
            for at, _, files in os.walk(self.root.file(top)):
                for name in files:
                    path = f"{at}/{name}"
                    if name not in skip and os.path.isfile(path) and not os.path.islink(path):
                        with open(path, "rb") as f:
                            out[path[len(self.root.path):]] = hashlib.sha256(f.read()).hexdigest()
        return out

    def test_07_an_upgrade_keeps_what_the_operator_wrote(self):
        sample = "/etc/meridian/topology.yaml.sample"
        self.root.write(sample, "# mine\n" + self.root.read(sample))
        before = self.content()
        self.assertGreater(len(before), 12, before)
        self.install(self.new.values())
        self.assertEqual((self.version(), self.version(CLIENT)), (f"{NEW} installed",) * 2)
        self.assertEqual(self.content(), before)

    def test_08_removing_keeps_everything(self):
        before = self.content()
        self.root.run("dpkg", "-r", NODE, CLIENT)
        self.assertEqual(self.version(), f"{NEW} config-files")
        for path in ("/usr/sbin/meridiand", "/usr/bin/meridian", UNIT, "/usr/share/doc/" + NODE):
            self.assertFalse(self.root.lies_there(path), path)
        self.assertEqual(self.content(), before)
        self.install(self.old.values())  # and it is there again, also an older one
        self.assertEqual(self.content(), before)
        self.assertIn("good", self.root.check("meridiand", "--config", SETTINGS, "--check"))

    def test_09_purging_leaves_nothing(self):
        self.root.run("dpkg", "-P", NODE, CLIENT)
        self.assertEqual(self.root.left(), [])

    # ---- under systemd ----
    def show(self, *names):
        text = self.root.check("systemctl", "show", "meridiand", *(f"-p{n}" for n in names))
        return [dict(line.split("=", 1) for line in text.splitlines())[n] for n in names]

    def journal(self):
        return self.root.check("journalctl", "-q", "--no-pager", "-o", "cat", "-u", "meridiand")

    def wait_up(self, what):
        wait_until(60, lambda: self.show("ActiveState", "SubState") == ["active", "running"] and self.healthy(), f"{what}: {self.show('StatusText')}")

    def pids(self):
        """What runs in the unit's control group."""
        group = self.show("ControlGroup")[0]
        return self.root.check("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()

    def test_10_under_systemd(self):
        with self.root.booted():
            try:
                self.under_systemd()
            except BaseException:
                print(self.root.run("journalctl", "-q", "--no-pager", "-n", "80", check=False).stdout, file=sys.stderr)
                raise

    def under_systemd(self):
        self.root.note()  # what systemd itself makes at a start
        # before anything is configured it is enabled, does not run, and has not failed
        self.install(self.old.values())
        self.assertEqual(self.show("UnitFileState", "ActiveState", "ConditionResult", "Result"), ["enabled", "inactive", "no", "success"])
        self.fleet_create()
        with open(self.root.file(SETTINGS), "a") as f:
            f.write("drain: 2s\nworkers: { resolver: 1 }\nedge: { workers: 1 }\n")
        self.root.run("systemctl", "start", "meridiand")  # returns with READY=1
        self.assertTrue(self.healthy() and self.named())
        self.assertEqual(self.show("StatusText", "NRestarts"), [f"region {REGION}, stamp {STAMP}: serving", "0"])
        self.confined()
        self.used()
        self.root.run("systemctl", "reload", "meridiand")
        self.wait_up("after a reload")
        self.upgraded()
        self.killed()
        self.hangs()
        self.root.run("dpkg", "-r", NODE)
        self.assertFalse(self.named_at_all())
        before = self.content()
        self.install([self.new[NODE]])
        self.wait_up("installed again")
        self.assertEqual(set(before) - set(self.content()), set())
        self.pulled()
        said = self.journal()
        self.assertNotIn("the system call", said)
        self.root.run("dpkg", "-P", NODE, CLIENT)
        self.assertEqual(self.root.run("systemctl", "is-active", "meridiand", check=False).stdout, "inactive\n")
        self.assertEqual(self.root.left(), [])
        self.assertFalse(self.root.run("sh", "-c", "ls -d /run/meridian", check=False).stdout)

    def named_at_all(self):
        return subprocess.run(["dig", "+short", "+tries=1", "+time=1", f"@{ADDRESS}", "x.test"], capture_output=True).returncode == 0

    def confined(self):
        """The daemon's own confinement is there within the unit's."""
        main = self.show("MainPID")[0]
        users = {}
        for pid in self.pids():
            status = dict(line.split(":\t", 1) for line in self.root.check("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line)
            user = self.root.check("getent", "passwd", status["Uid"].split()[0]).split(":")[0]
            users[user] = users.get(user, 0) + 1
            bounding = int(status["CapBnd"], 16)
            self.assertFalse(bounding >> 21 & 1, "CAP_SYS_ADMIN")
            self.assertEqual(status["NoNewPrivs"], "1", status)
            self.assertEqual(status["Seccomp"], "2", status)
            if user != "root":
                self.assertEqual(int(status["CapEff"], 16), 0, status)
        self.assertEqual(users, {"root": 2, "meridian": 2, "meridian-edge": 1}, main)

    def used(self):
        """A registry, a user, a push and a pull: what the store, the certificates and the feed need of the disk."""
        meridian = lambda *words, **more: self.root.check("meridian", *words, **more)
        meridian("registry", "create", "contoso", "--location", REGION)
        self.root.write("/root/password", "correct horse battery staple\n", 0o600)
        meridian("user", "create", "ada", "--registry", "contoso", "--actions", "pull,push", "--password-file", "/root/password")
        etc = f"{self.folder}/resolv.conf"
        with open(etc, "w") as f:
            f.write(f"nameserver {ADDRESS}\n")
        subprocess.run(["mount", "--bind", etc, os.path.realpath("/etc/resolv.conf")], check=True)
        layer = f"{self.folder}/layer"
        with open(layer, "wb") as f:
            f.write(os.urandom(300_000))
        out_of(sys.executable, f"{SOURCE}/examples/three-regions/make-image", f"{self.folder}/image", "1", layer)
        self.skopeo("copy", "-q", f"oci:{self.folder}/image:1", f"docker://contoso.{DOMAIN}/demo/app:1")
        self.pulled()

    def skopeo(self, *words):
        side = "--src-creds" if words[-1].startswith("dir:") else "--dest-creds"
        creds = [side, "ada:correct horse battery staple"]
        return out_of("skopeo", words[0], *creds, *words[1:], env=dict(os.environ, SSL_CERT_FILE=self.root.file(f"{DATA}/certs/ca.pem")), timeout=60)

    def pulled(self):
        with tempfile.TemporaryDirectory() as to:
            self.skopeo("copy", "-q", f"docker://contoso.{DOMAIN}/demo/app:1", f"dir:{to}")
            self.assertGreaterEqual(len(os.listdir(to)), 4)

    def upgraded(self):
        """Without a gap: the same process, another worker, and no request that failed."""
        main = self.show("MainPID")[0]
        worker = self.status()["pid"]
        failed, going = [], True

        def ask():
            while going:
                if not self.healthy():
                    failed.append(self.show("StatusText"))
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            self.install(self.new.values())
            self.assertEqual(self.version(), f"{NEW} installed")
            self.assertNotEqual(self.status()["pid"], worker, "the old program still serves")
        finally:
            going = False
            thread.join()
        self.assertEqual(failed, [])
        self.assertEqual(self.show("MainPID", "NRestarts"), [main, "0"])
        self.wait_up("after the upgrade")

    def status(self):
        return json.loads(self.root.check("meridian", "status", "-o", "json"))

    def killed(self):
        """kill -9 of the supervisor: systemd ends what is left and starts it anew."""
        old = set(self.pids())
        self.root.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", "meridiand")
        wait_until(60, lambda: self.show("NRestarts", "ActiveState") == ["1", "active"], "it was started anew")
        self.wait_up("after a kill")
        self.assertEqual(old & set(self.pids()), set())

    def hangs(self):
        """A worker that hangs, for which the supervisor then says nothing."""
        self.root.run("mkdir", "-p", "/etc/systemd/system/meridiand.service.d")
        self.root.write("/etc/systemd/system/meridiand.service.d/quick.conf", "[Service]\nWatchdogSec=4s\n")
        self.root.run("systemctl", "daemon-reload")
        self.root.run("systemctl", "restart", "meridiand")
        self.wait_up("with a watchdog")
        invocation = self.show("InvocationID")
        time.sleep(5)  # longer than the watchdog, which leaves a worker alone that is well
        self.assertEqual(self.show("InvocationID"), invocation)
        self.root.run("kill", "-STOP", str(self.status()["pid"]))
        wait_until(60, lambda: self.show("InvocationID") != invocation, "the watchdog ended it")
        self.wait_up("after the watchdog")
        self.assertIn("Watchdog timeout", self.root.check("journalctl", "-q", "--no-pager", "-o", "cat", "UNIT=meridiand.service"))
        self.root.run("rm", "-r", "/etc/systemd/system/meridiand.service.d")
        self.root.run("systemctl", "daemon-reload")


if __name__ == "__main__":
    need_root()
    unittest.main(verbosity=2, failfast=True)
