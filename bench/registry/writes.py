# SPDX-License-Identifier: Apache-2.0
"""Cases of bench.py that write: tags on one connection and on sixteen, an image of many tiny layers by skopeo, memory
while large blobs come and go; and what the disk below allows, without a server."""
import __main__ as bench
import gzip, hashlib, io, json, os, re, shutil, socket, ssl, statistics, subprocess, tarfile, tempfile, threading, time

CONFIG = {'architecture': 'amd64', 'os': 'linux', 'config': {}}
IMAGE = 'application/vnd.oci.image.'


def digest(b):
    return 'sha256:' + hashlib.sha256(b).hexdigest()


# ---- the disk ----

def disk(folder):
    """files_per_s, log_us by fsync_loop.c, by eight threads and by one; dd_MBps of 256 MiB with fsync at the end."""
    place = tempfile.mkdtemp(prefix='meridian-disk-', dir=folder)
    program = place + '/fsync_loop'
    try:
        bench.sh('cc', '-O2', '-D_GNU_SOURCE', '-pthread', '-o', program, bench.HERE + '/fsync_loop.c')
        many = json.loads(bench.sh(program, place, '200', str(1 << 20), '8'))
        one = json.loads(bench.sh(program, place, '200', str(1 << 20), '1'))
        t = time.monotonic()
        bench.sh('dd', 'if=/dev/zero', f'of={place}/dd', 'bs=1M', 'count=256', 'conv=fsync')
        return {'files_per_s': many['files_per_s'], 'files_per_s_alone': one['files_per_s'],
                'log_us': one['log_us'], 'dd_MBps': 256 * 1.048576 / (time.monotonic() - t)}
    finally:
        shutil.rmtree(place)


def disk_line(d):
    return (f'files of 1 MiB, write, fsync, rename, fsync of the folder: {d["files_per_s"]:.0f}/s by 8 threads, '
            f'{d["files_per_s_alone"]:.0f}/s by one; fdatasync of a log: {d["log_us"]:.0f} µs at the median; '
            f'dd with fsync: {d["dd_MBps"]:.0f} MB/s')


# ---- tags ----

