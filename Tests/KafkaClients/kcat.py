"""kcat: each producer and each consumer is a process."""
import itertools
import re
import signal
import subprocess
import threading
import time

from records import Record, Refused

name = 'kcat'
# It has no administrator, sends no timestamp and no header without a value, and commits by itself when it ends.
# A transaction is what it reads from stdin, in blocks: nobody knows what of an open one is sent.
cannot = {'admin', 'timestamp', 'null header', 'commit', 'send_offsets', 'group.protocol', 'open transaction'}
MESSAGE, KEY = '<|m|>', '<|k|>'
# Lengths first, so that keys and values may have any bytes.
FORMAT = r'%p %o %T %K %S\n%k%s%h\n'


def options(bootstrap, config):
    words = ['-b', bootstrap, '-m', '20']
    for key, value in config.items():
        words += ['-X', f'{key.replace("_", ".")}={str(value).lower() if isinstance(value, bool) else value}']
    return words


def finished(process, input=None):
    try:
        out, errors = process.communicate(input, 45)
    except subprocess.TimeoutExpired as hung:
        process.kill()
        raise Refused(-1, 'kcat did not end') from hung
    if process.returncode:
        raise Refused(-1, (errors or b'').decode(errors='replace')[-500:])
    return out.decode(errors='replace')


def spawn(words):
    return subprocess.Popen(['kcat', *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Producer:
    def __init__(self, bootstrap, **config):
        self.transactional = 'transactional_id' in config
        self.words = ['-P', *options(bootstrap, {'message_max_bytes': 4_000_000, 'linger_ms': 5, **config})]
        self.open = None

    def send(self, topic, records):
        # One process for each run of records that have the same options.
        for (headers, partition, empty), run in itertools.groupby(
                records, lambda r: (r.headers, r.partition, r.value is None)):
            words = [*self.words, '-t', topic, '-D', MESSAGE, '-K', KEY]
            for header, value in headers:
                words += ['-H', f'{header}={value.decode()}']
            words += ['-p', str(partition)] if partition is not None else []
            words += ['-Z'] if empty else []
            lines = b''.join((b'' if r.key is None else r.key + KEY.encode()) + (r.value or b'') + MESSAGE.encode()
                             for r in run)
            if not self.transactional:
                finished(spawn(words), lines)
                continue
            if not self.open:
                self.open = spawn(words)
            self.open.stdin.write(lines)
            self.open.stdin.flush()

    def begin(self):
        self.open = None

    def commit(self):
        finished(self.open)

    def close(self):
        if self.open and self.open.poll() is None:
            self.open.kill()


class Consumer:
    def __init__(self, bootstrap, **config):
        self.bootstrap, self.group = bootstrap, config.pop('group_id', None)
        self.config = {'auto_offset_reset': 'earliest', 'fetch_message_max_bytes': 4_000_000, **config}
        self.lock, self.found, self.partitions, self.processes = threading.Lock(), [], set(), {}

    def _start(self, key, words):
        process = spawn(words)
        self.processes[key] = process
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()

    def _read(self, process):
        while line := process.stdout.readline():
            partition, offset, timestamp, key, value = map(int, line.split())
            contents = [None if length < 0 else process.stdout.read(length) for length in (key, value)]
            headers = process.stdout.readline()[:-1].decode()
            pairs = tuple((pair.split('=', 1)[0], pair.split('=', 1)[1].encode()) for pair in headers.split(',') if pair)
            with self.lock:
                self.found.append(Record(*contents, pairs, timestamp, partition, offset))

    def _listen(self, process):
        for line in process.stderr:
            text = line.decode(errors='replace')
            if 'rebalanced' in text:
                self.partitions = {int(n) for n in re.findall(r' \[(\d+)\]', text)} if 'assigned:' in text else set()

    def assign(self, topic, partitions):
        for partition in partitions:
            self.seek(topic, partition, 'beginning')

    def subscribe(self, topic):
        config = {'session_timeout_ms': 6000, 'heartbeat_interval_ms': 500, **self.config}
        self._start(topic, ['-G', self.group, '-u', '-f', FORMAT, *options(self.bootstrap, config), topic])

    def poll(self, seconds):
        end = time.monotonic() + seconds
        while True:
            with self.lock:
                found, self.found = self.found, []
            if found or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def assignment(self):
        return set(self.partitions)

    def seek(self, topic, partition, offset):
        if partition in self.processes:
            self.processes[partition].kill()
            self.processes[partition].wait()
        self._start(partition, ['-C', '-t', topic, '-p', str(partition), '-o', str(offset), '-u', '-f', FORMAT,
                                *options(self.bootstrap, self.config)])

    def offset_for_time(self, topic, partition, timestamp):
        answer = finished(spawn(['-Q', '-t', f'{topic}:{partition}:{timestamp}', *options(self.bootstrap, {})]))
        offset = int(answer.rsplit(' ', 1)[1])
        return None if offset < 0 else offset

    def watermarks(self, topic, partition):
        return tuple(self.offset_for_time(topic, partition, time) for time in (-2, -1))

    def close(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM if self.group else signal.SIGKILL)
        for process in self.processes.values():
            process.wait(20)


class Admin:
    """What there is of one: a topic comes into being when a producer asks for it."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def topics(self, *words):
        listing = finished(spawn(['-L', *words, *options(self.bootstrap, {})]))
        return {name: int(count) for name, count in re.findall(r'topic "(.*)" with (\d+) partitions', listing)}

    def create_topic(self, topic, partitions, **configs):
        for _ in range(50):
            if self.topics('-t', topic).get(topic):
                return
            time.sleep(0.1)
        raise Refused(-1, 'the topic is not created automatically')

    def close(self):
        pass
