"""The checks of the manifests. Usage: checks.py IMAGE-DIRECTORY, whose files are the image's. Ends with
`N passed, N failed`."""
import atexit
import concurrent.futures
import copy
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import helm_python
import kubernetes_validate
import yaml

import policy
import render
from pods import Node, Pod, containers, wait_until
from render import chart, example, kustomize, pod_template

VERSIONS = ['1.31', '1.34', '1.37']
IMAGE = os.path.abspath(sys.argv[1])
CHECKS, WAITING = [], []


def check(function):
    CHECKS.append(function)
    return function


def waiting_check(function):
    WAITING.append(function)
    return check(function)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def find(documents, kind, name):
    return next(one for one in documents if one['kind'] == kind and one['metadata']['name'] == name)


valid = set()


def validate(document):
    """Against Kubernetes' own schemas; unknown fields are errors. What Kubernetes does not know has one of its own."""
    text = json.dumps(document, sort_keys=True)
    if text in valid:
        return
    if document['kind'] == 'ServiceMonitor':
        expect(set(document) == {'apiVersion', 'kind', 'metadata', 'spec'}
               and document['apiVersion'] == 'monitoring.coreos.com/v1'
               and set(document['spec']) == {'selector', 'endpoints'}
               and all(set(one) == {'port', 'path', 'interval'} for one in document['spec']['endpoints']), document)
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    valid.add(text)


def judge(documents):
    for document in documents:
        validate(document)
    wrong = list(policy.violations(documents))
    expect(not wrong, '\n'.join(wrong))
    names = [(one['kind'], one['metadata'].get('namespace'), one['metadata']['name']) for one in documents]
    expect(len(names) == len(set(names)), f'twice the same: {names}')


# Manifests

@check
def kustomizations_are_valid_and_keep_to_the_policy():
    for directory in render.KUSTOMIZATIONS:
        documents = kustomize(directory)
        judge(documents)
        spaces = {one['metadata'].get('namespace') for one in documents if one['kind'] != 'Namespace'}
        expect(spaces == {find_namespace(documents)}, f'{directory}: namespaces {spaces}')


def find_namespace(documents):
    return next(one['metadata']['name'] for one in documents if one['kind'] == 'Namespace')


@check
def examples_are_valid_and_keep_to_the_policy():
    for name in render.EXAMPLES:
        judge(example(name))


@check
def the_chart_lints():
    report = helm_python.lint(render.CHART)
    expect(not report['errors'] and all('icon' in one['error'] for one in report['messages']), report)


@check
def the_chart_is_valid_in_every_combination_of_its_options():
    count = 0
    for name, values in render.combinations():
        try:
            judge(chart(values))
        except Exception as error:
            raise AssertionError(f'{name}: {error}') from error
        count += 1
    print(f'       {count} combinations, {len(valid)} different documents, each against {", ".join(VERSIONS)}')


@check
def each_option_of_the_chart_does_something():
    def text(values):
        return json.dumps(chart(values), sort_keys=True)
    default = text({})
    for part, switches in render.SWITCHES.items():
        alone = render.enabled([part])
        for name, values in switches.items():
            expect((text(render.merge(alone, values)) != text(alone)) == ((part, name) != ('daemon', 'no policies')),
                   f'{part}: {name} changes nothing')
    for values in render.SINGLES:
        expect(text(values) != default, f'{values} changes nothing')
    relocated = json.dumps(chart({'kubeletRootDir': '/data/kubelet', 'runDirectory': '/var/run/r'}))
    expect('/var/lib/kubelet' not in relocated and '"/var/run/r"' in relocated, 'a path stayed')


def without_names(documents):
    """What pods are, without what a release adds to names and labels."""
    pods = {}
    for document in documents:
        if pod_template(document):
            spec = copy.deepcopy(pod_template(document)['spec'])
            spec['containers'][0]['image'] = spec['containers'][0]['image'].rpartition('/')[2]
            pods[document['kind'], document['metadata']['name']] = spec
    return pods


