"""Pods from their manifests, without a kubelet: a pod has a network namespace, each of its containers a root of the
image's files, mount and PID namespaces, the user, the capabilities and the volumes that the manifest says."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def containers(pod):
    return pod['spec'].get('initContainers', []) + pod['spec']['containers']


def children(pid):
    """Not of every kernel: /proc/PID/task/PID/children."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/stat') as file:
                if int(file.read().rpartition(')')[2].split()[1]) == pid:
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):     # it has ended since
            pass
    return found


def wait_until(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'after {seconds} s still not: {what}')
        time.sleep(0.02)


class Node:
    """A node's directories, below one of the test's own."""

    def __init__(self, work, image):
        self.work, self.image = work, image
        self.root = os.path.join(work, 'node')
        self.pods = []

    def host_path(self, source):
        """As the kubelet checks and makes it."""
        path = self.root + source['path']
        if source.get('type') == 'DirectoryOrCreate':
            os.makedirs(path, mode=0o755, exist_ok=True)
        if not os.path.isdir(path):
            raise AssertionError(f"{source['path']} is not there")
        return path

    def stop(self):
        for pod in self.pods:
            pod.kill()


class Pod:
    """A pod of `template` on a node; `documents` has its ConfigMaps. `devices` is what a device plugin's answer adds:
    mounts (source, target, read-only) and environment."""

    def __init__(self, node, name, template, documents=(), devices=None, namespace='rdmad-system'):
        self.node, self.name, self.spec, self.namespace = node, name, template['spec'], namespace
        self.documents, self.devices = documents, devices or {'mounts': [], 'environment': {}}
        self.directory = os.path.join(node.work, 'pods', name)
        os.makedirs(self.directory, exist_ok=True)
        self.running = {}
        self.described = 0
        network = [] if self.spec.get('hostNetwork') else ['--net']
        self.pause = subprocess.Popen(['unshare', *network, '--ipc', '--uts', 'sh', '-c',
                                       'ip link set lo up && echo && exec sleep 600'], stdout=subprocess.PIPE)
        self.pause.stdout.readline()
        node.pods.append(self)

    # What the manifest says

    def container(self, name):
        return next(one for one in containers({'spec': self.spec}) if one['name'] == name)

    def volume(self, name):
        """Its directory on the host."""
        volume = next((one for one in self.spec.get('volumes', []) if one['name'] == name), {'claim': {}})
        if 'hostPath' in volume:
            return self.node.host_path(volume['hostPath'])
        path = os.path.join(self.directory, 'volumes', name)
        if not os.path.isdir(path):
            os.makedirs(path)
            group = self.spec.get('securityContext', {}).get('fsGroup')
            if 'emptyDir' in volume:
                os.chmod(path, 0o777)
            if group:
                os.chown(path, 0, group)
                os.chmod(path, os.stat(path).st_mode & 0o777 | 0o2070)
            if 'configMap' in volume:
                data = next(one['data'] for one in self.documents if one['kind'] == 'ConfigMap'
                            and one['metadata']['name'] == volume['configMap']['name'])
                # As the kubelet lays it: one link is exchanged when the map changes.
                os.makedirs(os.path.join(path, '..version'))
                os.symlink('..version', os.path.join(path, '..data'))
                for file, text in data.items():
                    with open(os.path.join(path, '..data', file), 'w') as out:
                        out.write(text)
                    os.symlink(f'..data/{file}', os.path.join(path, file))
        return path

    def environment(self, container):
        fields = {'metadata.name': self.name, 'metadata.namespace': self.namespace}
        own = {one['name']: one['value'] if 'value' in one else fields[one['valueFrom']['fieldRef']['fieldPath']]
               for one in container.get('env', [])}
        return {'PATH': '/usr/bin', **self.devices['environment'], **own}

    def describe(self, container, command):
        environment = self.environment(container)
        security = {**self.spec.get('securityContext', {}), **container.get('securityContext', {})}
        return {
            'command': [re.sub(r'\$\(([A-Z_]+)\)', lambda match: environment[match[1]], word) for word in command],
            'environment': environment,
            'uid': security['runAsUser'], 'gid': security.get('runAsGroup', 0), 'group': security.get('fsGroup'),
            'capabilities': security['capabilities'].get('add', []),
        }

    # What is done with it

    def start(self, name, arguments=None):
        """Starts a container, with other arguments than the manifest's if you like; what it writes is in
        `output(name)` and `log(name)`."""
        container = self.container(name)
        arguments = container.get('args', []) if arguments is None else arguments
        root = os.path.join(self.directory, f'root-{name}')
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(['cp', '-al', self.node.image, root], check=True)
        about = self.describe(container, container['command'] + arguments)
        about['root'] = root
        about['mounts'] = [(self.volume(one['name']), one['mountPath'], one.get('readOnly', False))
                           for one in container.get('volumeMounts', [])] + self.devices['mounts']
        path = self.write(about)
        with open(self.path(name, 'out'), 'ab') as out, open(self.path(name, 'log'), 'ab') as log:
            self.running[name] = subprocess.Popen(
                ['nsenter', f'--net=/proc/{self.pause.pid}/ns/net', 'unshare', '--mount', '--pid', '--fork',
                 '--kill-child', sys.executable, f'{HERE}/container.py', 'run', path],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log)
        wait_until(f'{name} of {self.name} runs', lambda: self.is_over(name) or self.has_begun(name))
        return self

    def has_begun(self, name):
        """The program runs, not what prepares its place."""
        try:
            return any(os.readlink(f'/proc/{pid}/exe').endswith(self.container(name)['command'][0])
                       for pid in children(self.running[name].pid))
        except FileNotFoundError:      # it has ended since
            return False

    def exec(self, name, command, text='', seconds=30):
        """Runs a command in a container: its exit status and output."""
        about = self.describe(self.container(name), command)
        about['process'] = self.process(name)
        done = subprocess.run([sys.executable, f'{HERE}/container.py', 'exec', self.write(about)], input=text,
                              capture_output=True, text=True, timeout=seconds)
        return done.returncode, done.stdout + done.stderr

    def probe(self, name, kind):
        """Whether the probe of the manifest passes."""
        probe = self.container(name)[kind]
        if 'exec' in probe:
            return self.exec(name, probe['exec']['command'], seconds=30)[0] == 0
        port = next(one['containerPort'] for one in self.container(name)['ports']
                    if one['name'] == probe['httpGet']['port'])
        return self.in_network('import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)',
                               f"http://127.0.0.1:{port}{probe['httpGet']['path']}")[0] == 0

    def in_network(self, program, *arguments):
        """Runs Python with the pod's network: exit status and output."""
        done = subprocess.run(['nsenter', f'--net=/proc/{self.pause.pid}/ns/net', sys.executable, '-c', program,
                               *arguments], capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout + done.stderr

    def wait(self, name):
        """Waits for the end of a container: its exit status."""
        wait_until(f'{name} of {self.name} ends', lambda: self.is_over(name))
        return self.running[name].returncode

    def wait_started(self, name):
        def condition():
            if self.is_over(name):
                raise AssertionError(f'{name} of {self.name} ended: {self.log(name)}')
            return self.probe(name, 'startupProbe')
        wait_until(f'{name} of {self.name} is started: {self.log(name)}', condition)

    def terminate(self, name):
        """SIGTERM, as the kubelet sends it; the exit status, and the seconds that it took."""
        begin = time.monotonic()
        os.kill(self.process(name), signal.SIGTERM)
        grace = self.spec.get('terminationGracePeriodSeconds', 30)
        try:
            status = self.running[name].wait(grace)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'{name} of {self.name} runs {grace} s after SIGTERM: {self.log(name)}')
        return status, time.monotonic() - begin

    def kill(self):
        for process in [*self.running.values(), self.pause]:
            process.kill()
            process.wait()

    # What is seen of it

    def process(self, name):
        return children(self.running[name].pid)[0]

    def is_over(self, name):
        return self.running[name].poll() is not None

    def status(self, name, field):
        """A field of its process: Uid, CapEff, …"""
        with open(f'/proc/{self.process(name)}/status') as file:
            return next(line.split()[1] for line in file if line.startswith(field + ':'))

    def files(self, name, directory):
        return sorted(os.listdir(f'/proc/{self.process(name)}/root{directory}'))

    def path(self, name, kind):
        return os.path.join(self.directory, f'{name}.{kind}')

    def output(self, name):
        with open(self.path(name, 'out')) as file:
            return file.read()

    def log(self, name):
        with open(self.path(name, 'log')) as file:
            return file.read()

    def write(self, about):
        self.described += 1
        path = os.path.join(self.directory, f'description-{self.described}.json')
        with open(path, 'w') as file:
            json.dump(about, file)
        return path
