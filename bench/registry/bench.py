#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Registry data-plane benchmark; started by run.sh. All servers run at once, on one core; the load comes from another.
Each case goes round the servers, so that what else the machine does meets them all alike; the median of the rounds is
kept. Server CPU per request moves little where rates move much: compare that first."""
import argparse, asyncio, base64, glob, hashlib, http.client, json, os, re, resource, shutil, signal, socket, ssl, statistics
import subprocess, sys, tempfile, threading, time, urllib.parse

import goals, reads, writes

HERE = os.path.dirname(os.path.abspath(__file__))
HZ = os.sysconf('SC_CLK_TCK')
GIB = 1 << 30
MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
ACCEPT = 'Accept: ' + MANIFEST  # docker-registry has no OCI manifest for a client that does not ask for one
args = None
work = None


def sh(*a, **k):
    return subprocess.run(a, check=True, capture_output=True, text=True, **k).stdout


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def sha(path):
    with open(path, 'rb') as f:
        return 'sha256:' + hashlib.file_digest(f, 'sha256').hexdigest()


def random_file(path, size):  # incompressible, new each time
    subprocess.run(f'openssl enc -aes-128-ctr -nosalt -K {os.urandom(16).hex()} -iv {"0" * 32} -in /dev/zero 2>/dev/null'
                   f' | head -c {size} > {path}', shell=True, check=True)
    return sha(path)


class Fixtures:
    def __init__(self, root):
        self.root = root
        os.makedirs(root)
        self.digest = {'big': random_file(root + '/big', GIB), 'small': random_file(root + '/small', 4096)}
        write(root + '/cfg', json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {},
                                         'rootfs': {'type': 'layers', 'diff_ids': []}}))
        self.digest['cfg'] = sha(root + '/cfg')

        def ref(name, kind):
            return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': self.digest[name],
                    'size': os.path.getsize(f'{root}/{name}')}
        layers = [ref('big', 'layer.v1.tar+gzip')] + [ref('small', 'layer.v1.tar+gzip')] * 7
        write(root + '/manifest', json.dumps({'schemaVersion': 2, 'mediaType': MANIFEST,
                                              'config': ref('cfg', 'config.v1+json'), 'layers': layers}))
        self.digest['manifest'] = sha(root + '/manifest')


# ---- servers ----

class Server:
    name = host = addr = ca = proc = None
    port = 0
    repo = 'bench/main'
    writes = True
    dav = None  # where a bare PUT goes, for a server that is no registry

    def base(self):
        return f'https://{self.host}:{self.port}'

    def spawn(self, *a):
        log = open(f'{work}/{self.name}.log', 'ab')
        self.proc = subprocess.Popen(['taskset', '-c', args.server_cpu, *a], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                self.connection().close()
                return
            except OSError:
                if self.proc.poll() is not None or time.monotonic() > end:
                    sys.exit(f'{self.name} did not start:\n' + open(f'{work}/{self.name}.log').read()[-2000:])
                time.sleep(0.1)

    def stop(self):
        if self.proc:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()

    def token(self):
        return None

    def pids(self):
        out, todo = [], [self.proc.pid]
        while todo:
            p = todo.pop()
            out.append(p)
            for t in os.listdir(f'/proc/{p}/task'):
                todo += [int(c) for c in open(f'/proc/{p}/task/{t}/children').read().split()]
        return out

    def cpu(self):
        ticks = 0
        for p in self.pids():
            f = open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split()
            ticks += int(f[11]) + int(f[12])
        return ticks / HZ

    def rss_kib(self):  # shared pages count once for each process: an upper bound
        return sum(int(re.search(r'VmRSS:\s+(\d+)', open(f'/proc/{p}/status').read())[1]) for p in self.pids())

    def pss_kib(self):  # shared pages count once in all: what this server takes from the machine
        return sum(int(re.search(r'Pss:\s+(\d+)', open(f'/proc/{p}/smaps_rollup').read())[1]) for p in self.pids())

    def connection(self):
        c = http.client.HTTPSConnection(self.host, self.port, context=ssl.create_default_context(cafile=self.ca),
                                        blocksize=1 << 18)
        c.connect()
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return c

    def ask(self, c, method, path, want, body=None, **headers):
        h = {k.replace('_', '-'): v for k, v in headers.items()}
        t = self.token()
        if t:
            h['Authorization'] = 'Bearer ' + t
        c.request(method, path, body, h)
        r = c.getresponse()
        text = r.read()
        if r.status != want:
            sys.exit(f'{self.name}: {method} {path}: {r.status} {text[:300]}')
        return r

    def upload_start(self, c):
        r = self.ask(c, 'POST', f'/v2/{self.repo}/blobs/uploads/', 202, b'', Content_Length='0')
        u = urllib.parse.urlsplit(urllib.parse.urljoin(self.base(), r.headers['Location']))
        return u.path + '?' + (u.query + '&' if u.query else '')

    def push(self, c, body, digest, size):
        at = self.upload_start(c)
        self.ask(c, 'PUT', at + 'digest=' + digest, 201, body, Content_Type='application/octet-stream',
                 Content_Length=str(size))

    def seed(self, fx):
        c = self.connection()
        for n in ('cfg', 'small', 'big'):
            path = f'{fx.root}/{n}'
            self.push(c, open(path, 'rb'), fx.digest[n], os.path.getsize(path))
        self.ask(c, 'PUT', f'/v2/{self.repo}/manifests/latest', 201, open(fx.root + '/manifest', 'rb').read(),
                 Content_Type=MANIFEST)

    def forget(self, digest):
        pass


class Meridian(Server):
    name, host, addr, port = 'meridian', 'contoso.eastus.geo.meridian.test', '127.30.0.1', 17450

    def start(self):
        root = self.root = work + '/meridian'
        build = os.path.abspath(args.build)
        self.ca = root + '/ca/ca.pem'
        write(root + '/topology.yaml', f'''version: 1
domain: meridian.test
hostmaster: hostmaster@meridian.test
https_port: {self.port}
regions:
  - {{ name: eastus, stamps: [{{ name: eus-1, ipv4: [{self.addr}] }}], peer: "{self.addr}:{self.port + 1}" }}
name_servers: [eus-1.eastus]
registries:
  - {{ name: contoso, regional_endpoints: enabled, replicas: [{{ region: eastus, stamp: eus-1 }}] }}
certificates: {{ ca_region: eastus }}
''')
        tool = build + '/cli/meridian'
        env = dict(os.environ, MERIDIAN_TOPOLOGY=root + '/topology.yaml', MERIDIAN_CA=self.ca)
        sh(tool, 'init', '--topology', root + '/topology.yaml', '--out', root, '--owner', 'meridian', env=env)
        self.password = base64.b64encode(os.urandom(18)).decode()
        env.update(MERIDIAN_USERNAME='ada', MERIDIAN_PASSWORD_FILE=write(root + '/password', self.password + '\n', 0o600))
        sh(tool, 'user', 'add', 'ada', '--registry', 'contoso', '--actions', 'pull,push', '--principals',
           root + '/principals.yaml', env=env)
        shutil.chown(root + '/principals.yaml', 'meridian')
        os.chmod(root, 0o711)
        write(root + '/meridiand.yaml', f'''region: eastus
stamp: eus-1
roles: [registry, auth, replicator]
data_dir: {root}/eastus
topology: {root}/topology.yaml
principals: {root}/principals.yaml
ca_file: {root}/eastus/certs/ca.pem
ca_dir: {root}/ca
listen: {{ https: ["{self.addr}:{self.port}"], peer: "{self.addr}:{self.port + 1}" }}
edge: {{ workers: 1{", http2: enabled" if args.http2 else ""}{", disk_threads: disabled" if args.no_disk_threads else ""} }}
users: {{ daemon: meridian, edge: meridian-edge }}
drain: 2s
''')
        self.tokens = (0, None)
        self.spawn(build + '/daemon/meridiand', '--config', root + '/meridiand.yaml')

    def token_url(self):
        return (f'{self.base()}/oauth2/token?service=contoso.meridian.test'
                f'&scope=repository:{self.repo}:pull,push')

    def basic(self):
        return 'Authorization: Basic ' + base64.b64encode(f'ada:{self.password}'.encode()).decode()

    def token(self):
        if time.monotonic() - self.tokens[0] > 300:
            text = sh('curl', '-sS', '--fail', '--cacert', self.ca, '-H', self.basic(), self.token_url())
            self.tokens = (time.monotonic(), json.loads(text)['access_token'])
        return self.tokens[1]

    def metrics(self):
        where = glob.glob(self.root + '/eastus/**/admin.sock', recursive=True)[0]
        return sh('curl', '-sS', '--fail', '--unix-socket', where, 'http://admin/v1/metrics')

    def forget(self, digest):
        h = digest[7:]
        for path in glob.glob(f'{self.root}/eastus/store/blobs/sha256/{h[:2]}/{h}*'):
            os.unlink(path)


def leaf(host):  # a CA and a certificate of its own
    d = work + '/pki'
    if not os.path.exists(d + '/ca.crt'):
        os.makedirs(d, exist_ok=True)
        sh('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
           '-subj', '/CN=bench', '-keyout', d + '/ca.key', '-out', d + '/ca.crt')
    sh('openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=' + host,
       '-keyout', f'{d}/{host}.key', '-out', f'{d}/{host}.csr')
    ext = write(f'{d}/{host}.ext', f'subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\n')
    sh('openssl', 'x509', '-req', '-in', f'{d}/{host}.csr', '-CA', d + '/ca.crt', '-CAkey', d + '/ca.key',
       '-CAcreateserial', '-days', '2', '-out', f'{d}/{host}.crt', '-extfile', ext)
    return d + '/ca.crt', f'{d}/{host}.crt', f'{d}/{host}.key'


class Nginx(Server):
    """The fixtures as static files: what this machine's TLS and sendfile allow."""
    name, host, addr, port, writes = 'nginx', 'static.bench.test', '127.30.0.2', 17452, False

    def start(self):
        root = work + '/nginx'
        os.makedirs(root + '/www')
        self.root, self.dav = root, self.base() + '/dav/'
        self.ca, crt, key = leaf(self.host)
        conf = write(root + '/nginx.conf', f'''daemon off; worker_processes 1; user root; pid {root}/pid;
error_log {root}/error.log; worker_rlimit_nofile 32768; events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 10000; keepalive_timeout 65s; etag off;
  client_max_body_size 0; client_body_temp_path {root}/www/.tmp; client_body_buffer_size 256k;
  server {{
    listen {self.addr}:{self.port} ssl backlog=1024; server_name {self.host};
    ssl_certificate {crt}; ssl_certificate_key {key}; ssl_session_tickets off;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers off;
    root {root}/www; default_type application/octet-stream;
    location ~ /manifests/ {{ default_type {MANIFEST}; }}
    location /dav/ {{ dav_methods PUT; create_full_put_path on; }}
    location = /v2/ {{ return 200 '{{}}'; }}
  }}
}}
''')
        self.spawn('nginx', '-p', root, '-c', conf)

    def seed(self, fx):
        at = f'{self.root}/www/v2/{self.repo}'
        os.makedirs(at + '/manifests')
        os.makedirs(at + '/blobs')
        shutil.copy(fx.root + '/manifest', at + '/manifests/latest')
        shutil.copy(fx.root + '/manifest', f'{at}/manifests/{fx.digest["manifest"]}')
        for n in ('big', 'small', 'cfg'):
            os.link(f'{fx.root}/{n}', f'{at}/blobs/{fx.digest[n]}')

    def forget(self, digest):
        os.unlink(f'{self.root}/www/dav/{digest[7:]}')