@check
def chart_and_kustomizations_are_the_same_pods():
    for directory, values in [
            ('base', {}),
            ('overlays/labelled-nodes',
             {'nodeDaemon': {'nodeSelector': {'feature.node.kubernetes.io/rdma.available': 'true'}}}),
            ('overlays/shared-memory', {'nodeDaemon': {'rdma': {'enabled': False}}}),
            ('overlays/statefulset', {'broker': {'enabled': True}, 'nodeDaemon': {'enabled': False},
                                      'devicePlugin': {'enabled': False}})]:
        ours, theirs = without_names(kustomize(directory)), without_names(chart(values))
        for key in ours.keys() | theirs.keys():
            expect(ours.get(key) == theirs.get(key), f'{directory}: {key}:\n{ours.get(key)}\n{theirs.get(key)}')
    config = yaml.safe_load(find(kustomize('base'), 'ConfigMap', 'rdmad-device-plugin')['data']['config.yaml'])
    with helm_python.Chart.load(render.CHART) as loaded:
        expect(config == loaded.values['devicePlugin']['config'], 'the config')


@check
def seats_of_plugin_and_broker_agree():
    for directory in ['base', 'overlays/soft-rdma', 'overlays/shared-memory', 'overlays/cdi', 'overlays/monitoring',
                      'overlays/labelled-nodes']:
        documents = kustomize(directory)
        config = yaml.safe_load(find(documents, 'ConfigMap', 'rdmad-device-plugin')['data']['config.yaml'])
        seats = next(one['seats'] for one in config['resources'] if 'seats' in one)
        daemon, plugin = (find(documents, 'DaemonSet', name)['spec']['template']['spec']['containers'][0]['args']
                          for name in ('rdmad', 'rdmad-device-plugin'))
        expect(f'--seats={seats}' in daemon, f'{directory}: {seats}')
        [place] = [one for one in daemon if one.startswith('--seat-directory=')]
        expect(place in plugin, f'{directory}: {place}')


@check
def full_seats_are_within_the_memory_limit():
    """Rings are charged to the daemon, which fills them; beside them it takes its arenas, windows, groups, transactions."""
    container = find(kustomize('base'), 'DaemonSet', 'rdmad')['spec']['template']['spec']['containers'][0]
    options = dict(one.split('=', 1) for one in container['args'] if '=' in one)
    rings = int(options['--seats']) * int(options['--max-connections-per-seat']) * int(options['--ring-bytes-max'])
    limit = container['resources']['limits']['memory']
    expect(limit.endswith('Gi') and rings + (1 << 30) <= int(limit[:-2]) << 30, f'{rings} bytes of rings, limit {limit}')


# Controls: what must be refused

def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception:
        return True
    return False


@check
def misspelt_fields_are_refused():
    count = 0
    for document in kustomize('overlays/statefulset') + kustomize('base'):
        if document['kind'] == 'ConfigMap':
            continue
        for place in mappings(document):
            wrong = copy.deepcopy(document)
            at(wrong, place)['imagee'] = 'x'
            version = VERSIONS[count % len(VERSIONS)]
            expect(refused(kubernetes_validate.validate, wrong, version, True), f'{version}: {place}.imagee')
            count += 1
    expect(count > 100, count)


# Maps of names that anybody may choose.
FREE = {'labels', 'matchLabels', 'requests', 'limits', 'annotations', 'nodeSelector', 'selector', 'data'}


def mappings(value, place=()):
    """The places of all objects with fixed fields."""
    if isinstance(value, dict):
        if not place or place[-1] not in FREE or 'matchLabels' in value:
            yield place
        for key, inner in value.items():
            yield from mappings(inner, place + (key,))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from mappings(inner, place + (index,))


def at(value, place):
    for key in place:
        value = value[key]
    return value


@check
def misspelt_values_are_refused():
    with open(os.path.join(render.CHART, 'values.yaml')) as file:
        values = yaml.safe_load(file)
    free = {'labels', 'nodeSelector', 'affinity', 'podAnnotations', 'podLabels', 'requests', 'limits', 'clientLabels'}
    places = [place for place in mappings(values) if not place or place[-1] not in free]
    for place in places:
        wrong = copy.deepcopy(values)
        at(wrong, place)['seatz'] = 1
        expect(refused(chart, wrong), f'{place}.seatz')
    for wrong in [{'nodeDaemon': {'seats': '64'}}, {'nodeDaemon': {'seats': 5000}}, {'kubeletRootDir': 'var'},
                  {'broker': {'storage': {'size': 'much'}}}, {'devicePlugin': {'logLevel': 'loud'}},
                  {'devicePlugin': {'config': {'version': 'v2', 'resources': []}}},
                  {'nodeDaemon': {'extraArgs': ['seats']}}, {'nodeDaemon': {'rdma': {'resourceName': 'hca'}}}]:
        expect(refused(chart, wrong), wrong)
    expect(len(places) >= 20, places)


