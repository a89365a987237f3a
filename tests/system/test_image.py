# SPDX-License-Identifier: Apache-2.0
"""Packages and OCI image, made as `make deb` and `make image` do: built with Debian's flags, looked at, and run by podman as examples/compose
and examples/kubernetes say it. It needs a Debian mirror, so `make test-image` runs it, and `make test` does not."""
import json, os, re, resource, shutil, subprocess, sys, tempfile, unittest

from lab import SKIP, SOURCE, need_root, unshare, wait_until

try:
    import yaml
except ImportError:  # Debian's own python3 has it, where another one comes first in PATH
    if sys.executable == "/usr/bin/python3":
        print("skipped: python3-yaml is not installed")
        sys.exit(SKIP)
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

IMAGE = "localhost/meridian-registry:latest"
ADDRESS, DOMAIN, REGION = "192.0.2.1", "example.io", "eastus"  # as the examples have them
STAMP = f"{REGION}-1"
PASSWORD = "correct horse battery staple"


def out_of(*words, check=True, **more):
    r = subprocess.run(words, capture_output=True, text=True, **more)
    assert not check or r.returncode == 0, (words, r.returncode, r.stdout, r.stderr)
    return r.stdout


class Image(unittest.TestCase):
    """In this order: each goes on where the one before it ended."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="meridian-image-test.", dir="/var/tmp")
        cls.addClassCleanup(cls.end)
        cls.storage = f"{cls.dir}/storage"
        # podman asks for limits of its own, which a test machine may not grant
        files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
        with open(f"{cls.dir}/containers.conf", "w") as f:
            f.write(f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
                    f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"\n')
        os.environ["CONTAINERS_CONF"] = f"{cls.dir}/containers.conf"
        out_of(f"{SOURCE}/tools/build-deb", f"{cls.dir}/deb")
        out_of(f"{SOURCE}/tools/build-image", f"{cls.dir}/deb", "--storage", cls.storage, "--archive", f"{cls.dir}/image.tar")
        unshare()  # from here on there is no network but the test's own
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)

    @classmethod
    def end(cls):
        for words in (("pod", "rm", "-af"), ("rm", "-af"), ("volume", "rm", "-af")):
            cls.podman(*words, check=False)
        with open("/proc/self/mounts") as f:
            for at in reversed([line.split()[1] for line in f if line.split()[1].startswith(cls.dir)]):
                subprocess.run(["umount", "-l", at])
        shutil.rmtree(cls.dir, ignore_errors=True)

    @classmethod
    def podman(cls, *words, check=True, **more):
        return out_of("podman", "--root", cls.storage, "--runroot", f"{cls.storage}-run", *words, check=check, timeout=180, **more)

    # ---- what it is ----
    def test_0_the_packages(self):
        changes = next(f"{self.dir}/deb/{name}" for name in os.listdir(f"{self.dir}/deb") if name.endswith(".changes"))
        self.assertEqual(out_of("lintian", "--allow-root", "--fail-on", "error,warning", "--info", changes), "")

    def test_1_the_image(self):
        made = json.loads(self.podman("image", "inspect", IMAGE))[0]
        config = made["Config"]
        self.assertEqual(config["Entrypoint"], ["/usr/bin/meridian-entrypoint"])
        self.assertEqual(set(config["ExposedPorts"]), {"53/udp", "53/tcp", "443/tcp", "8443/tcp"})
        self.assertEqual(list(config["Volumes"]), ["/var/lib/meridian"])
        self.assertLess(made["Size"], 200 << 20)
        self.assertGreater(os.path.getsize(f"{self.dir}/image.tar"), 10 << 20)
        run = lambda *words: self.podman("run", "--rm", IMAGE, *words)
        self.assertEqual(run("meridian", "version").split()[-1], "0.1.0")
        self.assertEqual(run("id", "-u", "meridian").strip() + run("id", "-u", "meridian-edge").strip(), "941942", "a volume outlives its image")
        self.assertEqual(run("find", "/", "-xdev", "(", "-type", "f", "-perm", "/6002", "-o", "-path", "/usr/share/man/man*/*", ")"), "")
        self.assertEqual(run("sh", "-c", "ls -A /var/lib/meridian /var/lib/apt/lists /etc/meridian | grep -v -e sample -e :$ -e ^$ || true"), "")

    def test_2_without_its_settings_it_says_which(self):
        r = subprocess.run(["podman", "--root", self.storage, "--runroot", f"{self.storage}-run", "run", "--rm", "--network", "none", IMAGE],
                           capture_output=True, text=True)
        self.assertEqual(r.returncode, 64, r.stderr)
        self.assertIn("MERIDIAN_ADDRESS is not set", r.stderr)
        self.assertIn("  MERIDIAN_JOIN_TOKEN_FILE", r.stderr)

    # ---- run ----
    def healthy(self):
        ca = f"{self.volume()}/certs/ca.pem"
        r = subprocess.run(["curl", "-s", "-m", "5", "--cacert", ca, "--resolve", f"{STAMP}.{REGION}.fe.{DOMAIN}:443:{ADDRESS}",
                            f"https://{STAMP}.{REGION}.fe.{DOMAIN}/healthz"], capture_output=True, text=True)
        return r.returncode == 0 and '"up"' in r.stdout

    def volume(self):
        return self.podman("volume", "inspect", "region", "--format", "{{.Mountpoint}}", check=False).strip()

    def wait_up(self, name):
        try:
            wait_until(90, self.healthy, f"{name} serves")
        except AssertionError:
            print(self.podman("logs", name, check=False), file=sys.stderr)
            raise

    def compose_words(self):
        """What `compose up` would make of the file, but for the network, which is the test's own."""
        with open(f"{SOURCE}/examples/compose/compose.yaml") as f:
            s = yaml.safe_load(f)["services"]["meridian"]
        words = ["--read-only", "--stop-timeout", s["stop_grace_period"][:-1]]
        for key, option in (("tmpfs", "--tmpfs"), ("cap_drop", "--cap-drop"), ("cap_add", "--cap-add"), ("volumes", "-v")):
            words += [w for value in s[key] for w in (option, value)]
        words += [w for k, v in s["environment"].items() for w in ("-e", f"{k}={v}")]
        words += ["--security-opt", "no-new-privileges"]
        self.assertEqual((s["environment"]["MERIDIAN_ADDRESS"], s["environment"]["MERIDIAN_DOMAIN"]), (ADDRESS, DOMAIN))
        return [*words, s["image"]], s["healthcheck"]["test"][1:]

    def test_3_as_compose_says(self):
        words, health = self.compose_words()
        self.podman("run", "-d", "--name", "meridian", "--network", "host", *words)
        self.wait_up("meridian")
        self.podman("exec", "meridian", *health)
        said = self.podman("logs", "meridian")
        self.assertIn("root-key.pem", said)
        self.assertNotIn("was refused", said)
        inside = lambda *w, **more: self.podman("exec", "-i", "meridian", *w, **more)
        inside("meridian", "registry", "create", "contoso", "--location", REGION)
        inside("sh", "-c", "umask 077; cat >/tmp/password", input=PASSWORD + "\n")
        inside("meridian", "user", "create", "ada", "--registry", "contoso", "--actions", "pull,push", "--password-file", "/tmp/password")
        etc = f"{self.dir}/resolv.conf"
        with open(etc, "w") as f:
            f.write(f"nameserver {ADDRESS}\n")
        subprocess.run(["mount", "--bind", etc, os.path.realpath("/etc/resolv.conf")], check=True)
        with open(f"{self.dir}/layer", "wb") as f:
            f.write(os.urandom(200_000))
        out_of(sys.executable, f"{SOURCE}/examples/three-regions/make-image", f"{self.dir}/app", "1", f"{self.dir}/layer")
        self.skopeo("copy", "-q", "--dest-creds", f"ada:{PASSWORD}", f"oci:{self.dir}/app:1", f"docker://contoso.{DOMAIN}/app:1")
        self.pulled()
        self.podman("stop", "meridian")
        self.assertEqual(self.podman("inspect", "meridian", "--format", "{{.State.ExitCode}}").strip(), "0")
        # another container, as after a change of the image: the volume has all of it
        self.podman("rm", "meridian")
        self.podman("run", "-d", "--name", "meridian", "--network", "host", *words)
        self.wait_up("meridian")
        self.pulled()
        self.podman("rm", "-f", "-t", "30", "meridian")

    def skopeo(self, *words):
        return out_of("skopeo", *words, env=dict(os.environ, SSL_CERT_FILE=f"{self.volume()}/certs/ca.pem"), timeout=60)

    def pulled(self):
        with tempfile.TemporaryDirectory() as to:
            self.skopeo("copy", "-q", "--src-creds", f"ada:{PASSWORD}", f"docker://contoso.{DOMAIN}/app:1", f"dir:{to}")
            self.assertGreaterEqual(len(os.listdir(to)), 4)

    def test_4_as_the_manifests_say(self):
        """podman reads pods, not StatefulSets: the pod that one would make, with the claim that it would make, on the volume of before."""
        with open(f"{SOURCE}/examples/kubernetes/meridian.yaml") as f:
            docs = {d["kind"]: d for d in yaml.safe_load_all(f)}
        spec = docs["StatefulSet"]["spec"]["template"]["spec"]
        box = spec["containers"][0]
        spec["hostNetwork"] = True  # the test's own network; podman then takes no ports
        ports = {p["name"]: p["containerPort"] for p in box.pop("ports")}
        box["readinessProbe"]["tcpSocket"]["port"] = ports[box["readinessProbe"]["tcpSocket"]["port"]]
        claim = docs["StatefulSet"]["spec"]["volumeClaimTemplates"][0]
        name = claim["metadata"]["name"]
        spec["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name}})
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "region-0"}, "spec": spec}
        with open(f"{self.dir}/pod.yaml", "w") as f:
            yaml.safe_dump_all([docs["ConfigMap"], pod], f)
        self.assertEqual(name, "region")
        self.podman("kube", "play", f"{self.dir}/pod.yaml")
        self.wait_up("region-0-meridian")
        self.pulled()
        made = json.loads(self.podman("inspect", "region-0-meridian"))[0]
        self.assertTrue(made["HostConfig"]["ReadonlyRootfs"])
        self.assertEqual({c[len("CAP_"):] for c in made["EffectiveCaps"]}, set(box["securityContext"]["capabilities"]["add"]))
        self.podman("exec", "region-0-meridian", *box["livenessProbe"]["exec"]["command"])
        self.podman("kube", "down", f"{self.dir}/pod.yaml")


if __name__ == "__main__":
    if not os.environ.get("MERIDIAN_IMAGE"):
        print("skipped: make test-image runs it")
        sys.exit(SKIP)
    need_root()
    unittest.main(verbosity=2, failfast=True)