class DockerRegistry(Server):
    name, host, addr, port = 'docker-registry', 'peer.bench.test', '127.30.0.3', 17454

    def start(self):
        root = work + '/docker-registry'
        self.root = root
        self.ca, crt, key = leaf(self.host)
        conf = write(root + '/config.yml', f'''version: 0.1
log: {{ level: error, accesslog: {{ disabled: true }} }}
storage:
  filesystem: {{ rootdirectory: {root}/data, maxthreads: 100 }}
  cache: {{ blobdescriptor: inmemory }}
  redirect: {{ disable: true }}
http: {{ addr: "{self.addr}:{self.port}", secret: bench, tls: {{ certificate: {crt}, key: {key} }} }}
''')
        self.spawn('docker-registry', 'serve', conf)

    def forget(self, digest):
        h = digest[7:]
        os.unlink(f'{self.root}/data/docker/registry/v2/blobs/sha256/{h[:2]}/{h}/data')


# ---- cases ----

def timed(s, fn):
    c0, t0 = s.cpu(), time.monotonic()
    out = fn()
    return out, time.monotonic() - t0, s.cpu() - c0


def client(*a):
    return ['taskset', '-c', args.client_cpu, *a]


def auth(s):
    t = s.token()
    return ['-H', 'Authorization: Bearer ' + t] if t else []


