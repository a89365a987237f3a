# SPDX-License-Identifier: Apache-2.0
"""Docker: login, load, push to regional and global names, pull by digest from another region.

The daemon runs without containers, bridge or firewall rules, inside the lab's namespaces, and ends with the test."""
import ctypes, json, os, shutil, signal, subprocess, sys, unittest

from lab import DOMAIN, Lab, REGIONS, SKIP, USER, wait_until

EAST, WEST, ASIA = (f"contoso.{r}.geo.{DOMAIN}" for r in REGIONS)
GLOBAL = f"contoso.{DOMAIN}"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # the distribution's client and daemon fit each other
PR_SET_PDEATHSIG = 1


def end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Docker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab = cls.enterClassContext(Lab())
        socket, log = f"unix://{lab.dir}/docker.sock", f"{lab.dir}/dockerd.log"
        cls.env = {"DOCKER_HOST": socket, "DOCKER_CONFIG": f"{lab.dir}/docker-config", "PATH": PATH}
        with open(log, "wb") as out:
            daemon = lab.background(
                shutil.which("dockerd", path=PATH), "--host", socket, "--data-root", f"{lab.dir}/docker", "--exec-root",
                f"{lab.dir}/docker-run", "--pidfile", f"{lab.dir}/docker.pid", "--bridge=none", "--iptables=false",
                "--ip-masq=false", "--ip6tables=false", "--storage-driver=vfs", stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, env=dict(os.environ, **cls.env), preexec_fn=end_with_parent)
        cls.addClassCleanup(cls.end, daemon)

        def answers():
            if daemon.poll() is not None:
                with open(log, errors="replace") as f:
                    raise AssertionError("dockerd ended:\n" + f.read()[-3000:])
            return lab.run("docker", "version", check=False, env=cls.env).returncode == 0
        wait_until(60, answers, "dockerd answers")

    @staticmethod
    def end(daemon):
        """SIGTERM, so that it takes its own containerd along."""
        daemon.terminate()
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def docker(self, *words, **more):
        return self.lab.check("docker", *words, env=self.env, **more)

    def load(self, name):
        """An image of random layers, loaded as NAME:1 from an archive."""
        out, _ = self.lab.image(name, layers=3)
        archive = f"{self.lab.dir}/{name}.tar"
        self.lab.check("skopeo", "copy", "-q", f"oci:{out}:1", f"docker-archive:{archive}:{name}:1")
        self.assertIn(f"{name}:1", self.docker("load", "-i", archive))

    def push(self, local, name):
        self.docker("tag", local, name)
        out = self.docker("push", name)
        words = out.split("digest: ")
        self.assertEqual(len(words), 2, out)
        return words[1].split()[0]

    def test_1_login(self):
        bad = self.lab.run("docker", "login", "-u", USER, "--password-stdin", EAST, input="not it", env=self.env, check=False)
        self.assertNotEqual(bad.returncode, 0)
        for host in (EAST, WEST, ASIA, GLOBAL):
            out = self.docker("login", "-u", USER, "--password-stdin", host, input=self.lab.password)
            self.assertIn("Login Succeeded", out)
        with open(f"{self.lab.dir}/docker-config/config.json") as f:
            self.assertEqual(sorted(json.load(f)["auths"]), sorted((EAST, WEST, ASIA, GLOBAL)))

    def test_2_push_to_a_region_pull_by_digest_from_the_others(self):
        lab = self.lab
        self.load("regional")
        digest = self.push("regional:1", f"{EAST}/team/docker:1")
        lab.wait_replicated("contoso/team/docker:1")
        self.docker("rmi", "-f", "regional:1", f"{EAST}/team/docker:1")
        for host in (WEST, ASIA, GLOBAL):
            self.assertIn(digest, self.docker("pull", f"{host}/team/docker@{digest}"))
            held = self.docker("image", "inspect", "--format", "{{json .RepoDigests}}", f"{host}/team/docker@{digest}")
            self.assertIn(f"{host}/team/docker@{digest}", json.loads(held))
            self.docker("rmi", "-f", f"{host}/team/docker@{digest}")

    def test_3_push_through_the_global_name(self):
        lab = self.lab
        self.load("global")
        digest = self.push("global:1", f"{GLOBAL}/team/docker-global:1")
        lab.wait_replicated("contoso/team/docker-global:1")
        self.docker("rmi", "-f", "global:1", f"{GLOBAL}/team/docker-global:1")
        self.assertIn(digest, self.docker("pull", f"{WEST}/team/docker-global@{digest}"))
        # the same layers under another name: nothing is uploaded twice, and the digest stays
        self.assertEqual(self.push(f"{WEST}/team/docker-global@{digest}", f"{WEST}/team/docker-copy:1"), digest)

    def test_6_each_connection_leads_to_another_region(self):
        """It asks for each blob right after its PUT, and gives up when it is unknown where that lands."""
        lab, host = self.lab, f"tailspin.{DOMAIN}"
        self.docker("login", "-u", USER, "--password-stdin", host, input=lab.password)
        for region in REGIONS:
            rows = lambda: lab.admin(region, "replication", "status", "-r", "tailspin", check=False)
            wait_until(60, lambda: {r["state"] for r in rows()} == {"Ready"}, f"{region} hears the others")
        with lab.led_anywhere():
            for i in range(4):
                self.load(f"anywhere{i}")
                digest = self.push(f"anywhere{i}:1", f"{host}/anywhere:{i}")
        lab.wait_replicated("tailspin/anywhere:3")
        self.docker("rmi", "-f", "anywhere3:1", f"{host}/anywhere:3")
        self.assertIn(digest, self.docker("pull", f"{host}/anywhere@{digest}"))

    def test_4_what_it_may_not_do(self):
        out = self.lab.run("docker", "pull", f"fabrikam.eastus.geo.{DOMAIN}/app:1", env=self.env, check=False)
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("denied", out.stderr + out.stdout)

    def test_5_a_push_survives_a_restart(self):
        lab = self.lab
        out, _ = lab.image("restart", layers=2, layer_bytes=5_000_000)
        archive = f"{lab.dir}/restart.tar"
        lab.check("skopeo", "copy", "-q", f"oci:{out}:1", f"docker-archive:{archive}:restart:1")
        self.docker("load", "-i", archive)
        name = f"{EAST}/team/docker-restart:1"
        self.docker("tag", "restart:1", name)
        lab.restart_in_mid_push("eastus", [["docker", "push", name]], env=self.env)
        self.docker("rmi", "-f", "restart:1", name)
        self.docker("pull", name)


if __name__ == "__main__":
    if not shutil.which("dockerd", path=PATH):
        print("skipped: dockerd is not installed (package docker.io)")
        sys.exit(SKIP)
    unittest.main(verbosity=2)