class Talk:
    """One TLS connection that costs its client little: whole requests out, heads of answers in."""

    def __init__(self, s):
        self.s = s
        sock = socket.create_connection((s.addr, s.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = ssl.create_default_context(cafile=s.ca).wrap_socket(sock, server_hostname=s.host)

    def put(self, path, body, kind):
        t = self.s.token()
        auth = f'Authorization: Bearer {t}\r\n' if t else ''
        self.tls.sendall(f'PUT {path} HTTP/1.1\r\nHost: {self.s.host}:{self.s.port}\r\n{auth}Content-Type: {kind}\r\n'
                         f'Content-Length: {len(body)}\r\n\r\n'.encode() + body)
        head = b''
        while b'\r\n\r\n' not in head:
            more = self.tls.recv(65536)
            if not more:
                raise OSError('hung up')
            head += more
        if b' 201 ' not in head[:20] or b'content-length: 0' not in head.lower():
            raise OSError(head[:300].decode('latin-1'))

    def close(self):
        self.tls.close()


def manifest_of_nothing(s):
    config = json.dumps(dict(CONFIG, rootfs={'type': 'layers', 'diff_ids': []})).encode()
    c = s.connection()
    s.push(c, config, digest(config), len(config))
    c.close()
    return json.dumps({'schemaVersion': 2, 'mediaType': bench.MANIFEST, 'layers': [], 'config': {
        'mediaType': IMAGE + 'config.v1+json', 'digest': digest(config), 'size': len(config)}}).encode()


def commits(s):  # writes, commits; None where the server does not say
    if not hasattr(s, 'metrics'):
        return None
    text = s.metrics()
    return [float(re.search(f'^meridian_store_{x}_total (\\S+)', text, re.M)[1]) for x in ('writes', 'commits')]


def tags_put(s, n, connections):
    body, left, lock, took, failed = manifest_of_nothing(s), iter(range(n)), threading.Lock(), [], []
    names, at = os.urandom(4).hex(), f'/v2/{s.repo}/manifests/'

    def one():
        try:
            c = Talk(s)
            while True:
                with lock:
                    i = next(left, None)
                if i is None:
                    break
                t = time.monotonic()
                c.put(f'{at}{names}-{i}', body, bench.MANIFEST)
                took.append(1e3 * (time.monotonic() - t))
            c.close()
        except OSError as e:
            failed.append(e)

    def go():
        ts = [threading.Thread(target=one) for _ in range(connections)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
    s.token()
    os.sched_setaffinity(0, {int(bench.args.client_cpu)})
    before = commits(s)
    _, w, c = bench.timed(s, go)
    after = commits(s)
    os.sched_setaffinity(0, range(os.cpu_count()))
    if failed:
        raise SystemExit(f'{s.name}: PUT of a tag: {failed[0]}')
    out = {'per_s': n / w, 'ms': statistics.median(took), 'best_ms': min(took), 'cpu_us': 1e6 * c / n, 'errors': 0}
    if before:
        out['per_commit'] = (after[0] - before[0]) / (after[1] - before[1])
    return out


def tags_alone(s, fx):
    return tags_put(s, bench.args.tags, 1) if s.writes else None


def tags_together(s, fx):
    return tags_put(s, bench.args.tags, 16) if s.writes else None


# ---- an image of many tiny layers ----

def image_make(path, n):
    os.makedirs(path + '/blobs/sha256')

    def put(b):
        with open(f'{path}/blobs/sha256/{digest(b)[7:]}', 'wb') as f:
            f.write(b)
        return {'digest': digest(b), 'size': len(b)}
    layers, diffs = [], []
    for i in range(n):
        raw, content = io.BytesIO(), os.urandom(16)
        with tarfile.open(fileobj=raw, mode='w') as t:
            info = tarfile.TarInfo(f'file-{i}')
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
        diffs.append(digest(raw.getvalue()))
        layers.append({'mediaType': IMAGE + 'layer.v1.tar+gzip', **put(gzip.compress(raw.getvalue(), mtime=0))})
    config = put(json.dumps(dict(CONFIG, rootfs={'type': 'layers', 'diff_ids': diffs})).encode())
    manifest = put(json.dumps({'schemaVersion': 2, 'mediaType': bench.MANIFEST, 'layers': layers, 'config': {
        'mediaType': IMAGE + 'config.v1+json', **config}}).encode())
    bench.write(path + '/index.json', json.dumps({'schemaVersion': 2, 'manifests': [
        {'mediaType': bench.MANIFEST, **manifest, 'annotations': {'org.opencontainers.image.ref.name': 'x'}}]}))
    bench.write(path + '/oci-layout', '{"imageLayoutVersion":"1.0.0"}')


def skopeo(*a):
    """Runs it; its own processor time in seconds."""
    before = os.times()
    done = subprocess.run(bench.client('skopeo', '--insecure-policy', 'copy', *a), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit('skopeo: ' + done.stderr[-500:])
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def layers(s, fx):
    """skopeo's own files lie in memory. It makes a new TLS connection for each request: five a layer pushed (HEAD, POST,
    PATCH, PUT, HEAD), one a layer pulled."""
    if not s.writes or not shutil.which('skopeo'):
        return None
    n, place = bench.args.layers, tempfile.mkdtemp(prefix='meridian-image-', dir='/dev/shm')
    certs = place + '/certs'
    os.makedirs(certs)
    shutil.copy(s.ca, certs + '/ca.crt')
    image_make(place + '/image', n)
    there = f'docker://{s.host}:{s.port}/bench/layers-{os.urandom(4).hex()}:x'

    def creds(side):
        return [f'--{side}-creds', 'ada:' + s.password] if hasattr(s, 'password') else []
    try:
        own, w, c = bench.timed(s, lambda: skopeo('--dest-cert-dir', certs, *creds('dest'), f'oci:{place}/image:x', there))
        out = {'push_ms': 1e3 * w / n, 'push_cpu_ms': 1e3 * c / n, 'push_skopeo_ms': 1e3 * own / n}
        own, w, c = bench.timed(s, lambda: skopeo('--src-cert-dir', certs, *creds('src'), there, f'oci:{place}/back:x'))
        out.update(pull_ms=1e3 * w / n, pull_cpu_ms=1e3 * c / n, pull_skopeo_ms=1e3 * own / n, errors=0)
        return out
    finally:
        shutil.rmtree(place)


# ---- memory ----

def memory(s, fx, n=1000, big=4):
    """With n idle connections, while `big` blobs of 1 GiB come in and as many go out, in turn with themselves. RSS counts
    what processes share once for each of them, PSS once in all."""
    if not s.writes:
        return None
    context, idle, peak = ssl.create_default_context(cafile=s.ca), [], [0, 0]
    for _ in range(n):
        c = context.wrap_socket(socket.create_connection((s.addr, s.port)), server_hostname=s.host)
        c.sendall(f'GET /v2/ HTTP/1.1\r\nHost: {s.host}\r\n\r\n'.encode())
        c.recv(4096)
        idle.append(c)
    digest_big = fx.digest['big']
    runs = []
    for _ in range(big):
        at = s.base() + s.upload_start(s.connection()) + 'digest=' + digest_big
        runs.append(bench.curl(s, '-T', fx.root + '/big', '-H', 'Content-Type: application/octet-stream', '-H', 'Expect:', at))
        runs.append(bench.curl(s, f'{s.base()}/v2/{s.repo}/blobs/{digest_big}'))
    running = [subprocess.Popen(r, stdout=subprocess.PIPE, text=True) for r in runs]
    while any(p.poll() is None for p in running):
        peak = [max(peak[0], s.rss_kib()), max(peak[1], pss_kib(s))]
        time.sleep(0.2)
    said = [p.stdout.read() for p in running]
    for c in idle:
        c.close()
    return {'rss_mib': peak[0] / 1024, 'pss_mib': peak[1] / 1024, 'errors': sum(x not in ('200', '201') for x in said)}


def pss_kib(s):
    return sum(int(re.search(r'^Pss:\s+(\d+)', open(f'/proc/{p}/smaps_rollup').read(), re.M)[1]) for p in s.pids())


def report(results, names):
    """What does not fit into the table of all cases."""
    below = getattr(bench.args, 'disk_itself', None)
    if below:
        print('\nThe disk alone: ' + disk_line(below))
    for k, rows in results.items():
        for n in (n for n in names if n in rows):
            r = rows[n]
            if k[0] == 'l':
                print(f'{n}, a layer{k[1:]}: pushed in {r["push_ms"]:.1f} ms (server {r["push_cpu_ms"]:.1f}, skopeo '
                      f'{r["push_skopeo_ms"]:.1f} CPU), pulled in {r["pull_ms"]:.2f} ms (server {r["pull_cpu_ms"]:.2f}, '
                      f'skopeo {r["pull_skopeo_ms"]:.2f} CPU)')
            if 'per_commit' in r:
                print(f'{n}, {bench.CASES[k[0]][0]}{k[1:]}: {r["per_commit"]:.1f} writes a commit, {r["ms"]:.2f} ms '
                      f'at the median, {r["best_ms"]:.2f} at best')


CASES = {
    't': ('tags on one connection', tags_alone, ('ms', 'ms median'), ('cpu_us', 'CPU µs')),
    'u': ('tags on 16 connections', tags_together, ('per_s', 'tags/s'), ('cpu_us', 'CPU µs')),
    'l': ('push of an image of tiny layers', layers, ('push_ms', 'ms a layer'), ('push_cpu_ms', 'CPU ms')),
    'n': ('1,000 idle connections and 8 large blobs at once', memory, ('rss_mib', 'MiB RSS in all'), ('pss_mib', 'MiB PSS')),
}
