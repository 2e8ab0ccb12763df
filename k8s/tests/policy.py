"""What every manifest here keeps to: each rule gives a text for what breaks it."""
import re

from pods import containers
from render import pod_template

# Directories of the host that each program may have, writable or not.
HOST_PATHS = {
    'rdmad-device-plugin': {'/device-plugins$': True, '^/var/run/cdi$': True, '^/sys/(class|devices|module)$': False,
                            '^/dev/infiniband$': False, '^/run/rdmad$': False},
    'rdmad': {'^/var/lib/rdmad$': True, '^/run/rdmad$': True},
}
DEVICE = re.compile(r'^(rdmad\.dev/hca|rdma/.*)$')


def has_device(container):
    return any(DEVICE.match(name) for name in container.get('resources', {}).get('limits', {}))


def of_container(pod, container):
    security = container.get('securityContext', {})
    if security.get('privileged') is not False:
        yield 'privileged'
    if security.get('allowPrivilegeEscalation') is not False:
        yield 'may gain privileges'
    if security.get('readOnlyRootFilesystem') is not True:
        yield 'may write to its root'
    capabilities = security.get('capabilities', {})
    if capabilities.get('drop') != ['ALL']:
        yield 'keeps capabilities'
    added = capabilities.get('add', [])
    if added and (added != ['IPC_LOCK'] or not has_device(container)):
        yield f'has {added}: IPC_LOCK only, and only with a device'
    resources = container.get('resources', {})
    if not {'cpu', 'memory'} <= set(resources.get('requests', {})) or 'memory' not in resources.get('limits', {}):
        yield 'does not say what it needs'
    if not re.search(r':[^/]+$', container['image']) or container['image'].endswith(':latest'):
        yield f"image {container['image']} has no version"
    if not container.get('command', [''])[0].startswith('/'):
        yield 'has no command: the image has no shell'
    if any(name in container for name in ('envFrom',)):
        yield 'takes its whole environment from somewhere'


def of_pod(document, pod):
    spec = pod['spec']
    if spec.get('automountServiceAccountToken') is not False:
        yield 'has a token'
    if spec.get('enableServiceLinks') is not False:
        yield 'has the services in its environment'
    for name in ('hostPID', 'hostIPC', 'shareProcessNamespace'):
        if spec.get(name):
            yield name
    if spec.get('securityContext', {}).get('seccompProfile') != {'type': 'RuntimeDefault'}:
        yield 'has no seccomp profile'
    host_paths = [volume for volume in spec.get('volumes', []) if 'hostPath' in volume]
    is_root = any(context.get('runAsUser') == 0 for context in
                  [spec.get('securityContext', {})] + [one.get('securityContext', {}) for one in containers(pod)])
    has_hca = any(has_device(container) for container in containers(pod))
    if not is_root and spec.get('securityContext', {}).get('runAsNonRoot') is not True:
        yield 'does not say whether it is root'
    if is_root and not host_paths and not has_hca:
        yield 'is root without need'
    plugin = any(container['name'] == 'rdmad-device-plugin' for container in containers(pod))
    if spec.get('hostNetwork') and not has_hca and not plugin:
        yield "has the host's network without a device"
    for volume in host_paths:
        yield from of_host_path(pod, volume)
    if document['kind'] == 'DaemonSet':
        if spec.get('priorityClassName') not in ('system-node-critical', 'system-cluster-critical'):
            yield 'is not critical'
        if document['spec'].get('updateStrategy', {}).get('type') != 'RollingUpdate':
            yield 'is not updated'
    for container in containers(pod):
        if '/usr/bin/rdmad' in container['command'] and 'serve' in container.get('args', []):
            if spec.get('terminationGracePeriodSeconds', 30) < 60 and container['name'] == 'rdmad':
                yield 'has no time to stop'
            limits = ('--log-retention-bytes=', '--topics-max=', '--partitions-max=')
            if host_paths and not all(any(one.startswith(name) for one in container['args']) for name in limits):
                yield "may fill the node's disk"
            if 'startupProbe' not in container:
                yield f"{container['name']} has no startup probe"
    if document['kind'] in ('DaemonSet', 'StatefulSet'):
        for container in containers(pod):
            for probe in ('startupProbe', 'readinessProbe', 'livenessProbe'):
                if probe not in container:
                    yield f"{container['name']} has no {probe}"


def of_host_path(pod, volume):
    path = volume['hostPath']['path']
    if not volume['hostPath'].get('type', '').startswith('Directory'):
        yield f'{path} may be anything'
    # Read-only does not hold for what is mounted below it.
    if path.rstrip('/') == '/sys':
        yield "has all of the host's /sys"
    for container in containers(pod):
        for mount in container.get('volumeMounts', []):
            if mount['name'] == volume['name']:
                allowed = [writable for pattern, writable in HOST_PATHS.get(container['name'], {}).items()
                           if re.search(pattern, mount['mountPath'])]
                if not allowed or not (allowed[0] or mount.get('readOnly')):
                    yield f"{container['name']} has the host's {path}" + (' writable' if allowed else '')


def mounts_and_volumes(pod):
    names = {volume['name'] for volume in pod['spec'].get('volumes', [])} | {'data'}
    used = {mount['name'] for container in containers(pod) for mount in container.get('volumeMounts', [])}
    if used - names:
        yield f'mounts {used - names}, which is not there'
    if names - used - {'data'}:
        yield f'has {names - used} and does not mount it'


def selected(documents):
    """Services, policies, budgets and monitors select what is there; workloads their own pods."""
    pods = [pod_template(document) for document in documents if pod_template(document)]
    services = [document for document in documents if document['kind'] == 'Service']

    def labels(selector, things):
        return [one for one in things if selector and selector.items() <= one['metadata'].get('labels', {}).items()]
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        spec = document.get('spec', {})
        if document['kind'] == 'Service':
            found = labels(spec['selector'], pods)
            ports = {port['name'] for pod in found for one in containers(pod) for port in one.get('ports', [])}
            if len(found) != 1 or {port['targetPort'] for port in spec['ports']} - ports:
                yield f'{name} selects {len(found)} workloads, with ports {ports}'
        elif document['kind'] in ('NetworkPolicy', 'PodDisruptionBudget'):
            selector = spec.get('podSelector', spec.get('selector'))['matchLabels']
            if len(labels(selector, pods)) != 1:
                yield f'{name} selects {len(labels(selector, pods))} workloads'
        elif document['kind'] == 'ServiceMonitor':
            found = labels(spec['selector']['matchLabels'], services)
            ports = {port['name'] for one in found for port in one['spec']['ports']}
            if len(found) != 1 or {one['port'] for one in spec['endpoints']} - ports:
                yield f'{name} selects {len(found)} services, with ports {ports}'
        elif document['kind'] in ('DaemonSet', 'StatefulSet', 'Deployment'):
            if not labels(spec['selector']['matchLabels'], [spec['template']]):
                yield f'{name} does not select its own pods'


def violations(documents):
    """Everything that is wrong with these manifests."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document['kind'] in ('Role', 'ClusterRole', 'RoleBinding', 'ClusterRoleBinding', 'Secret'):
            yield f'{name}: nothing here needs one'
        if document['kind'] == 'ServiceAccount' and document.get('automountServiceAccountToken') is not False:
            yield f'{name}: has a token'
        pod = pod_template(document)
        if not pod:
            continue
        for what in [*of_pod(document, pod), *mounts_and_volumes(pod)]:
            yield f'{name}: {what}'
        for container in containers(pod):
            for what in of_container(pod, container):
                yield f"{name}: {container['name']}: {what}"
    yield from selected(documents)
