#!/usr/bin/env python3
"""A small device plugin, only there to be wrong: as it is, it passes the tests that name it as their control; with
`--bug NAME` it has one of the faults that device plugins are known for, and the test for that fault must fail."""
import argparse
import fnmatch
import http.server
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

from api import HEALTHY, UNHEALTHY, VERSION, channel, pb, services

BUGS = {
    'register-before-serve': 'registers before its socket accepts',
    'exit-on-refusal': 'exits when the kubelet refuses',
    'no-backoff': 'asks again at once',
    'impatient': 'gives Register half a second, then asks once more',
    'blind': 'does not notice a new kubelet',
    'no-watchdog': 'does not notice that the stream has ended',
    'late-end': 'closes its old server after it has registered the new one',
    'no-socket-check': 'does not notice that its socket is gone',
    'ids-of-a-run': 'has its process id in the ids',
    'counter-ids': 'counts devices as they come',
    'one-way-health': 'never takes a device back as healthy',
    'no-health': 'does not look at ports',
    'no-coalescing': 'sends a list for every look',
    'one-shot': 'looks for devices at its start only',
    'every-node': 'gives every device to everybody',
    'random-preference': 'prefers by chance',
    'no-topology': 'says nothing of NUMA nodes',
    'negative-numa': 'says NUMA node -1',
    'allocate-anything': 'allocates what does not exist',
    'late-cdi': 'writes the CDI spec a second after the list',
    'torn-cdi': 'writes the CDI spec in place',
    'deaf': 'takes no notice of SIGTERM for 5 seconds',
    'leaves-socket': 'leaves its socket behind',
    'always-well': 'says that it is well without a stream',
    'fixed-root': 'looks for the kubelet where it is on most nodes',
    'no-reload': 'reads its config once',
    'fat': 'takes 64 MiB',
    'busy': 'never sleeps',
}


