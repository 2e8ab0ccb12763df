"""The manifests are valid, keep to the policy, and what is wrong in them is noticed."""
import copy
import functools
import json
import os

import helm_python
import kubernetes_validate
import yaml

import policy
import render
from pods import containers
from registry import check, expect, find
from render import chart, example, kustomize, pod_template

VERSIONS = ['1.31', '1.34', '1.37']
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
