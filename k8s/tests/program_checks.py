"""The real programs, run as the manifests say."""
import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile

import yaml

import render
from pods import Node, Pod, containers, wait_until
from registry import check, expect, find, waiting_check
from render import chart, example, kustomize, pod_template

IMAGE = os.path.abspath(sys.argv[1])


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
        templates = {'daemon': find(kustomize('base'), 'DaemonSet', 'rdmad')['spec']['template'],
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