class Plugin(services.DevicePluginServicer):
    def __init__(self, options):
        self.options, self.bug = options, options.bug
        self.changed = threading.Condition()
        self.streams, self.generation, self.stopping = 0, 0, False
        self.sick, self.order, self.first_look = set(), {}, None
        self.read_config()
        root = '/nonexistent' if self.bug == 'fixed-root' else options.kubelet_root
        self.directory = os.path.join(root, 'device-plugins')
        self.endpoint = 'rdmad-control.sock'
        self.socket = os.path.join(self.directory, self.endpoint)
        self.kubelet = os.path.join(self.directory, 'kubelet.sock')
        self.server, self.inode, self.kubelet_inode = None, None, None
        self.ballast = bytearray(os.urandom(1 << 20) * 64) if self.bug == 'fat' else b''

    # What there is

    def read_config(self):
        with open(self.options.config) as file:
            self.resource = json.load(file)['resources'][0]
        self.config_time = os.stat(self.options.config).st_mtime_ns

    def read(self, *path):
        with open(os.path.join(self.options.sysfs_root, *path)) as file:
            return file.read().strip()

    def look(self):
        """{id: (HCA, uverbs, healthy, NUMA node)}"""
        found = {}
        verbs = {}
        for name in os.listdir(os.path.join(self.options.sysfs_root, 'class/infiniband_verbs')):
            if not name.startswith('uverbs'):
                continue
            verbs[self.read('class/infiniband_verbs', name, 'ibdev')] = name
        for name in sorted(os.listdir(os.path.join(self.options.sysfs_root, 'class/infiniband'))):
            globs = [g for s in self.resource['selectors'] for g in s.get('rdmaDevices', ['*'])]
            if name not in verbs or not any(fnmatch.fnmatch(name, g) for g in globs):
                continue
            base = os.path.join(self.options.sysfs_root, 'class/infiniband', name)
            device, numa = os.path.join(base, 'device'), -1
            stable = os.path.basename(os.path.realpath(device)) if os.path.exists(device) else name
            if os.path.exists(device):
                numa = int(self.read(device, 'numa_node'))
            if self.bug == 'counter-ids':
                stable = f'hca{self.order.setdefault(name, len(self.order))}'
            if self.bug == 'ids-of-a-run':
                stable += f'-{os.getpid()}'
            states = [self.read(base, 'ports', p, 'state') for p in os.listdir(os.path.join(base, 'ports'))]
            well = any('ACTIVE' in s for s in states) or self.bug == 'no-health'
            if self.bug == 'one-way-health':
                self.sick |= set() if well else {name}
                well = name not in self.sick
            for k in range(self.resource.get('shares', 1)):
                found[f'{stable}-{k}'] = (name, verbs[name], well, numa)
        if self.bug == 'one-shot':
            self.first_look = self.first_look or found
            return self.first_look
        return found

    def devices(self):
        try:
            return self.look()
        except (FileNotFoundError, NotADirectoryError):
            time.sleep(0.05)        # something is being taken away just now
            return self.look()

    # The service

    def GetDevicePluginOptions(self, request, context):
        return pb.DevicePluginOptions(get_preferred_allocation_available=True)

    def ListAndWatch(self, request, context):
        generation, last = self.generation, None
        with self.changed:
            self.streams += 1
        try:
            while context.is_active() and generation == self.generation:
                now = self.devices()
                if now != last or self.bug == 'no-coalescing':
                    if self.bug != 'late-cdi':
                        self.write_cdi(now)
                    message = pb.ListAndWatchResponse()
                    for name, (_, _, well, numa) in now.items():
                        device = message.devices.add(id=name, health=HEALTHY if well else UNHEALTHY)
                        if self.bug != 'no-topology' and (numa >= 0 or self.bug == 'negative-numa'):
                            device.topology.nodes.add(id=numa)
                    yield message
                    if self.bug == 'late-cdi':
                        threading.Timer(1, self.write_cdi, [now]).start()
                last = now
                for _ in range(1 if self.bug == 'no-coalescing' else 20):
                    if context.is_active() and generation == self.generation:
                        time.sleep(0.01)
        finally:
            with self.changed:
                self.streams -= 1
                self.changed.notify_all()

    def GetPreferredAllocation(self, request, context):
        answer = pb.PreferredAllocationResponse()
        for container in request.container_requests:
            ids = [i for i in container.available_device_ids if i not in container.must_include_device_ids]
            if self.bug == 'random-preference':
                random.shuffle(ids)
            else:
                ids.sort(key=lambda i: (i.rsplit('-', 1)[0], int(i.rsplit('-', 1)[1])))
            answer.container_responses.add(
                device_ids=[*container.must_include_device_ids, *ids][:container.allocation_size])
        return answer

    def Allocate(self, request, context):
        devices, answer = self.devices(), pb.AllocateResponse()
        for container in request.container_requests:
            for name in container.device_ids:
                if self.bug == 'allocate-anything':
                    continue
                if name not in devices:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, f'{name}: there is no such device')
                if not devices[name][2]:
                    context.abort(grpc.StatusCode.FAILED_PRECONDITION, f'{name} is not healthy')
            chosen = [devices[i] for i in container.device_ids if i in devices]
            if self.bug == 'every-node':
                chosen = list(devices.values())
            response = answer.container_responses.add(
                envs={'RDMAD_DEVICES': ','.join(sorted({c[0] for c in chosen}))})
            if self.options.cdi == 'on':
                for name in sorted({c[0] for c in chosen}):
                    response.cdi_devices.add(name=f'{self.resource["name"]}={name}')
                continue
            for node in [*sorted({c[1] for c in chosen}), 'rdma_cm']:
                response.devices.add(container_path=f'/dev/infiniband/{node}', permissions='rw',
                                     host_path=os.path.join(self.options.dev_root, 'infiniband', node))
        return answer

    def PreStartContainer(self, request, context):
        return pb.PreStartContainerResponse()

    def write_cdi(self, devices):
        if self.options.cdi != 'on':
            return
        spec = {'cdiVersion': '0.5.0', 'kind': self.resource['name'], 'devices': [
            {'name': hca, 'containerEdits': {'deviceNodes': [
                {'path': f'/dev/infiniband/{node}',
                 'hostPath': os.path.join(self.options.dev_root, 'infiniband', node)}
                for node in (verbs, 'rdma_cm')]}}
            for hca, verbs in sorted({(d[0], d[1]) for d in devices.values()})]}
        path = os.path.join(self.options.cdi_dir, 'rdmad.dev-hca.json')
        if self.bug == 'torn-cdi':
            with open(path, 'w') as file:
                for character in json.dumps(spec):
                    file.write(character)
                    file.flush()
            return
        with open(path + '.tmp', 'w') as file:
            json.dump(spec, file)
        os.rename(path + '.tmp', path)

    # Registration

    def serve(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        services.add_DevicePluginServicer_to_server(self, self.server)
        if os.path.lexists(self.socket):
            os.unlink(self.socket)
        self.server.add_insecure_port('unix:' + self.socket)
        self.server.start()
        self.inode = os.stat(self.socket).st_ino

    def close(self, server):
        with self.changed:
            self.generation += 1
            self.changed.wait_for(lambda: self.streams == 0, 1)
        server.stop(0).wait()

    def register(self):
        """Serves anew and registers: True when the kubelet has taken it."""
        old, begin = self.server, self.bug == 'register-before-serve'
        if old is not None and self.bug != 'late-end':
            self.close(old)
        try:
            self.kubelet_inode = os.stat(self.kubelet).st_ino
            if begin:
                threading.Timer(0.7, self.serve).start()
            else:
                self.serve()
            with channel(self.kubelet) as connection:
                services.RegistrationStub(connection).Register(pb.RegisterRequest(
                    version=VERSION, endpoint=self.endpoint, resource_name=self.resource['name'],
                    options=pb.DevicePluginOptions(get_preferred_allocation_available=True)),
                    timeout=0.5 if self.bug == 'impatient' else 30)
            if old is not None and self.bug == 'late-end':
                self.close_late(old)
            return self.socket_is_mine()
        except (grpc.RpcError, OSError) as error:
            print(f'not registered: {error!r}', file=sys.stderr, flush=True)
            if self.bug == 'exit-on-refusal':
                os._exit(1)
            return False

    def close_late(self, old):
        time.sleep(0.3)
        old.stop(0).wait()

    def socket_is_mine(self):
        if self.bug in ('blind', 'no-socket-check'):
            return True
        try:
            return os.stat(self.socket).st_ino == self.inode
        except OSError:
            return False

    def kubelet_is_known(self):
        if self.bug in ('blind', 'no-socket-check'):
            return True
        try:
            return os.stat(self.kubelet).st_ino == self.kubelet_inode
        except OSError:
            return True

    def run(self):
        backoff = 0.2
        while not self.stopping:
            if not os.path.exists(self.kubelet):
                time.sleep(0.02)
                continue
            if not self.register():
                time.sleep(0 if self.bug == 'no-backoff' else backoff * random.uniform(0.8, 1.2))
                backoff = min(backoff * 2, 30)
                continue
            backoff, quiet = 0.2, 0
            while not self.stopping and self.socket_is_mine() and self.kubelet_is_known() and quiet < 100:
                time.sleep(0 if self.bug == 'busy' else 0.01)
                watched = self.streams > 0 or self.bug in ('no-watchdog', 'blind', 'no-socket-check')
                quiet = 0 if watched else quiet + 1
                if self.bug != 'no-reload' and os.stat(self.options.config).st_mtime_ns != self.config_time:
                    self.read_config()

    def stop(self, *_):
        if self.bug == 'deaf':
            time.sleep(5)
        self.stopping = True
        if self.server is not None:
            self.close(self.server)
        if self.bug == 'leaves-socket':
            with open(self.socket, 'w'):
                pass
        elif os.path.lexists(self.socket):
            os.unlink(self.socket)
        os._exit(0)

    def serve_health(self):
        plugin = self

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                try:
                    young = time.time() - os.stat(plugin.kubelet).st_mtime < 1
                except FileNotFoundError:
                    young = True
                well = plugin.streams > 0 or young or plugin.bug == 'always-well'
                self.send_response(200 if well else 503)
                self.end_headers()

            def log_message(self, *_):
                pass

        host, port = self.options.metrics_address.rsplit(':', 1)
        server = http.server.ThreadingHTTPServer((host, int(port)), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('command', choices=['run'])
    for option in ('config', 'kubelet-root', 'sysfs-root', 'dev-root', 'cdi', 'cdi-dir', 'seat-directory',
                   'metrics-address', 'poll-interval', 'unhealthy-after', 'log-level', 'log-format'):
        parser.add_argument('--' + option)
    parser.add_argument('--bug', choices=sorted(BUGS))
    plugin = Plugin(parser.parse_args())
    signal.signal(signal.SIGTERM, plugin.stop)
    signal.signal(signal.SIGINT, plugin.stop)
    plugin.serve_health()
    plugin.run()


if __name__ == '__main__':
    main()