def wrk(s, url, headers):
    a = client('wrk', '-t1', f'-c{args.connections}', f'-d{args.seconds}s', '--latency', *headers, url)
    o, w, c = timed(s, lambda: sh(*a))
    n = int(re.search(r'(\d+) requests in', o)[1])
    p99 = re.search(r'99%\s+([\d.]+)(us|ms|s)', o)
    return {'per_s': n / w, 'cpu_us': 1e6 * c / max(n, 1), 'p99_ms': float(p99[1]) * {'us': .001, 'ms': 1, 's': 1e3}[p99[2]],
            'busy_pct': 100 * c / w, 'errors': int((re.search(r'Non-2xx or 3xx responses: (\d+)', o) or [0, 0])[1])}


def ab(s, url, options, n=None):
    a = client('ab', '-q', '-f', 'TLS1.3', *options, url)
    o, w, c = timed(s, lambda: sh(*a))
    n = int(re.search(r'Complete requests:\s+(\d+)', o)[1])
    return {'per_s': n / w, 'cpu_us': 1e6 * c / max(n, 1), 'busy_pct': 100 * c / w,
            'errors': int((re.search(r'Non-2xx responses:\s+(\d+)', o) or [0, 0])[1])}


def manifest_get(s, fx):
    return wrk(s, f'{s.base()}/v2/{s.repo}/manifests/latest', ['-H', ACCEPT, *auth(s)])