@check
def values_that_cannot_run_are_refused():
    """What would be installed, and then crash or stay Pending: each with its reason."""
    def plugin(*resources):
        return {'devicePlugin': {'config': {'version': 'v1', 'resources': list(resources)}}}
    hca, seats = {'name': 'rdmad.dev/hca', 'selectors': [{'vendors': ['15b3']}]}, {'name': 'a.b/c', 'seats': 64}
    chart(plugin(hca, seats))
    for values, reason in [
            (plugin(hca, {**seats, 'seats': 8}), 'make them the same'), ({'nodeDaemon': {'seats': 8}}, 'make them the same'),
            ({'nodeDaemon': {'maxConnectionsPerSeat': 1000, 'seats': 66}}, 'at most 65000'),
            (plugin(hca, {'name': 'rdmad.dev/x'}), 'resources'), (plugin(hca, {**seats, 'shares': 2}), 'resources'),
            (plugin({**hca, 'name': 'rdmad.dev/other'}), 'offers rdmad.dev/other'), (plugin(seats), 'offers no device'),
            ({'devicePlugin': {'mellanoxConfig': render.MELLANOX}}, 'offers rdma/a'),
            ({'devicePlugin': {'mellanoxConfig': 'x'}}, 'is not JSON'), ({'nodeDaemon': {'rdma': {'count': 2}}}, 'count'),
            ({'broker': {'podLabels': {'app.kubernetes.io/name': 'x'}}}, 'app.kubernetes.io/name')]:
        try:
            chart(values)
        except Exception as error:
            expect(reason in str(error), f'{values}: {error}')
        else:
            raise AssertionError(f'{values} is rendered')


@check
def no_client_labels_let_every_pod_in():
    for labels, selector in [(None, {}), ({'a': 'b', 'rdmad.dev/client': None}, {'matchLabels': {'a': 'b'}})]:
        policy_of = find(chart({'broker': {'enabled': True, 'clientLabels': labels}}), 'NetworkPolicy', 'rdmad-broker')
        [peer] = policy_of['spec']['ingress'][0]['from']
        expect(peer == {'namespaceSelector': {}, 'podSelector': selector}, peer)


@check
def each_rule_of_the_policy_can_fail():
    """One change each to manifests that keep to the policy."""
    def pod_of(documents, name='rdmad'):
        return find(documents, 'DaemonSet', name)['spec']['template']['spec']

    def plugin(documents):
        return pod_of(documents, 'rdmad-device-plugin')

    def security(documents):
        return pod_of(documents)['containers'][0]['securityContext']
    changes = {
        'privileged': lambda them: security(them).update(privileged=True),
        'may gain privileges': lambda them: security(them).pop('allowPrivilegeEscalation'),
        'may write to its root': lambda them: security(them).update(readOnlyRootFilesystem=False),
        'keeps capabilities': lambda them: security(them)['capabilities'].pop('drop'),
        'IPC_LOCK only': lambda them: security(them)['capabilities'].update(add=['SYS_ADMIN']),
        'only with a device': lambda them: plugin(them)['containers'][0]['securityContext']['capabilities'].update(
            add=['IPC_LOCK']),
        'does not say what it needs': lambda them: pod_of(them)['containers'][0]['resources'].pop('requests'),
        'has no version': lambda them: pod_of(them)['containers'][0].update(image='rdmad:latest'),
        'has a token': lambda them: pod_of(them).pop('automountServiceAccountToken'),
        'hostPID': lambda them: pod_of(them).update(hostPID=True),
        'no seccomp profile': lambda them: pod_of(them)['securityContext'].pop('seccompProfile'),
        'whether it is root': lambda them: pod_of(them)['securityContext'].pop('runAsUser'),
        'without a device': lambda them: [pod_of(them)['containers'][0]['resources'][kind].pop('rdmad.dev/hca')
                                          for kind in ('requests', 'limits')],
        'is not critical': lambda them: plugin(them).pop('priorityClassName'),
        "may fill the node's disk": lambda them: pod_of(them)['containers'][0]['args'].remove('--partitions-max=1000'),
        'has no time to stop': lambda them: pod_of(them).update(terminationGracePeriodSeconds=5),
        'no livenessProbe': lambda them: plugin(them)['containers'][0].pop('livenessProbe'),
        "the host's /etc": lambda them: pod_of(them)['volumes'][0]['hostPath'].update(path='/etc') or
        pod_of(them)['containers'][0]['volumeMounts'][0].update(mountPath='/etc'),
        "/sys/class writable": lambda them: plugin(them)['containers'][0]['volumeMounts'][2].pop('readOnly'),
        "all of the host's /sys": lambda them: plugin(them)['volumes'][2]['hostPath'].update(path='/sys'),
        'which is not there': lambda them: pod_of(them)['volumes'].pop(1),
        'selects 0 workloads': lambda them: find(them, 'NetworkPolicy', 'rdmad-device-plugin')['spec']['podSelector'][
            'matchLabels'].update(a='b'),
        'select its own pods': lambda them: find(them, 'DaemonSet', 'rdmad')['spec']['selector']['matchLabels'].update(
            a='b'),
        'nothing here needs one': lambda them: them.append(
            {'kind': 'ClusterRole', 'metadata': {'name': 'x'}, 'rules': []}),
    }
    for what, change in changes.items():
        documents = copy.deepcopy(kustomize_base())
        change(documents)
        wrong = list(policy.violations(documents))
        expect(any(what in one for one in wrong), f'{what}: {wrong}')


