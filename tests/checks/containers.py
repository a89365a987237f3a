# SPDX-License-Identifier: Apache-2.0
"""containers.py [--self-test] ROOT: the Compose file and the Kubernetes manifests of examples/ are of the right form, and agree with the
image that tools/build-image makes, with its entrypoint, and with the unit of the packages. Exit 77, "skipped", without a YAML parser.

Neither docker compose nor kubectl is in Debian in a version that would judge them. So the fields that may be there stand below, with their
types: a misspelt one, which an API server would refuse or drop, fails here."""
import copy, os, pathlib, re, sys

try:
    import yaml
except ImportError:  # Debian's own python3 has it, where another one comes first in PATH
    if sys.executable == '/usr/bin/python3' or not os.path.exists('/usr/bin/python3'):
        print('python3-yaml is not installed: not checked')
        sys.exit(77)
    os.execv('/usr/bin/python3', ['/usr/bin/python3', *sys.argv])

NAME = re.compile(r'[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?')
QUANTITY = re.compile(r'\d+(\.\d+)?(m|Ki|Mi|Gi|Ti)?')
SECONDS = re.compile(r'(\d+)s')

# ---- fields: a dict has exactly these keys or some of them, a list has elements of its one, a type is a type; {str: X} is a map
META = {'name': str, 'namespace': str, 'labels': {str: str}}
SERVICE = {'type': str, 'clusterIP': str, 'loadBalancerIP': str, 'externalTrafficPolicy': str, 'selector': {str: str},
           'ports': [{'name': str, 'protocol': str, 'port': int, 'targetPort': str}]}
TIMES = {'periodSeconds': int, 'timeoutSeconds': int, 'failureThreshold': int, 'initialDelaySeconds': int}
PROBE = {**TIMES, 'exec': {'command': [str]}, 'tcpSocket': {'port': str}}
CONTAINER = {'name': str, 'image': str, 'imagePullPolicy': str, 'envFrom': [{'configMapRef': {'name': str}}], 'args': [str],
             'ports': [{'name': str, 'containerPort': int, 'protocol': str}],
             'securityContext': {'runAsUser': int, 'allowPrivilegeEscalation': bool, 'readOnlyRootFilesystem': bool,
                                 'capabilities': {'drop': [str], 'add': [str]}},
             'startupProbe': PROBE, 'livenessProbe': PROBE, 'readinessProbe': PROBE,
             'resources': {'requests': {str: str}, 'limits': {str: str}}, 'volumeMounts': [{'name': str, 'mountPath': str, 'readOnly': bool}]}
POD = {'terminationGracePeriodSeconds': int, 'automountServiceAccountToken': bool, 'enableServiceLinks': bool,
       'securityContext': {'seccompProfile': {'type': str}}, 'containers': [CONTAINER],
       'volumes': [{'name': str, 'emptyDir': {'medium': str, 'sizeLimit': str}}]}
CLAIM = {'metadata': META, 'spec': {'accessModes': [str], 'storageClassName': str, 'resources': {'requests': {str: str}}}}
KINDS = {'Namespace': ('v1', {}), 'ConfigMap': ('v1', {'data': {str: str}}), 'Service': ('v1', {'spec': SERVICE}),
         'StatefulSet': ('apps/v1', {'spec': {'serviceName': str, 'replicas': int, 'selector': {'matchLabels': {str: str}},
                                              'template': {'metadata': META, 'spec': POD}, 'volumeClaimTemplates': [CLAIM]}})}
COMPOSE = {'services': {str: {'image': str, 'restart': str, 'environment': {str: str}, 'ports': [str], 'volumes': [str], 'read_only': bool,
                              'tmpfs': [str], 'cap_drop': [str], 'cap_add': [str], 'security_opt': [str], 'stop_grace_period': str,
                              'healthcheck': {'test': [str], 'interval': str, 'timeout': str, 'retries': int, 'start_period': str},
                              'logging': {'driver': str, 'options': {str: str}}}},
           'volumes': {str: type(None)}}


def form(value, shape, at):
    """What is not of the shape, as sentences."""
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [f'{at}: expected a list']
        return [s for i, v in enumerate(value) for s in form(v, shape[0], f'{at}[{i}]')]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f'{at}: expected a mapping']
        if list(shape) == [str]:
            return [s for k, v in value.items() for s in form(v, shape[str], f'{at}.{k}')]
        unknown = [f'{at}.{k}: no such field' for k in value if k not in shape]
        return unknown + [s for k, v in value.items() if k in shape for s in form(v, shape[k], f'{at}.{k}')]
    if type(value) is not shape:
        return [f'{at}: expected {shape.__name__}, and it is {value!r}']
    return []