def manifest_head(s, fx):  # wrk waits for the bytes that a HEAD does not bring
    return ab(s, f'{s.base()}/v2/{s.repo}/manifests/{fx.digest["manifest"]}',
              ['-i', '-k', '-c', str(args.connections), '-t', str(args.seconds), '-n', '100000000', '-H', ACCEPT, *auth(s)])


def blob_small(s, fx):
    return wrk(s, f'{s.base()}/v2/{s.repo}/blobs/{fx.digest["small"]}', auth(s))


def curl(s, *a):
    return client('curl', '-sS', '--fail', '--http1.1', '--cacert', s.ca, '-o', '/dev/null', '-w', '%{http_code}', *auth(s), *a)


def blob_get(s, fx):
    a = curl(s, f'{s.base()}/v2/{s.repo}/blobs/{fx.digest["big"]}')
    o, w, c = timed(s, lambda: sh(*a))
    return {'MBps': GIB / 1e6 / w, 'cpu_s': c, 'busy_pct': 100 * c / w, 'errors': int(o != '200')}


def memory_warm():
    """Pages that a virtual machine has not touched for a while cost their first user a fault on its host: more than a
    second for each GiB. So memory for what comes is touched, and let go, right before."""
    with open(work + '/warm', 'wb') as f:
        for _ in range(GIB * 5 // 4 >> 20):
            f.write(bytes(1 << 20))
    os.unlink(work + '/warm')


def blob_put(s, fx):
    path = work + '/upload'
    d = random_file(path, GIB)
    memory_warm()
    url = s.dav + d[7:] if s.dav else s.base() + s.upload_start(s.connection()) + 'digest=' + d
    a = curl(s, '-T', path, '-H', 'Content-Type: application/octet-stream', '-H', 'Expect:', url)
    o, w, c = timed(s, lambda: sh(*a))
    s.forget(d)
    return {'MBps': GIB / 1e6 / w, 'cpu_s': c, 'busy_pct': 100 * c / w, 'errors': int(o != '201')}


def pushes(s, fx, n=200, size=1 << 20, parallel=8):
    if not s.writes:
        return None
    blobs = [os.urandom(size) for _ in range(n)]
    digests = ['sha256:' + hashlib.sha256(b).hexdigest() for b in blobs]
    left, lock, failed = iter(range(n)), threading.Lock(), []

    def one():
        c = s.connection()
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            try:
                s.push(c, blobs[i], digests[i], size)
            except BaseException as e:
                failed.append(e)
                return

    def go():
        ts = [threading.Thread(target=one) for _ in range(parallel)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
    s.token()
    os.sched_setaffinity(0, {int(args.client_cpu)})
    _, w, c = timed(s, go)
    os.sched_setaffinity(0, range(os.cpu_count()))
    return {'per_s': n / w, 'cpu_ms': 1e3 * c / n, 'busy_pct': 100 * c / w, 'errors': len(failed)}


def tokens(s, fx):
    return wrk(s, s.token_url(), ['-H', s.basic()]) if hasattr(s, 'token_url') else None


def handshakes(s, fx):  # a new connection for each request, without resumption; /v2/ is answered 401 without a token
    return ab(s, s.base() + '/v2/', ['-n', str(args.handshakes), '-c', '32'])


def connections_open(s, n):  # each has made one request, and stays: (when, connection)
    ctx, cs = ssl.create_default_context(cafile=s.ca), []
    for _ in range(n):
        c = ctx.wrap_socket(socket.create_connection((s.host, s.port)), server_hostname=s.host)
        c.sendall(f'GET /v2/ HTTP/1.1\r\nHost: {s.host}\r\n\r\n'.encode())
        c.recv(4096)
        cs.append((time.monotonic(), c))
    return cs


def connections_lost(cs):  # how many the server has ended before their time (65 s)
    lost, now = 0, time.monotonic()
    for since, c in cs:
        c.setblocking(False)
        try:
            ended = c.recv(1) == b''
        except (ssl.SSLWantReadError, BlockingIOError):
            ended = False
        except OSError:
            ended = True
        lost += ended and now - since < 60
        c.close()
    return lost


def idle(s, fx, n=1000):
    r0 = s.rss_kib()
    cs = connections_open(s, n)
    time.sleep(1)
    r1, c0 = s.rss_kib(), s.cpu()
    time.sleep(2)
    return {'kib': (r1 - r0) / n, 'rss_mib': r1 / 1024, 'pss_mib': s.pss_kib() / 1024, 'busy_pct': 50 * (s.cpu() - c0),
            'errors': connections_lost(cs)}


def held(s, fx, n=10000):  # pulls go on beside very many connections that do nothing
    if s.name == 'docker-registry':
        return None
    alone = blob_small(s, fx)
    cs = connections_open(s, n)
    r = blob_small(s, fx)
    r['rss_mib'], r['pss_mib'] = s.rss_kib() / 1024, s.pss_kib() / 1024
    r['ratio'] = r['cpu_us'] / alone['cpu_us']
    r['errors'] += connections_lost(cs)
    return r


# ---- HTTP/1.1 and HTTP/2, of one server (--http2) ----

class LongLine(threading.Thread):
    """Hands on to a server what it is sent, either way, each byte so much later: what a round trip costs a protocol that waits
    for its peer's word (HTTP/2's windows). The line itself has any bandwidth."""

    def __init__(self, s, delay_s):
        super().__init__(daemon=True)
        self.s, self.delay_s, self.ready = s, delay_s, threading.Event()
        self.start()
        self.ready.wait()

    def run(self):
        async def side(reader, writer):
            loop, waiting = asyncio.get_running_loop(), asyncio.Queue(4096)

            async def send():
                while True:
                    at, data = await waiting.get()
                    await asyncio.sleep(max(0, at - loop.time()))
                    if not data:
                        writer.close()
                        return
                    writer.write(data)
                    await writer.drain()
            t = asyncio.create_task(send())
            data = b'-'
            while data:
                data = await reader.read(1 << 16)
                await waiting.put((loop.time() + self.delay_s, data))
            await t

        async def client(reader, writer):
            to = await asyncio.open_connection(self.s.addr, self.s.port)
            await asyncio.gather(side(reader, to[1]), side(to[0], writer), return_exceptions=True)

        async def serve():
            server = await asyncio.start_server(client, '127.0.0.1', 0)
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()
            await server.serve_forever()
        asyncio.run(serve())


def version(s, path, v):
    """Requests for one path by h2load; `v` is 1 or 2."""
    a = client('h2load', '-t1', '-c32', '-m1', '-D', str(args.seconds), *(['--h1'] if v == 1 else []), '-H', ACCEPT, *auth(s),
               s.base() + path)
    o, w, c = timed(s, lambda: sh(*a))
    good = int(re.search(r'status codes: (\d+) 2xx', o)[1])
    return 1e6 * c / max(good, 1)


def big(s, fx, v, line=None, size=GIB, put=False):
    flags = ['--http1.1' if v == 1 else '--http2']
    if line:
        flags += ['--connect-to', f'{s.host}:{s.port}:127.0.0.1:{line.port}']
    if put:
        d = random_file(work + '/upload', size)
        flags += ['-T', work + '/upload', '-H', 'Content-Type: application/octet-stream', '-H', 'Expect:']
        url = s.base() + s.upload_start(s.connection()) + 'digest=' + d
    else:
        url = f'{s.base()}/v2/{s.repo}/blobs/{fx.digest["big"]}'
    a = [x for x in curl(s, *flags, url) if x != '--http1.1' or v == 1]
    o, w, c = timed(s, lambda: sh(*a))
    if put:
        s.forget(d)
    return (c, size / 1e6 / w) if o in ('200', '201') else (-1, -1)


def http2(s, fx):
    if not args.http2 or s.name != 'meridian':
        return None
    line = LongLine(s, 0.025)
    rows = {'manifest, CPU us': lambda v: version(s, f'/v2/{s.repo}/manifests/latest', v),
            'blob of 4 KiB, CPU us': lambda v: version(s, f'/v2/{s.repo}/blobs/{fx.digest["small"]}', v),
            'blob of 1 GiB, CPU s': lambda v: big(s, fx, v)[0],
            'PUT of 1 GiB, CPU s': lambda v: big(s, fx, v, put=True)[0],
            'GET of 1 GiB over a round trip of 50 ms, MB/s': lambda v: big(s, fx, v, line)[1],
            'PUT of 128 MiB over a round trip of 50 ms, MB/s': lambda v: big(s, fx, v, line, 128 << 20, True)[1]}
    out = {'errors': 0}
    for what, f in rows.items():
        got = {v: statistics.median(f(v) for _ in range(args.rounds)) for v in (1, 2)}
        print(f'HTTP/1.1 and HTTP/2: {what}: {figure(got[1])}, {figure(got[2])} ({got[2] / got[1]:.2f} x)', flush=True)
    return out | {'per_s': 0, 'cpu_us': 0}


CASES = {  # letter: what, function, rate, cost
    'a': ('manifest GET by tag', manifest_get, ('per_s', 'requests/s'), ('cpu_us', 'CPU µs')),
    'b': ('manifest HEAD by digest', manifest_head, ('per_s', 'requests/s'), ('cpu_us', 'CPU µs')),
    'c': ('blob GET, 1 GiB', blob_get, ('MBps', 'MB/s'), ('cpu_s', 'CPU s')),
    'd': ('blob GET, 4 KiB', blob_small, ('per_s', 'requests/s'), ('cpu_us', 'CPU µs')),
    'e': ('blob PUT, 1 GiB', blob_put, ('MBps', 'MB/s'), ('cpu_s', 'CPU s')),
    'f': ('200 pushes of 1 MiB, 8 at a time', pushes, ('per_s', 'pushes/s'), ('cpu_ms', 'CPU ms')),
    'g': ('token endpoint, Basic', tokens, ('per_s', 'tokens/s'), ('cpu_us', 'CPU µs')),
    'j': ('full TLS 1.3 handshake and GET /v2/', handshakes, ('per_s', 'connections/s'), ('cpu_us', 'CPU µs')),
    'i': ('1,000 idle TLS connections', idle, ('pss_mib', 'MiB PSS in all'), ('kib', 'KiB RSS each')),
    'k': ('blob GET, 4 KiB, beside 10,000 idle connections', held, ('per_s', 'requests/s'), ('cpu_us', 'CPU µs')),
    'h': ('HTTP/1.1 and HTTP/2 (--http2)', http2, ('per_s', ''), ('cpu_us', '')),
    **reads.CASES,
    **writes.CASES,
}
ONCE = 'inkh'
ON_DISK = 'futl'  # measured on a real disk, too


def figure(v):
    return f'{v:,.0f}' if abs(v) >= 100 else f'{v:.3g}'


def report(results, names):
    base = 'nginx' if 'nginx' in names else None
    print('\n| case | ' + ' | '.join(f'{n}: rate | cost' for n in names) + ' |')
    print('|---|' + '---:|' * (2 * len(names)))
    for k in results:
        what, _, rate, cost = CASES[k[0]]
        what += k[1:]
        row = []
        for n in names:
            r = results[k].get(n)
            if not r:
                row += ['–', '–']
                continue
            ref = results[k].get(base) if base and n != base else None
            ratio = f' ({r[cost[0]] / ref[cost[0]]:.2f}×)' if ref and ref[cost[0]] else ''
            row += [f'{figure(r[rate[0]])} {rate[1]}', f'{figure(r[cost[0]])} {cost[1]}{ratio}']
        print(f'| {what} | ' + ' | '.join(row) + ' |')
    reads.report(results, names)
    writes.report(results, names)


def namespace(servers, etc):
    for f, line in (('passwd', '{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n'), ('group', '{0}:x:{1}:\n')):
        text = open('/etc/' + f).read()
        for i, user in enumerate(('meridian', 'meridian-edge')):
            if not re.search(f'^{user}:', text, re.M):
                text += line.format(user, 64101 + i)
        write(f'{etc}/{f}', text)
    write(etc + '/hosts', '127.0.0.1 localhost\n' + ''.join(f'{s.addr} {s.host}\n' for s in servers))
    if os.path.isdir('/var/lib/containers'):  # skopeo keeps a database of blobs there, which it syncs for each
        sh('mount', '-t', 'tmpfs', 'none', '/var/lib/containers')
    for f in ('passwd', 'group', 'hosts'):
        sh('mount', '--bind', f'{etc}/{f}', os.path.realpath('/etc/' + f))


def main():
    global args
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--build', default=HERE + '/../../build')
    p.add_argument('--cases', default='abmcdefgrjitunl')
    p.add_argument('--goals', action='store_true', help='all that has a bound, and at the end each with its bound')
    p.add_argument('--targets', default='meridian,nginx,docker-registry')
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--seconds', type=int, default=4)
    p.add_argument('--connections', type=int, default=64)
    p.add_argument('--handshakes', type=int, default=3000)
    p.add_argument('--server-cpu', default='0')
    p.add_argument('--client-cpu', default='1')
    p.add_argument('--tags', type=int, default=10000)
    p.add_argument('--layers', type=int, default=500)
    p.add_argument('--disk', help='a folder on a real disk, for the cases that are measured there too; none: leave out')
    p.add_argument('--no-disk-threads', action='store_true', help='Meridian without edge.disk_threads, as nginx is by default')
    p.add_argument('--http2', action='store_true', help='case h: switch HTTP/2 on, and compare')
    p.add_argument('--hold', action='store_true', help='after the cases, wait for a key: to look with a profiler')
    p.add_argument('--out', help='JSON')
    args = p.parse_args()
    args.disk = args.disk or args.build
    args.disk_itself = None
    if args.goals:
        args.cases = goals.CASES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers = [s() for s in (Meridian, Nginx, DockerRegistry) if s.name in args.targets.split(',')]
    if not shutil.which('docker-registry') and any(s.name == 'docker-registry' for s in servers):
        print('docker-registry is not installed: left out')
        servers = [s for s in servers if s.name != 'docker-registry']
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = {}
    etc = tempfile.mkdtemp(prefix='meridian-bench-etc-', dir='/dev/shm')
    os.chmod(etc, 0o711)
    try:
        namespace(servers, etc)
        measure(servers, '/dev/shm', args.cases, results)
        on_disk = [k for k in ON_DISK if k in args.cases]
        if on_disk and args.disk != 'none':
            args.disk_itself = writes.disk(args.disk)
            measure(servers, args.disk, on_disk, results)
    finally:
        shutil.rmtree(etc, ignore_errors=True)
    report(results, [s.name for s in servers])
    if args.goals:
        goals.report(results, args.disk_itself)
    if args.out:
        json.dump(results, open(args.out, 'w'), indent=1)


def measure(servers, place, cases, results):
    """The cases with all that servers store below `place`: in memory, or on a disk."""
    global work
    in_memory = place == '/dev/shm'
    work = tempfile.mkdtemp(prefix='meridian-bench-', dir=place)
    os.chmod(work, 0o711)
    fx = None
    try:
        if in_memory:
            fx = Fixtures(work + '/fixtures')
        for s in servers:
            s.start()
            if in_memory:
                s.seed(fx)
            print(f'{s.name}: {s.rss_kib() / 1024:.0f} MiB RSS, pids {s.pids()}', flush=True)
        for k in (k for k in CASES if k in cases):
            rows = {s.name: [] for s in servers}
            for _ in range(1 if k in ONCE else args.rounds):
                for s in servers:
                    r = CASES[k][1](s, fx)
                    if r:
                        rows[s.name].append(r)
            at = k if in_memory else k + ' on disk'
            results[at] = {n: {f: statistics.median(x[f] for x in v) for f in v[0]} for n, v in rows.items() if v}
            results[at]['load'] = os.getloadavg()[0]
            for n, r in results[at].items():
                if n != 'load':
                    print(at, n, {f: round(x, 3) for f, x in r.items()}, flush=True)
        if args.hold:
            input()
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(work, ignore_errors=True)


main()
