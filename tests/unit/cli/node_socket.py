# SPDX-License-Identifier: Apache-2.0
"""A node's admin socket that answers as a test tells it, and the command line against it.

    class Apply(node_socket.Case):
        def test_it(self):
            self.answers["POST /v1/requests"] = (202, {"operation": node_socket.operation("Updating")})
            out = self.cli("apply", path)
            self.seen       # [(method, path, body), …] of what the command asked
"""
import json, os, socket, subprocess, sys, tempfile, threading, unittest
from http.server import BaseHTTPRequestHandler, HTTPServer

MERIDIAN = os.path.abspath(sys.argv.pop(1))
ID = "0a1b2c3d4e5f6071"


def operation(state, **more):
    return {"id": ID, "verb": "registry update", "object": "registry/contoso", "by": "root@eastus", "from": 41, "to": None, "state": state,
            "phases": [{"name": "edge", "state": "running", "version": 42, "waitsFor": ["westeurope"]}], "created": 1795996800000,
            "updated": 1795996800000, "error": None, "later": [], "request": "00" * 16} | more


def error(status, code, message="because"):
    return status, {"error": {"code": code, "message": message}}


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        test = self.server.test
        test.seen.append((self.command, self.path, body))
        status, doc = test.answer_to(f"{self.command} {self.path.split('?')[0]}")
        text = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass

    def address_string(self):
        return "unix"


class UnixServer(HTTPServer):
    address_family = socket.AF_UNIX

    def __init__(self, path, test):
        super().__init__(path, Handler)
        self.test = test

    def server_bind(self):
        self.socket.bind(self.server_address)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = self.enterContext(tempfile.TemporaryDirectory())
        self.socket = os.path.join(self.dir, "admin.sock")
        # "METHOD /path": (status, document or bytes), or a list of them, of which the last stays
        self.seen, self.answers = [], {"GET /v1/status": (200, {"domain": "example.io", "pid": 1})}
        server = UnixServer(self.socket, self)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def answer_to(self, key):
        found = self.answers.get(key, error(404, "NotFound", f"no {key}"))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found

    def cli(self, *words, status=0, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("MERIDIAN_")}
        env.update({"MERIDIAN_ADMIN": self.socket, "MERIDIAN_TOPOLOGY": "/nonexistent", "HOME": self.dir} | more)
        r = subprocess.run([MERIDIAN, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env, timeout=60)
        self.assertEqual(r.returncode, status, f"{words}\n{r.stdout}{r.stderr}")
        self.err = r.stderr
        return r.stdout

    def requests(self):
        """All that asked for a change, in order."""
        return [json.loads(b) for method, path, b in self.seen if (method, path) == ("POST", "/v1/requests")]

    def asked(self):
        return self.requests()[-1]