class Facts:
    """What the files must agree with."""

    def __init__(self, root):
        build = (root / 'tools/build-image').read_text()
        entry = (root / 'packaging/image/entrypoint').read_text()
        unit = (root / 'packaging/systemd/meridiand.service').read_text()
        node = (root / 'config/node.c').read_text()
        self.image = re.search(r'^name=(\S+)$', build, re.M)[1] + ':latest'
        self.ports = {(int(n), kind) for n, kind in re.findall(r'--port (\d+)/(tcp|udp)', build)}
        self.volume = re.search(r'--volume (\S+)', build)[1]
        self.env = set(re.findall(r'MERIDIAN_[A-Z_]+', ''.join(line for line in entry.splitlines(True) if line.startswith('#   '))))
        self.caps = {c[len('CAP_'):] for c in re.search(r'^CapabilityBoundingSet=(.+)$', unit, re.M)[1].split()}
        drain = int(re.search(r'\{"drain",.*?\.def = "(\d+)s"', node, re.S)[1])
        self.stop_s = 2 * drain + 13 + 5  # as daemon/supervisor.c counts: edge and worker, and a margin
        self.wait_s = 10  # of meridian for an answer


def env_of(names, facts, at):
    bad = [f'{at}: the entrypoint does not know {n}' for n in names if n not in facts.env]
    return bad + [f'{at}: {n} is missing' for n in ('MERIDIAN_DOMAIN', 'MERIDIAN_REGION', 'MERIDIAN_ADDRESS') if n not in names]


def same(at, got, want):
    return [] if got == want else [f'{at}: {got!r}, and it must be {want!r}']


def compose(doc, facts):
    bad = form(doc, COMPOSE, 'compose')
    if bad:
        return bad
    if list(doc['services']) != ['meridian']:
        return ['compose: one service, meridian']
    s = doc['services']['meridian']
    bad += same('image', s['image'], facts.image) + same('restart', s['restart'], 'unless-stopped')
    bad += env_of(s['environment'], facts, 'environment')
    ports = [re.fullmatch(r'([\d.]+):(\d+):(\d+)/(tcp|udp)', p) for p in s['ports']]
    if not all(ports):
        return bad + ['ports: ADDRESS:PORT:PORT/tcp|udp']
    bad += same('ports', {(int(m[3]), m[4]) for m in ports}, facts.ports)
    bad += same('ports of the host', [m[2] for m in ports], [m[3] for m in ports])
    bad += same('addresses of ports', {m[1] for m in ports}, {s['environment'].get('MERIDIAN_ADDRESS')})
    named = dict(v.split(':') for v in s['volumes'])
    bad += same('volumes', list(named.values()), [facts.volume]) + same('declared volumes', set(doc['volumes']), set(named))
    bad += same('cap_drop', s['cap_drop'], ['ALL']) + same('cap_add', set(s['cap_add']), facts.caps)
    bad += same('read_only', s['read_only'], True) + same('security_opt', s['security_opt'], ['no-new-privileges:true'])
    bad += [] if '/run/meridian' in s['tmpfs'] else ['tmpfs: /run/meridian is written']
    grace, h = SECONDS.fullmatch(s['stop_grace_period']), s['healthcheck']
    if not grace or int(grace[1]) < facts.stop_s:
        bad.append(f'stop_grace_period: a stop may take {facts.stop_s} s')
    return bad + same('healthcheck', h['test'], ['CMD', 'meridian', 'status'])


def by_kind(docs):
    out = {}
    for d in docs:
        out.setdefault(d['kind'], {})[d['metadata']['name']] = d
    return out


def objects(docs):
    """Form of each object alone."""
    bad = []
    for d in docs:
        kind = d.get('kind') if isinstance(d, dict) else None
        if kind not in KINDS:
            bad.append(f'{kind}: no such kind here')
            continue
        version, fields = KINDS[kind]
        bad += form(d, {'apiVersion': str, 'kind': str, 'metadata': META, **fields}, kind) + same(f'{kind}.apiVersion', d.get('apiVersion'), version)
        bad += [f'{kind}.{k}: is missing' for k in ('metadata', *fields) if k not in d]
        if not NAME.fullmatch(d.get('metadata', {}).get('name', '')):
            bad.append(f'{kind}: its name is no DNS label')
    return bad


