"""What the manifests come to: kustomize's output, the chart's, and the examples."""
import copy
import itertools
import os
import shutil
import subprocess

import helm_python
import yaml

K8S = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CHART = os.path.join(K8S, 'chart', 'rdmad')
KUSTOMIZATIONS = ['base'] + sorted('overlays/' + name for name in os.listdir(os.path.join(K8S, 'overlays')))
EXAMPLES = sorted(os.listdir(os.path.join(K8S, 'examples')))


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def kustomize(directory):
    kubectl = os.environ.get('KUBECTL') or shutil.which('kubectl')
    done = subprocess.run([kubectl, 'kustomize', os.path.join(K8S, directory)], capture_output=True, text=True)
    if done.returncode or done.stderr:
        raise AssertionError(f'kubectl kustomize {directory}: {done.stderr}')
    return documents(done.stdout)


def example(name):
    with open(os.path.join(K8S, 'examples', name)) as file:
        return documents(file)


def chart(values=None, name='rdmad', namespace='rdmad-system'):
    with helm_python.Chart.load(CHART) as loaded:
        files = loaded.render(values or {}, name=name, namespace=namespace)
    return [document for path in sorted(files) if path.endswith('.yaml') for document in documents(files[path])]


MELLANOX = '{"configList": [{"resourceName": "a", "rdmaHcaMax": 10, "selectors": {"vendors": ["15b3"]}}]}'
# What changes the shape of the manifests, by part: each switch with what it sets. A part's documents depend on no
# other part's switches.
SWITCHES = {
    'plugin': {
        'cdi': {'devicePlugin': {'cdi': {'enabled': True}}},
        'config': {'devicePlugin': {'mellanoxConfig': MELLANOX}, 'nodeDaemon': {'rdma': {'resourceName': 'rdma/a'}}},
        'network': {'devicePlugin': {'hostNetwork': True}},
        'no policies': {'networkPolicy': {'enabled': False}},
        'monitor': {'serviceMonitor': {'enabled': True, 'labels': {'release': 'prometheus'}}},
    },
    'daemon': {
        'no rdma': {'nodeDaemon': {'rdma': {'enabled': False}}},
        'no policies': {'networkPolicy': {'enabled': False}},
    },
    'broker': {
        'tls': {'broker': {'kafka': {'tlsSecretName': 'certificate'}}},
        'users': {'broker': {'kafka': {'usersSecretName': 'users'}}},
        'no policies': {'networkPolicy': {'enabled': False}},
    },
}
PARTS = {'plugin': 'devicePlugin', 'daemon': 'nodeDaemon', 'broker': 'broker'}
# Each on its own: what only fills in.
SINGLES = [
    {'devicePlugin': {'seLinuxOptions': {'type': 'container_device_plugin_t'}}},
    {'nodeDaemon': {'seLinuxOptions': {'type': 'spc_t'}}},
    {'nameOverride': 'other'}, {'fullnameOverride': 'other'}, {'kubeletRootDir': '/data/kubelet'},
    {'image': {'repository': 'registry.example.com:5000/a/rdmad', 'tag': '1.2.3'}, 'imagePullSecrets': [{'name': 'x'}]},
    {'nodeDaemon': {'extraArgs': ['--quota-produce=seat-3=1000000'], 'seats': 8, 'maxConnectionsPerSeat': 4,
                    'maxUnavailable': '10%', 'podLabels': {'a': 'b'}, 'podAnnotations': {'c': 'd'},
                    'nodeSelector': {'e': 'f'}, 'tolerations': [], 'priorityClassName': 'system-cluster-critical'},
     'devicePlugin': {'config': {'version': 'v1', 'resources': [
         {'name': 'rdmad.dev/client', 'seats': 8}, {'name': 'rdmad.dev/hca', 'selectors': [{'vendors': ['15b3']}]}]}}},
    {'nodeDaemon': {'resources': {'requests': {'cpu': 0.5}}}},
    {'broker': {'enabled': True, 'storage': {'className': 'fast', 'size': '1Ti', 'accessMode': 'ReadWriteOnce'},
                'clientLabels': {'team': 'a'}, 'tolerations': [{'key': 'k', 'operator': 'Exists'}],
                'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': [
                    {'matchExpressions': [{'key': 'disk', 'operator': 'In', 'values': ['nvme']}]}]}}}}},
]


def merge(first, second):
    """Both, the second one's where they meet."""
    merged = copy.deepcopy(first)
    for key, value in second.items():
        meets = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if meets else copy.deepcopy(value)
    return merged


def enabled(parts):
    return {value: {'enabled': part in parts} for part, value in PARTS.items()}


def combinations():
    """Every combination of the parts, of each part's switches, and the singles: a name and values each."""
    for choice in itertools.product([False, True], repeat=len(PARTS)):
        parts = list(itertools.compress(PARTS, choice))
        yield f'parts {parts}', enabled(parts)
    for part, switches in SWITCHES.items():
        for choice in itertools.product([False, True], repeat=len(switches)):
            values, names = enabled([part]), list(itertools.compress(switches, choice))
            for name in names:
                values = merge(values, switches[name])
            yield f'{part} {names}', values
    for values in SINGLES:
        yield repr(values)[:70], values


def pod_template(document):
    """The pod of a workload: its metadata and spec; None for anything else."""
    if document['kind'] == 'Pod':
        return document
    return document.get('spec', {}).get('template') if document['kind'] in ('DaemonSet', 'Deployment', 'StatefulSet') \
        else None