@functools.cache
def kustomize_base():
    return kustomize('base')


# The real programs, run as the manifests say

@check
def the_image_has_what_the_manifests_call():
    called = set()
    for documents in [kustomize(one) for one in render.KUSTOMIZATIONS] + [example(one) for one in render.EXAMPLES]:
        for document in documents:
            for container in containers(pod_template(document)) if pod_template(document) else []:
                called.add(container['command'][0])
                called |= {container[probe]['exec']['command'][0] for probe in
                           ('startupProbe', 'readinessProbe', 'livenessProbe') if 'exec' in container.get(probe, {})}
    for program in called:
        expect(os.access(IMAGE + program, os.X_OK), f'{program} is not in the image')
    expect(not os.path.exists(f'{IMAGE}/usr/bin/sh') and len(os.listdir(f'{IMAGE}/usr/bin')) == len(called),
           'the image has other programs')
    for package in ('libc6', 'libibverbs1', 'ibverbs-providers', 'libyaml-0-2'):
        expect(os.path.isfile(f'{IMAGE}/usr/share/doc/{package}/copyright'), f'the licence of {package} is not in the image')


def with_node(function):
    def run():
        # The image's files are linked into each root: on one file system.
        place = tempfile.mkdtemp(prefix='rdmad-k8s.', dir='/dev/shm' if os.path.isdir('/dev/shm') else None)
        node = Node(place, copied_image())
        try:
            function(node)
        finally:
            node.stop()
            shutil.rmtree(place, ignore_errors=True)
    run.__name__ = function.__name__
    return run


@functools.cache
def copied_image():
    place = tempfile.mkdtemp(prefix='rdmad-k8s.', dir='/dev/shm' if os.path.isdir('/dev/shm') else None)
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return shutil.copytree(IMAGE, os.path.join(place, 'image'), symlinks=True)


def seat(node, number):
    """What the device plugin answers for a seat: docs/kubernetes.md."""
    place = node.host_path({'path': f'/run/rdmad/seats/seat-{number}', 'type': 'Directory'})
    return {'mounts': [(place, '/run/rdmad', True)],
            'environment': {'RDMAD_BROKER': 'shm:///run/rdmad/rdmad.sock', 'RDMAD_SEAT': f'seat-{number}'}}