def container(c, pod, claims, maps, facts):
    bad = same('image', c['image'], facts.image)
    ports = {p['name']: (p['containerPort'], p['protocol'].lower()) for p in c['ports']}
    bad += same('containerPorts', set(ports.values()), facts.ports)
    bad += [f'port {n}: at most 15 letters' for n in ports if len(n) > 15]
    s = c['securityContext']
    bad += same('capabilities.add', set(s['capabilities']['add']), facts.caps) + same('capabilities.drop', s['capabilities']['drop'], ['ALL'])
    bad += same('allowPrivilegeEscalation', s['allowPrivilegeEscalation'], False) + same('readOnlyRootFilesystem', s['readOnlyRootFilesystem'], True)
    for m in c['envFrom']:
        name = m['configMapRef']['name']
        bad += env_of(maps[name]['data'], facts, f'ConfigMap {name}') if name in maps else [f'envFrom: there is no ConfigMap {name}']
    there = {v['name'] for v in pod['volumes']} | claims
    mounts = {m['mountPath']: m['name'] for m in c['volumeMounts']}
    bad += [f'volumeMounts: there is no volume {n}' for n in mounts.values() if n not in there]
    bad += [f'volumes: {n} is mounted nowhere' for n in there if n not in mounts.values()]
    bad += same('the claim is mounted', {p for p, n in mounts.items() if n in claims}, {facts.volume})
    bad += [] if '/run/meridian' in mounts else ['volumeMounts: /run/meridian is written']
    for name in ('startupProbe', 'livenessProbe', 'readinessProbe'):
        p = c[name]
        bad += same(f'{name} is one of exec and tcpSocket', ('exec' in p) + ('tcpSocket' in p), 1)
        bad += [f'{name}: there is no port {p["tcpSocket"]["port"]}'] if 'tcpSocket' in p and p['tcpSocket']['port'] not in ports else []
        bad += [f'{name}: the answer may take {facts.wait_s} s'] if 'exec' in p and p.get('timeoutSeconds', 1) < facts.wait_s else []
    for group in c['resources'].values():
        bad += [f'resources: {q} is no quantity' for q in group.values() if not QUANTITY.fullmatch(q)]
    return bad


def kubernetes(docs, facts):
    bad = objects(docs)
    if bad:
        return bad
    kinds = by_kind(docs)
    if len(kinds.get('StatefulSet', {})) != 1 or len(kinds.get('Namespace', {})) != 1:
        return ['one Namespace and one StatefulSet']
    space, services = next(iter(kinds['Namespace'])), kinds.get('Service', {})
    bad += [f'{d["kind"]} {d["metadata"]["name"]}: is not in namespace {space}' for d in docs
            if d['kind'] != 'Namespace' and d['metadata'].get('namespace') != space]
    spec = next(iter(kinds['StatefulSet'].values()))['spec']
    labels, pod = spec['template']['metadata']['labels'], spec['template']['spec']
    bad += same('replicas', spec['replicas'], 1) + same('selector', spec['selector']['matchLabels'], labels)
    if services.get(spec['serviceName'], {}).get('spec', {}).get('clusterIP') != 'None':
        bad.append(f'serviceName: there is no headless Service {spec["serviceName"]}')
    if pod['terminationGracePeriodSeconds'] < facts.stop_s:
        bad.append(f'terminationGracePeriodSeconds: a stop may take {facts.stop_s} s')
    if len(pod['containers']) != 1:
        return bad + ['one container']
    c = pod['containers'][0]
    claims = {t['metadata']['name'] for t in spec['volumeClaimTemplates']}
    bad += container(c, pod, claims, kinds.get('ConfigMap', {}), facts)
    ports = {p['name']: p['protocol'] for p in c['ports']}
    for name, s in services.items():
        bad += same(f'Service {name} selector', s['spec']['selector'], labels)
        bad += [f'Service {name}: there is no port {p["targetPort"]} of {p["protocol"]}' for p in s['spec']['ports']
                if ports.get(p['targetPort']) != p['protocol']]
    outer = [s['spec'] for s in services.values() if s['spec'].get('type') == 'LoadBalancer']
    if len(outer) != 1:
        return bad + ['one Service of type LoadBalancer']
    bad += same('ports of the balancer', {(p['port'], p['protocol'].lower()) for p in outer[0]['ports']}, facts.ports)
    bad += same('externalTrafficPolicy', outer[0].get('externalTrafficPolicy'), 'Local')
    addresses = {m['data'].get('MERIDIAN_ADDRESS') for m in kinds['ConfigMap'].values()}
    return bad + same('MERIDIAN_ADDRESS is the balancer\'s', addresses, {outer[0].get('loadBalancerIP')})


