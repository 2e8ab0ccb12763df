"""A kubelet's device manager as a peer for tests: it does what the real one is documented and was measured to do, its
traps included. Two styles: '1.36' dials back inside Register and asks the plugin for its options; '1.20' answers
Register at once, dials afterwards, takes the options from the request, and says the socket's path as :authority."""
import json
import os
import re
import stat
import threading
import time
from concurrent import futures

import grpc

from api import HEALTHY, VERSION, channel, pb, services

DIAL_SECONDS = 10
CHECKPOINT = 'kubelet_internal_checkpoint'
RESOURCE_NAME = re.compile(r'[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?')


class AdmissionError(Exception):
    """What fails a pod with UnexpectedAdmissionError."""


class Endpoint:
    """A registered plugin: what the kubelet calls a client and an endpoint."""

    def __init__(self, resource, path, authority):
        self.resource, self.path = resource, path
        self.channel = channel(path, authority)
        self.plugin = services.DevicePluginStub(self.channel)
        self.options = None
        self.stream = None
        self.stopped_at = None

    def close(self):
        if self.stopped_at is None:
            self.stopped_at = time.monotonic()
        if self.stream is not None:
            self.stream.cancel()
        self.channel.close()


class Kubelet(services.RegistrationServicer):
    """One node's kubelet, started and stopped any number of times in one directory."""

    def __init__(self, root, style='1.36', grace_seconds=300.0):
        self.directory = os.path.join(root, 'device-plugins')
        self.socket = os.path.join(self.directory, 'kubelet.sock')
        self.style, self.grace_seconds = style, grace_seconds
        self.changed = threading.Condition(threading.RLock())
        self.server = None
        # What happened, oldest first: (time, kind, resource, detail).
        self.events = []
        # Called with the request inside Register, before anything else: refuses (by an exception), sleeps, wipes.
        self.ever_listed = {}       # ids by resource, over all lists
        self.on_register = lambda request: None
        self.on_message = lambda resource, devices: None
        self.pods = {}
        self._forget()

    def _forget(self):
        self.clients = {}       # by resource: the one that is looked up by name when any stream of that name ends
        self.endpoints = {}
        self.devices = {}       # by resource: {id: pb.Device}, as of the last message
        self.allocatable_ids = {}
        self.open_streams = {}  # by resource: how many streams are open now

    # Life

    def start(self):
        """What is in the directory goes, but for directories and the checkpoint; then it listens."""
        os.makedirs(self.directory, exist_ok=True)
        self._read_checkpoint()
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            try:
                if name != CHECKPOINT and not stat.S_ISDIR(os.lstat(path).st_mode):
                    os.unlink(path)
            except FileNotFoundError:
                pass            # a plugin has removed its own
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        services.add_RegistrationServicer_to_server(self, self.server)
        if self.server.add_insecure_port('unix:' + self.socket) == 0:
            raise OSError(f'cannot listen at {self.socket}')
        self.server.start()
        self._note('start', '', '')
        return self

    def stop(self, leave_socket=False):
        """The process ends: all its connections with it. A killed one leaves its socket behind."""
        with self.changed:
            endpoints, server = list(self.endpoints.values()) + list(self.clients.values()), self.server
            self.server = None
            self._forget()
        if server is not None:
            server.stop(0).wait()
        for endpoint in endpoints:
            endpoint.close()
        if os.path.lexists(self.socket):
            os.unlink(self.socket)
        if leave_socket:
            import socket
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(self.socket)
            stale.close()
        self._note('stop', '', '')

    def restart(self, leave_socket=False):
        self.stop(leave_socket)
        self.start()

    # Registration

    def Register(self, request, context):
        name = request.resource_name
        with self.changed:
            overlap = self.open_streams.get(name, 0)
        self._note('register', name, {'endpoint': request.endpoint, 'overlap': overlap, 'options': request.options})
        generation = self.server
        try:
            self.on_register(request)
            if request.version != VERSION:
                raise ValueError(f'requested API version {request.version!r} is not supported by kubelet')
            if not RESOURCE_NAME.fullmatch(name) or name.split('/')[0].endswith('kubernetes.io'):
                raise ValueError(f'the ResourceName {name!r} is invalid')
            path = os.path.join(self.directory, request.endpoint)
            if self.style == '1.20':
                threading.Thread(target=self._add_later, args=(generation, request, path), daemon=True).start()
            else:
                self._connect(generation, name, path)
        except Exception as error:
            self._note('refused', name, str(error))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return pb.Empty()

    def _dial(self, endpoint):
        began = time.monotonic()
        try:
            grpc.channel_ready_future(endpoint.channel).result(timeout=DIAL_SECONDS)
        except grpc.FutureTimeoutError:
            raise ValueError(f'failed to dial device plugin at {endpoint.path}: context deadline exceeded') from None
        self._note('dialled', endpoint.resource, time.monotonic() - began)

    def _connect(self, generation, name, path):
        endpoint = Endpoint(name, path, 'localhost')
        with self.changed:
            self.clients[name] = endpoint
        try:
            self._dial(endpoint)
            endpoint.options = endpoint.plugin.GetDevicePluginOptions(pb.Empty(), timeout=DIAL_SECONDS)
        except Exception:
            with self.changed:
                self.clients.pop(name, None)
            endpoint.close()
            raise
        self._run(generation, endpoint)

    def _add_later(self, generation, request, path):
        endpoint = Endpoint(request.resource_name, path, path)
        try:
            self._dial(endpoint)
        except ValueError as error:
            self._note('lost', request.resource_name, str(error))
            return
        endpoint.options = request.options
        self._run(generation, endpoint)

    def _run(self, generation, endpoint):
        name = endpoint.resource
        with self.changed:
            if self.server is not generation:
                endpoint.close()
                return
            self.endpoints[name] = endpoint
            self.open_streams[name] = self.open_streams.get(name, 0) + 1
            endpoint.stream = endpoint.plugin.ListAndWatch(pb.Empty())
        self._note('stream', name, endpoint.path)
        threading.Thread(target=self._listen, args=(generation, endpoint), daemon=True).start()

    def _listen(self, generation, endpoint):
        name = endpoint.resource
        try:
            for message in endpoint.stream:
                self._received(generation, endpoint, message)
        except grpc.RpcError as error:
            reason = f'{error.code().name}: {error.details()}'
        else:
            reason = 'the plugin ended it'
        with self.changed:
            if self.server is not generation:
                return
            self.open_streams[name] -= 1
        self._note('end', name, reason)
        if self.style == '1.20':
            endpoint.close()
            with self.changed:
                if self.endpoints.get(name) is endpoint:
                    self.allocatable_ids[name] = set()
        else:
            # The trap: whoever is registered by that name now loses its connection, be it this one or not.
            with self.changed:
                registered = self.clients.pop(name, None)
            if registered is not None:
                registered.close()
                with self.changed:
                    self.allocatable_ids[name] = set()
        self._note('disconnected', name, reason)

    def _received(self, generation, endpoint, message):
        devices = {device.id: device for device in message.devices}
        with self.changed:
            if self.server is not generation or endpoint.stopped_at is not None:
                return
            self.devices[endpoint.resource] = devices
            self.ever_listed.setdefault(endpoint.resource, set()).update(devices)
            self.allocatable_ids[endpoint.resource] = {i for i, d in devices.items() if d.health == HEALTHY}
            self._write_checkpoint()
        self.on_message(endpoint.resource, devices)
        self._note('message', endpoint.resource, {'ids': len(message.devices), 'bytes': message.ByteSize(),
                                                  'duplicates': len(message.devices) - len(devices)})

    # What the node has

    def count(self, resource):
        """(capacity, allocatable) as the node's status says them; (0, 0) for what is not there."""
        with self.changed:
            endpoint = self.endpoints.get(resource)
            if endpoint is None:
                return 0, 0
            if endpoint.stopped_at is not None and time.monotonic() - endpoint.stopped_at > self.grace_seconds:
                for table in (self.endpoints, self.devices, self.allocatable_ids):
                    table.pop(resource, None)
                return 0, 0
            return len(self.devices.get(resource, {})), len(self.allocatable_ids.get(resource, ()))

    def ids(self, resource):
        with self.changed:
            return sorted(self.devices.get(resource, {}))

    def healthy(self, resource):
        with self.changed:
            return sorted(self.allocatable_ids.get(resource, ()))

    # Admission

    def allocate(self, resource, size=1, pod=None, numa=None):
        """Admits a container that asks for so many: the ids that it has, and the plugin's answer."""
        with self.changed:
            endpoint = self.endpoints.get(resource)
            if endpoint is None or endpoint.stopped_at is not None:
                raise AdmissionError(f'{resource} is not registered')
            used = {i for p in self.pods.values() if p['resource'] == resource for i in p['ids']}
            free = self.allocatable_ids[resource] - used
            if len(free) < size:
                raise AdmissionError(f'requested number of devices unavailable for {resource}: {size} of {len(free)}')
            if numa is not None:
                aligned = {i for i in free if numa in [n.id for n in self.devices[resource][i].topology.nodes]}
                if len(aligned) >= size:
                    free = aligned
        chosen = self.prefer(endpoint, sorted(free), [], size)
        chosen += sorted(free - set(chosen))[:size - len(chosen)]
        answer = self.call_allocate(resource, chosen)
        if endpoint.options.pre_start_required:
            endpoint.plugin.PreStartContainer(pb.PreStartContainerRequest(device_ids=chosen), timeout=30)
        if pod is not None:
            with self.changed:
                self.pods[pod] = {'resource': resource, 'ids': chosen}
                self._write_checkpoint()
        return chosen, answer

    def prefer(self, endpoint, available, must_include, size):
        if not endpoint.options.get_preferred_allocation_available:
            return []
        request = pb.PreferredAllocationRequest(container_requests=[pb.ContainerPreferredAllocationRequest(
            available_device_ids=available, must_include_device_ids=must_include, allocation_size=size)])
        answer = endpoint.plugin.GetPreferredAllocation(request, timeout=10)
        # Advice only: what is not available is dropped, and so is what is too much.
        advice = answer.container_responses[0].device_ids if answer.container_responses else []
        return [i for i in advice if i in available][:size]

    def preferred(self, resource, available, must_include, size):
        return self.prefer(self.endpoints[resource], available, must_include, size)

    def call_allocate(self, resource, ids):
        request = pb.AllocateRequest(container_requests=[pb.ContainerAllocateRequest(device_ids=ids)])
        answer = self.endpoints[resource].plugin.Allocate(request, timeout=10)
        return answer.container_responses[0]

    def cut(self, resource):
        """The stream breaks, both sockets stay."""
        self.endpoints[resource].stream.cancel()

    # Checkpoint

    def _write_checkpoint(self):
        path = os.path.join(self.directory, CHECKPOINT)
        with open(path + '.tmp', 'w') as file:
            json.dump({'pods': self.pods, 'devices': {r: sorted(i) for r, i in self.allocatable_ids.items()}}, file)
        os.replace(path + '.tmp', path)

    def _read_checkpoint(self):
        try:
            with open(os.path.join(self.directory, CHECKPOINT)) as file:
                self.pods = json.load(file)['pods']
        except FileNotFoundError:
            pass

    # What happened

    def _note(self, kind, resource, detail):
        with self.changed:
            self.events.append((time.monotonic(), kind, resource, detail))
            self.changed.notify_all()

    def seen(self, kind, resource=None, since=0):
        with self.changed:
            return [e for e in self.events[since:] if e[1] == kind and resource in (None, e[2])]

    def wait(self, condition, seconds, what):
        """Waits until the condition holds; an AssertionError with what happened when it does not in time."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    last = '\n'.join(f'{at - self.events[0][0]:8.3f} {kind} {resource} {str(detail)[:200]!s}'.rstrip()
                                     for at, kind, resource, detail in self.events[-12:])
                    raise AssertionError(f'not within {seconds} s: {what}\nthe kubelet saw last:\n{last}')
                self.changed.wait(min(left, 0.1))

    def wait_count(self, resource, capacity, allocatable=None, seconds=10.0):
        want = (capacity, capacity if allocatable is None else allocatable)
        self.wait(lambda: self.count(resource) == want, seconds,
                  f'{resource} {want} as (capacity, allocatable), it is {self.count(resource)}')

    def overlaps(self):
        """Registrations that came while a stream of the same name was still open."""
        return [e for e in self.seen('register') if e[3]['overlap'] > 0]