@waiting_check
@with_node
def a_node_daemon_serves_a_pod_that_has_only_its_seat(node):
    documents = kustomize('overlays/shared-memory')
    daemon = Pod(node, 'rdmad', find(documents, 'DaemonSet', 'rdmad')['spec']['template']).start('rdmad')
    daemon.wait_started('rdmad')
    expect(daemon.probe('rdmad', 'readinessProbe') and daemon.probe('rdmad', 'livenessProbe'), 'probes')
    expect([daemon.status('rdmad', field) for field in ('Uid', 'CapEff', 'NoNewPrivs')] == ['0', '0' * 16, '1'],
           'the daemon has something')

    application = example('client.yaml')[0]
    client = Pod(node, 'client', application['spec']['template'], devices=seat(node, 3))
    other = Pod(node, 'other', application['spec']['template'], devices=seat(node, 5))
    daemon_says = ['/usr/bin/rdmad', 'topic', 'create', 'flights', '--broker=shm:///run/rdmad/rdmad.sock']
    expect(daemon.exec('rdmad', daemon_says)[0] == 0, 'no topic')
    client.start('consumer')
    other.start('consumer')
    expect(client.files('consumer', '/run') == ['rdmad'] and client.files('consumer', '/run/rdmad') == ['rdmad.sock'],
           'more than its seat is mounted')
    expect([client.status('consumer', field) for field in ('Uid', 'CapEff')] == ['1000', '0' * 16], 'the client')

    def produce(pod, text):
        status, said = pod.exec('consumer', ['/usr/bin/rdmad', 'produce', 'flights', '--client-id', 'seat-0'], text)
        expect(status == 0, said)

    def consumed():
        return sorted((client.output('consumer') + other.output('consumer')).split())
    produce(client, 'AA1\n')
    produce(other, 'UA2\n')
    wait_until('both records are consumed', lambda: consumed() == ['AA1', 'UA2'])
    log = daemon.log('rdmad')
    expect('seat-3, pid' in log and 'seat-5, pid' in log and 'seat-0, pid' not in log, log)
    status, described = daemon.exec('rdmad', ['/usr/bin/rdmad', 'group', 'describe', 'example', '--json'])
    expect('"clientId":"seat-3"' in described and '"clientId":"seat-5"' in described, described)
    # Outside of the seat there is nothing: no other seat, no daemon, no network.
    for address in ['shm:///run/rdmad/seats/seat-3/rdmad.sock', 'shm:///run/rdmad/seat-3/rdmad.sock']:
        status, said = other.exec('consumer', ['/usr/bin/rdmad', 'topic', 'list', '--broker', address])
        expect(status == 1 and 'nobody listens' in said, said)

    status, took = daemon.terminate('rdmad')
    expect(status == 0 and 'stopped' in daemon.log('rdmad').splitlines()[-1], daemon.log('rdmad'))
    grace = daemon.spec['terminationGracePeriodSeconds']
    print(f'       the daemon stopped in {took:.2f} s of {grace} s')
    expect(node_sockets(node) == [], f'sockets are left: {node_sockets(node)}')
    # An update: the seats go on where they are mounted.
    daemon.start('rdmad')
    daemon.wait_started('rdmad')
    produce(other, 'DL3\n')
    wait_until('the next record is consumed', lambda: consumed() == ['AA1', 'DL3', 'UA2'])
    # A node that loses power leaves sockets behind.
    os.kill(daemon.process('rdmad'), 9)
    daemon.running['rdmad'].wait()
    expect(len(node_sockets(node)) == 65, 'sockets of a killed daemon')
    daemon.start('rdmad')
    daemon.wait_started('rdmad')
    produce(client, 'WN4\n')
    wait_until('the last record is consumed', lambda: consumed() == ['AA1', 'DL3', 'UA2', 'WN4'])
    for pod in (client, other):
        pod.terminate('consumer')
    expect(daemon.terminate('rdmad')[0] == 0, daemon.log('rdmad'))


def node_sockets(node):
    return [name for place, _, names in os.walk(f'{node.root}/run/rdmad') for name in names]


@waiting_check
@with_node
def the_base_asks_for_a_device_and_nothing_else(node):
    """Its options are understood; without an adapter it says so and ends."""
    pod = Pod(node, 'rdmad', find(kustomize('base'), 'DaemonSet', 'rdmad')['spec']['template'])
    pod.start('rdmad')
    expect(pod.wait('rdmad') == 1 and 'cannot listen on rdma://0.0.0.0:9440' in pod.log('rdmad'),
           pod.log('rdmad'))