def self_test(root, facts):
    """Each of these faults is found."""
    good = yaml.safe_load((root / 'examples/compose/compose.yaml').read_text())
    service = lambda d: d['services']['meridian']
    for fault in (lambda s: s.update(image='x'), lambda s: s.update(enviroment={}), lambda s: s['ports'].pop(), lambda s: s['cap_add'].append('SYS_ADMIN'),
                  lambda s: s['environment'].update(MERIDIAN_REGON='x'), lambda s: s['environment'].update(MERIDIAN_ADDRESS='192.0.2.9'),
                  lambda s: s.update(stop_grace_period='10s'), lambda s: s.update(volumes=['other:/var/lib/meridian']), lambda s: s['tmpfs'].pop(0),
                  lambda s: s['ports'].append('192.0.2.1:80:80/tcp'), lambda s: s.update(read_only='true'), lambda s: s['environment'].pop('MERIDIAN_DOMAIN')):
        doc = copy.deepcopy(good)
        fault(service(doc))
        assert compose(doc, facts), f'a bad Compose file passed: {doc}'
    docs = list(yaml.safe_load_all((root / 'examples/kubernetes/meridian.yaml').read_text()))
    pick = lambda ds, kind, name=None: next(d for d in ds if d['kind'] == kind and name in (None, d['metadata']['name']))
    pod = lambda ds: pick(ds, 'StatefulSet')['spec']['template']['spec']
    box = lambda ds: pod(ds)['containers'][0]
    for fault in (lambda ds: box(ds)['securityContext'].update(allowPrivilegeEscalaton=False), lambda ds: pod(ds).update(terminationGracePeriodSeconds=30),
                  lambda ds: box(ds)['volumeMounts'].pop(0), lambda ds: box(ds)['volumeMounts'][0].update(name='lost'), lambda ds: box(ds)['ports'].pop(),
                  lambda ds: pick(ds, 'Service')['spec']['ports'][0].update(targetPort='dns'), lambda ds: pick(ds, 'ConfigMap')['data'].update(X='1'),
                  lambda ds: pick(ds, 'ConfigMap')['data'].update(MERIDIAN_ADDRESS=1), lambda ds: pick(ds, 'StatefulSet')['spec'].update(replicas=2),
                  lambda ds: pick(ds, 'StatefulSet').update(apiVersion='v1'), lambda ds: pick(ds, 'StatefulSet')['spec'].update(serviceName='region'),
                  lambda ds: pick(ds, 'ConfigMap')['metadata'].update(name='other'), lambda ds: ds.remove(pick(ds, 'Namespace')),
                  lambda ds: box(ds)['resources']['limits'].update(memory='4GB'), lambda ds: pick(ds, 'Service')['metadata'].update(namespace='default'),
                  lambda ds: box(ds)['livenessProbe'].update(timeoutSeconds=1), lambda ds: box(ds)['readinessProbe']['tcpSocket'].update(port='web'),
                  lambda ds: pick(ds, 'Service')['spec']['selector'].update({'app.kubernetes.io/name': 'x'}), lambda ds: pick(ds, 'ConfigMap').pop('data')):
        bad = copy.deepcopy(docs)
        fault(bad)
        assert kubernetes(bad, facts), f'bad manifests passed: {bad}'


root = pathlib.Path(sys.argv[-1])
facts = Facts(root)
found = compose(yaml.safe_load((root / 'examples/compose/compose.yaml').read_text()), facts)
found += kubernetes(list(yaml.safe_load_all((root / 'examples/kubernetes/meridian.yaml').read_text())), facts)
if sys.argv[1] == '--self-test' and not found:
    self_test(root, facts)
print('\n'.join(found))
sys.exit(1 if found else 0)
