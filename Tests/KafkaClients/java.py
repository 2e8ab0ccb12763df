"""The Java client, behind a pipe: JavaClient.java has the same operations, a JVM for all cases."""
import os
import struct
import subprocess
import threading

from records import Refused, packed, unpacked

# KIP-848 is complete in the client since 4.0.
name = os.environ.get('JAVA_CLIENT_NAME', 'java')
cannot = set() if os.environ.get('JAVA_GROUP_PROTOCOL') else {'group.protocol'}
_jvm = []
_handles = [0]
_lock = threading.Lock()


def start():
    """Starts the JVM, or a new one in place of one that may be in the middle of something."""
    if _jvm:
        _jvm.pop().kill()
    _jvm.append(subprocess.Popen(os.environ['JAVA_CLIENT'].split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL))


def call(*words, records=b''):
    jvm = _jvm[0]
    encoded = [str(word).encode() for word in words]
    with _lock:
        jvm.stdin.write(struct.pack('>i', len(encoded)) + b''.join(struct.pack('>i', len(word)) + word for word in encoded)
                        + struct.pack('>i', len(records)) + records)
        jvm.stdin.flush()
        answer = [_read(jvm.stdout).decode() for _ in range(struct.unpack('>i', jvm.stdout.read(4))[0])]
        blob = _read(jvm.stdout)
    if answer[0] == 'error':
        raise Refused(int(answer[1]), answer[2])
    return unpacked(blob) if blob else answer[1:]


def _read(stream):
    return stream.read(struct.unpack('>i', stream.read(4))[0])


def _pairs(config):
    return [f'{name.replace("_", ".")}={str(value).lower() if isinstance(value, bool) else value}'
            for name, value in config.items()]


def _offset(answer):
    return None if int(answer[0]) < 0 else int(answer[0])


class _Handle:
    def __init__(self, kind, config):
        _handles[0] += 1
        self.handle = f'{os.getpid()}-{_handles[0]}'
        call(kind, self.handle, *_pairs(config))

    def call(self, method, *words, **named):
        return call(method, self.handle, *words, **named)

    def close(self):
        self.call('close')


class Producer(_Handle):
    def __init__(self, bootstrap, **config):
        if config.get('acks') in ('0', '1'):
            config['enable_idempotence'] = False
        super().__init__('producer', {'bootstrap_servers': bootstrap, 'max_request_size': 4_000_000, 'linger_ms': 5,
                                      'delivery_timeout_ms': 30_000, 'request_timeout_ms': 20_000, **config})

    def send(self, topic, records):
        self.call('send', topic, records=packed(records))

    def begin(self):
        self.call('begin')

    def commit(self):
        self.call('commit')

    def abort(self):
        self.call('abort')

    def send_offsets(self, topic, offsets, consumer):
        self.call('send_offsets', consumer.handle, topic, *sum(offsets.items(), ()))


class Consumer(_Handle):
    def __init__(self, bootstrap, **config):
        if config.get('group_protocol') != 'consumer':
            config |= {'session_timeout_ms': 6000, 'heartbeat_interval_ms': 500}
        super().__init__('consumer', {'bootstrap_servers': bootstrap, 'auto_offset_reset': 'earliest',
                                      'enable_auto_commit': False, 'max_poll_records': 10_000, **config})

    def assign(self, topic, partitions):
        self.call('assign', topic, *partitions)

    def subscribe(self, topic):
        self.call('subscribe', topic)

    def poll(self, seconds):
        return self.call('poll', int(seconds * 1000))

    def assignment(self):
        return {int(partition) for partition in self.call('assignment')}

    def seek(self, topic, partition, offset):
        self.call('seek', topic, partition, offset)

    def commit(self, topic, offsets):
        self.call('commit_offsets', topic, *sum(offsets.items(), ()))

    def committed(self, topic, partition):
        return _offset(self.call('committed', topic, partition))

    def offset_for_time(self, topic, partition, timestamp):
        return _offset(self.call('offset_for_time', topic, partition, timestamp))

    def watermarks(self, topic, partition):
        return tuple(map(int, self.call('watermarks', topic, partition)))


class Admin(_Handle):
    def __init__(self, bootstrap):
        super().__init__('admin', {'bootstrap_servers': bootstrap, 'default_api_timeout_ms': 20_000,
                                   'request_timeout_ms': 15_000})

    def create_topic(self, topic, partitions, **configs):
        self.call('create_topic', topic, partitions, *[f'{name}={value}' for name, value in configs.items()])

    def delete_topic(self, topic):
        self.call('delete_topic', topic)

    def topics(self):
        return {entry.rsplit('=', 1)[0]: int(entry.rsplit('=', 1)[1]) for entry in self.call('topics')}

    def configs(self, topic):
        return dict(entry.split('=', 1) for entry in self.call('configs', topic))

    def alter_config(self, topic, name, value):
        self.call('alter_config', topic, name, value)

    def create_partitions(self, topic, total):
        self.call('create_partitions', topic, total)

    def delete_records(self, topic, partition, before):
        return _offset(self.call('delete_records', topic, partition, before))

    def groups(self):
        return set(self.call('groups'))

    def members(self, group):
        return int(self.call('members', group)[0])

    def delete_group(self, group):
        self.call('delete_group', group)