@waiting_check
def the_base_serves_rdma_with_a_device_and_ipc_lock_alone():
    """In the guest with Soft-RoCE: rxe.py."""
    work = tempfile.mkdtemp(prefix='rdmad-k8s.')
    try:
        templates = {'daemon': find(kustomize_base(), 'DaemonSet', 'rdmad')['spec']['template'],
                     'client': example('hca.yaml')[0]}
        with open(f'{work}/templates.json', 'w') as file:
            json.dump(templates, file)
        here = os.path.dirname(os.path.abspath(__file__))
        done = subprocess.run([f'{render.K8S}/../tools/rxe/run', '--time-limit', '120', '--', sys.executable,
                               f'{here}/rxe.py', IMAGE, f'{work}/templates.json'], capture_output=True, text=True)
        expect(done.returncode == 0, done.stdout + done.stderr)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# Kafka's ApiVersions, version 0: the answer has the correlation id and no error.
ASK_KAFKA = '''
import socket, struct, sys
with socket.create_connection((sys.argv[2], int(sys.argv[1])), timeout=10) as peer:
    peer.sendall(struct.pack(">ihhih", 10, 18, 0, 4711, -1))
    answer = peer.makefile("rb").read(10)
size, correlation, error = struct.unpack(">iih", answer)
assert (correlation, error) == (4711, 0) and size > 100, answer
'''


@waiting_check
@with_node
def a_broker_with_a_volume_serves_kafka_clients(node):
    template = find(kustomize('overlays/statefulset'), 'StatefulSet', 'rdmad-broker')['spec']['template']
    broker = Pod(node, 'rdmad-broker-0', template, namespace='rdmad-broker').start('rdmad')
    broker.wait_started('rdmad')
    expect([broker.status('rdmad', field) for field in ('Uid', 'CapEff', 'CapBnd')] == ['65532', '0' * 16, '0' * 16],
           'it has something')
    status, said = broker.in_network(ASK_KAFKA, '9092', '127.0.0.1')
    expect(status == 0, said)
    expect('address=rdmad-broker-0.rdmad-broker.rdmad-broker.svc:9092' in broker.log('rdmad'), broker.log('rdmad'))
    ask = ['/usr/bin/rdmad', 'topic', 'create', 'kept']
    expect(broker.exec('rdmad', ask)[0] == 0, 'no topic')
    expect(broker.terminate('rdmad')[0] == 0, broker.log('rdmad'))
    broker.start('rdmad')
    broker.wait_started('rdmad')
    status, said = broker.exec('rdmad', ['/usr/bin/rdmad', 'topic', 'list'])
    expect(status == 0 and 'kept' in said, said)
    expect(broker.terminate('rdmad')[0] == 0, broker.log('rdmad'))
    # A cluster with IPv6 only.
    documents = chart({'broker': {'enabled': True}, 'listenAddress': '[::]'})
    broker = Pod(node, 'rdmad-broker-6', find(documents, 'StatefulSet', 'rdmad-broker')['spec']['template']).start('rdmad')
    broker.wait_started('rdmad')
    status, said = broker.in_network(ASK_KAFKA, '9092', '::1')
    expect(status == 0, said)
    expect(broker.terminate('rdmad')[0] == 0, broker.log('rdmad'))
    plugin = find(documents, 'DaemonSet', 'rdmad-device-plugin')['spec']['template']['spec']['containers'][0]
    expect('--metrics-address=[::]:9441' in plugin['args'], plugin['args'])


@waiting_check
@with_node
def a_sidecar_serves_its_application(node):
    pod = Pod(node, 'sidecar', example('sidecar.yaml')[0]['spec']['template']).start('rdmad')
    pod.wait_started('rdmad')
    expect(pod.exec('rdmad', ['/usr/bin/rdmad', 'topic', 'create', 'flights'])[0] == 0, 'no topic')
    pod.start('application')
    status, said = pod.exec('application', ['/usr/bin/rdmad', 'produce', 'flights'], 'B6 5\n')
    expect(status == 0, said)
    wait_until('the record is consumed', lambda: pod.output('application') == 'B6 5\n')
    pod.terminate('application')
    expect(pod.terminate('rdmad')[0] == 0, pod.log('rdmad'))


