"""What a case has: a node of its own, a kubelet, and the plugin under test in a process."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from fake_node import FakeNode
from peer import Kubelet

HERE = os.path.dirname(os.path.abspath(__file__))
HCA = 'rdmad.dev/hca'
CASES = []


def case(row, controls=(), honest=True, alone=False, shown_by=None):
    """A test of a row of the acceptance list (0: of none). Each control is a fault of control_plugin.py that must make
    it fail; without one that plugin must pass, unless `honest` is False. With `shown_by` it is a test of the peer, and
    that fault shows what it does."""
    def declare(function):
        CASES.append({'name': f'row_{row:02d}_{function.__name__}', 'run': function, 'controls': controls,
                      'honest': bool(controls) and honest, 'alone': alone, 'shown_by': shown_by})
        return function
    return declare


class Process:
    def __init__(self, command, log):
        self.log = log
        self.started = time.monotonic()
        with open(log, 'ab') as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def text(self):
        with open(self.log, errors='replace') as file:
            return file.read()

    def end(self, by=signal.SIGKILL, seconds=20):
        """Ends it: its status, and how long that took."""
        began = time.monotonic()
        if self.alive():
            self.process.send_signal(by)
        return self.process.wait(seconds), time.monotonic() - began

    def resident_bytes(self, kind='VmRSS'):
        with open(f'/proc/{self.pid}/status') as file:
            return int(re.search(rf'{kind}:\s+(\d+) kB', file.read()).group(1)) * 1024

    def cpu_seconds(self):
        with open(f'/proc/{self.pid}/stat') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Bench:
    def __init__(self, directory, command, control):
        self.directory, self.command, self.control = directory, command, control
        self.node = FakeNode(os.path.join(directory, 'node'))
        self.root = os.path.join(directory, 'kubelet')
        self.cdi = os.path.join(directory, 'cdi')
        self.seats = os.path.join(directory, 'seats')
        self.config_file = os.path.join(directory, 'config.yaml')
        self.plugin, self.kubelets, self.listeners = None, [], {}
        for made in (self.root, self.cdi, self.seats, os.path.join(self.root, 'device-plugins')):
            os.makedirs(made)
        self.choose_metrics_port()

    def choose_metrics_port(self):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            self.metrics = f'127.0.0.1:{probe.getsockname()[1]}'

    def close(self):
        if self.plugin is not None:
            self.plugin.end()
        for kubelet in self.kubelets:
            kubelet.stop()

    # The kubelet

    def kubelet(self, **options):
        kubelet = Kubelet(self.root, **options)
        self.kubelets.append(kubelet)
        return kubelet

    # The node

    def two_hcas(self):
        """Two NICs on two NUMA nodes, a port and a netdev each."""
        self.node.add_mellanox('mlx5_0', '0000:3b:00.0', 'ens1', numa=0, root_port='0000:3a:00.0')
        self.node.add_mellanox('mlx5_1', '0000:af:00.0', 'ens2', numa=1, root_port='0000:ae:00.0')

    def make_seat(self, number):
        """As the node's rdmad does: a directory for each seat, a socket in it."""
        directory = os.path.join(self.seats, f'seat-{number}')
        os.makedirs(directory, exist_ok=True)
        listener = self.listeners[number] = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(directory, 'rdmad.sock'))
        listener.listen()

    # The plugin

    def write_config(self, *resources, text=None):
        """In one step, as a ConfigMap's volume changes."""
        if text is None:
            text = json.dumps({'version': 'v1', 'resources': resources or [self.resource()]})
        with open(self.config_file + '.new', 'w') as file:
            file.write(text)
        os.replace(self.config_file + '.new', self.config_file)

    @staticmethod
    def resource(name=HCA, shares=4, selectors=({'rdmaDevices': ['*']},), **more):
        return {'name': name, 'shares': shares, 'selectors': list(selectors), **more}

    def start(self, *resources, config=None, cdi='off', arguments=(), prefix=(), **options):
        """Starts the plugin with these resources (or an existing config file)."""
        if config is None:
            self.write_config(*resources)
        options = {'config': config or self.config_file, 'kubelet_root': self.root, 'sysfs_root': self.node.sys,
                   'dev_root': self.node.dev, 'cdi': cdi, 'cdi_dir': self.cdi, 'seat_directory': self.seats,
                   'metrics_address': self.metrics, 'poll_interval': '0.2', 'log_level': 'debug', **options}
        command = [*prefix, *self.program(), 'run']
        for option, value in options.items():
            command += ['--' + option.replace('_', '-'), value]
        if self.control:
            command += ['--bug', self.control] if self.control != 'none' else []
        self.plugin = Process([*command, *arguments], os.path.join(self.directory, 'plugin.log'))
        return self.plugin

    def program(self):
        return [sys.executable, os.path.join(HERE, 'control_plugin.py')] if self.control else [self.command]

    def ask(self, *arguments, seconds=20):
        """Runs the plugin's program to its end: status, what it printed, what it complained."""
        done = subprocess.run([*self.program(), *arguments], capture_output=True, text=True, timeout=seconds,
                              check=False)
        return done.returncode, done.stdout, done.stderr

    def get(self, path):
        """An HTTP answer of the plugin: (status, text); status 0 when nobody listens."""
        try:
            with urllib.request.urlopen(f'http://{self.metrics}{path}', timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ''

    def own_sockets(self):
        directory = os.path.join(self.root, 'device-plugins')
        return sorted(n for n in os.listdir(directory) if n.endswith('.sock') and n != 'kubelet.sock')


def until(condition, seconds, what):
    """Waits for what no event tells of."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f'not within {seconds} s: {what}'
        time.sleep(0.02)


def nodes(answer):
    """The names of the device nodes in an answer to Allocate."""
    return sorted(os.path.basename(device.container_path) for device in answer.devices)


def uverbs(answer):
    return [name for name in nodes(answer) if name.startswith('uverbs')]