@waiting_check
@with_node
def the_device_plugin_runs_as_its_manifest_says(node):
    for directory in ['base', 'overlays/cdi', 'overlays/mellanox-config', 'overlays/soft-rdma']:
        documents = kustomize(directory)
        os.makedirs(f'{node.root}/var/lib/kubelet/device-plugins', exist_ok=True)
        for name in ('class/infiniband', 'devices', 'module'):
            os.makedirs(f'{node.root}/sys/{name}', exist_ok=True)
        template = find(documents, 'DaemonSet', 'rdmad-device-plugin')['spec']['template']
        plugin = Pod(node, 'plugin-' + os.path.basename(directory), template, documents).start('rdmad-device-plugin')
        plugin.wait_started('rdmad-device-plugin')
        expect(plugin.probe('rdmad-device-plugin', 'livenessProbe'), 'no health')
        expect(plugin.status('rdmad-device-plugin', 'CapEff') == '0' * 16, 'it has a capability')
        status, said = plugin.in_network(
            'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:9441/metrics").read().decode())')
        expect(status == 0 and '# TYPE ' in said, said)
        check_config = ['/usr/bin/rdmad-device-plugin', 'check', '/etc/rdmad-device-plugin/config.yaml']
        status, said = plugin.exec('rdmad-device-plugin', check_config)
        expect(status == 0, said)
        status, took = plugin.terminate('rdmad-device-plugin')
        expect(status == 0, f'status {status}: {plugin.log("rdmad-device-plugin")}')


@waiting_check
def the_container_file_makes_an_image_that_runs():
    """Its last stages, on files that were built here. The first one needs a Swift image."""
    work = tempfile.mkdtemp(prefix='rdmad-podman.')
    podman = ['podman', '--root', f'{work}/root', '--runroot', f'{work}/run', '--cgroup-manager', 'cgroupfs',
              '--runtime', 'runc']
    # Nothing but the manifests' own restrictions; limits that a test machine may set.
    run = [*podman, 'run', '--rm', '--network', 'none', '--read-only', '--cap-drop', 'ALL', '--security-opt',
           'no-new-privileges', '--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']

    def do(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        expect(done.returncode == 0, f'{command}: {done.stdout}{done.stderr}')
        return done.stdout.strip()
    try:
        os.mkdir(f'{work}/context')
        build = [*podman, 'build', '--build-context', f'build={os.path.dirname(IMAGE)}', '-f',
                 f'{render.K8S}/Containerfile']
        do(*build, '-t', 'rdmad:test', f'{work}/context')
        version = do(*run, 'rdmad:test', '--version')
        expect(version == '0.1.0', version)
        do(*run, '--entrypoint', '/usr/bin/rdmad-device-plugin', 'rdmad:test', '--help')
        expect(do(*podman, 'image', 'inspect', 'rdmad:test', '--format', '{{.Config.User}}') == '65532:65532', 'its user')
        # The one that Mellanox's manifest gets, which has no command.
        do(*build, '--target', 'device-plugin', '-t', 'rdmad:plugin', f'{work}/context')
        expect('SUBCOMMANDS' in do(*run, 'rdmad:plugin', '--help'), 'the plugin is what it starts')
        expect(do(*podman, 'image', 'inspect', 'rdmad:plugin', '--format', '{{.Config.User}}') == '0:0', 'its user')
        with open(f'{render.CHART}/Chart.yaml') as file:
            expect(yaml.safe_load(file)['appVersion'] == version, "the chart's appVersion")
        images = {one['image'] for directory in render.KUSTOMIZATIONS for document in kustomize(directory)
                  if pod_template(document) for one in containers(pod_template(document))}
        images |= {one['image'] for name in render.EXAMPLES for document in example(name)
                   for one in containers(pod_template(document))}
        expect(images == {f'rdmad:{version}'}, images)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(function):
    """Its lines for the report, and whether it passed."""
    begin, name = time.monotonic(), function.__name__.replace('_', ' ')
    try:
        function()
        return f'ok     {name} ({(time.monotonic() - begin) * 1000:.0f} ms)', True
    except Exception as error:
        text = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
        return '\n'.join([f'FAILED {name}'] + ['       | ' + line for line in text.splitlines()[-40:]]), False


def main():
    copied_image()
    outcomes = []
    # Those that mostly wait, beside those that compute.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(run, function) for function in CHECKS if function in WAITING]
        for function in CHECKS:
            if function not in WAITING:
                outcomes.append(run(function))
                print(outcomes[-1][0], flush=True)
        for future in waiting:
            outcomes.append(future.result())
            print(outcomes[-1][0], flush=True)
    passed = sum(outcome for _, outcome in outcomes)
    print(f'{passed} passed, {len(outcomes) - passed} failed')
    sys.exit(passed != len(outcomes))


main()
